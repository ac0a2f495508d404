package stream_test

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
)

func options(log *slog.Logger) stream.Options {
	return stream.Options{
		Log: log, Clock: clock.New(), Watcher: protect.New(protect.Config{}), Feed: &control.Feed{},
	}
}

// What a session heard before the end reaches the judge after it, however full its queue was.
func TestHeardBeforeTheEnd(t *testing.T) {
	pbx := amitest.Run(t, amitest.Config{Username: "amifend", Secret: "s3cret"})
	s, err := stream.New(config.Server{
		Name: "pbx1", Address: pbx.Addr(), Host: "127.0.0.1", Username: "amifend",
		Secret: ami.NewSecret("s3cret"),
	}, 0, options(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	in := make(chan stream.Sighting)
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, in) }()
	<-in // our own login
	pbx.Emit(amitest.NewPeer("203.0.113.5:5060").GuessAccount("100")...)

	end := time.Now().Add(10 * time.Second)
	for ; s.Status().Events < 2; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the session does not hear it")
		}
	}

	cancel()
	time.Sleep(50 * time.Millisecond) // nobody takes it

	heard := false
	for {
		select {
		case seen := <-in:
			heard = heard || seen.Source == netip.MustParseAddrPort("203.0.113.5:5060")
		case err := <-done:
			if err != nil || !heard {
				t.Errorf("heard: %v, %v", heard, err)
			}
			return

		case <-time.After(5 * time.Second):
			t.Fatal("the session does not end")
		}
	}
}

// How a server is reached is warned of before anything is connected to.
func TestWarningsOfAServer(t *testing.T) {
	said, log := logtest.New()
	far := config.Server{
		Name: "far", Address: net.JoinHostPort("192.0.2.200", "5038"), Host: "192.0.2.200",
		Username: "amifend", Secret: ami.NewSecret("s3cret"),
		TLS: &config.TLS{InsecureSkipVerify: true},
	}

	plain := far
	plain.TLS = nil
	plain.Name = "plain"
	f := stream.NewFleet(options(log), nil)
	if _, err := f.Plan([]config.Server{far, plain}, []string{"far", "plain"}); err != nil {
		t.Fatal(err)
	}

	for server, want := range map[string]string{
		"far": "insecure_skip_verify", "plain": "AMI without TLS",
	} {
		if !strings.Contains(said.String(), want) ||
			!strings.Contains(said.String(), `"server":"`+server+`"`) {
			t.Errorf("no warning %q of %s:\n%s", want, server, said)
		}
	}
}
