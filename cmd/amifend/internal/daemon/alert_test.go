package daemon

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
	l := r.Wait(t, "alert", "203.0.113.5")
	r.stop(t)
	want := strings.Join([]string{
		l.Text("kind"), l.Text("source"), hostileQuoted, "pbx1", l.Text("reason"), l.Text("do"),
	}, "|")
	got := query(t, file, "SELECT kind || '|' || source || '|' || account || '|' || server || "+
		"'|' || text || '|' || advice FROM alerts")
	if got != want || !strings.HasPrefix(got, "suspect_login|203.0.113.5|") {
		t.Errorf("the journal has %s\nwant %s", got, want)
	}

	at, err := time.Parse(time.DateTime, query(t, file, "SELECT at FROM alerts"))
	if d := time.Since(at); err != nil || d < 0 || d > time.Minute {
		t.Errorf("at %s, %v", at, err)
	}
}

// What keeps amifend from working is an alert of the journal, too.
func TestHiddenSourcesAreKept(t *testing.T) {
	s := newSite(t, 1)
	file := s.withState(t)
	r := s.start(t)
	guess(s.pbxs[0], "198.51.100.7:5060", "TCP", 2*20) // allowlisted
	r.Wait(t, "most failures come from one address that is never banned: the PBX does not see "+
		"real sources", "")
	r.stop(t)
	got := query(t, file, "SELECT kind || ' ' || source || ' ' || server || ' ' || text || "+
		"(advice <> '') FROM alerts")
	if !strings.HasPrefix(got, "sources_hidden 198.51.100.7 pbx1 most failures come from one "+
		"address that is never banned (") || !strings.HasSuffix(got, "1") {
		t.Errorf("alerts: %s", got)
	}
}

// What an attacker could call an account to colour a terminal or to end a quotation, and how it is
// printed.
const (
	hostile       = "10\x1b[31m\"1"
	hostileQuoted = `"10\x1b[31m\"1"`
)
