package app

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/ami/amitest"
)

// The journal has of an alert all that its line in the log has.
func TestAlertsAreKept(t *testing.T) {
	s := newSite(t, 1)
	file := s.withState(t)
	r := s.start(t)
	for i := range 5 {
		s.pbxs[0].Emit(amitest.NewPeer(fmt.Sprintf("10.0.%d.1:5060", i)).GuessPassword(hostile)...)
	}
	s.pbxs[0].Emit(amitest.NewPeer("203.0.113.5:5060").Register(hostile)...)
	l := r.wait(t, "alert", "203.0.113.5")
	r.stop(t)
	want := strings.Join([]string{l.text("kind"), l.text("source"), hostileQuoted, "pbx1", l.text("reason"), l.text("do")}, "|")
	got := query(t, file, "SELECT kind || '|' || source || '|' || account || '|' || server || '|' || text || '|' || advice FROM alerts")
	if got != want || !strings.HasPrefix(got, "suspect_login|203.0.113.5|") {
		t.Errorf("the journal has %s\nwant %s", got, want)
	}
	at, err := time.Parse(time.DateTime, query(t, file, "SELECT at FROM alerts"))
	if d := time.Since(at); err != nil || d < 0 || d > time.Minute {
		t.Errorf("at %s, %v", at, err)
	}
}
