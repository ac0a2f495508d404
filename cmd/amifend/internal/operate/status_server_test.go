package operate

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
)

func TestGapsAreToldForAnHour(t *testing.T) {
	now := time.Now()
	st := ami.Status{
		Phase: ami.PhaseConnected, Since: now.Add(-2 * time.Second), LastGap: 4 * time.Second,
	}
	if got := gapText(st, now); !strings.Contains(got, "down for 4s, until 2s ago") {
		t.Errorf("got %q", got)
	}
	if got := gapText(st, now.Add(time.Hour)); got != "" {
		t.Errorf("an hour later: %q", got)
	}

	st.Phase = ami.PhaseWaiting // Since is that of the last attempt now
	if got := gapText(st, now); got != "" {
		t.Errorf("while the next one goes on: %q", got)
	}
}

// A PBX that was not reached yet has no problem so far, but nothing is well without its events.
func TestAServerThatConnectsForTheFirstTimeIsTold(t *testing.T) {
	s, err := stream.New(config.Server{
		Name: "pbx", Address: "127.0.0.1:5038", Username: "amifend", Secret: ami.NewSecret("x"),
	}, 0, stream.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}

	_, warnings := serverStatus(s)
	if n := len(warnings); n != 1 || warnings[0].About != "server pbx" ||
		!strings.Contains(warnings[0].What, "connecting") {
		t.Errorf("%+v", warnings)
	}
}
