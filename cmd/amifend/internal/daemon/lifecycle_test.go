package daemon

import (
	"fmt"
	"strconv"
	"testing"
)

// A PBX that is not there at the start, or goes away, is told and tried again; the others are
// judged meanwhile.
func TestOnePBXIsAway(t *testing.T) {
	s := newSite(t, 2)
	s.pbxs[1].Stop()
	pbxs := s.pbxs
	s.pbxs = pbxs[:1]
	r := s.start(t)
	if l := r.Wait(t, "AMI session cannot be made", ""); l.Text("server") != "pbx2" ||
		l.Text("problem") != "refused" || l.Text("do") == "" {
		t.Errorf("said %v", l)
	}

	guess(pbxs[0], "203.0.113.5:5060", "TCP", 4)
	r.Wait(t, "banned", "203.0.113.5")
	if err := pbxs[1].Start(); err != nil {
		t.Fatal(err)
	}
	if err := pbxs[1].WaitSessions(t.Context(), 1); err != nil {
		t.Fatal(err)
	}

	guess(pbxs[1], "203.0.113.6:5060", "TCP", 4)
	r.Wait(t, "banned", "203.0.113.6")
	pbxs[0].Cut()
	l := r.Wait(t, "AMI session is lost: events may be missed until it is back", "")
	if l.Text("server") != "pbx1" {
		t.Errorf("said %v", l)
	}

	eventually(t, "the gap is told", func() bool {
		for _, l := range r.Said("AMI session is up", "") {
			if l.Text("server") == "pbx1" && l.Text("gaps") == "1" && l.Text("gap") != "" {
				return true
			}
		}
		return false
	})
}

// Events that were received before the end still ban.
func TestShutdownJudgesWhatWasHeard(t *testing.T) {
	s := newSite(t, 1)
	r := s.start(t)
	for i := range 500 {
		guess(s.pbxs[0], fmt.Sprintf("10.1.%d.%d:5060", i/250, i%250), "TCP", 4)
	}

	r.Wait(t, "banned", "10.1.0.0")
	r.stop(t)
	told := len(r.Said("banned", ""))
	bans, err := s.table(t).Bans(t.Context())
	if err != nil || len(bans) != told || told == 0 {
		t.Errorf("%d bans told, %d in the kernel, %v", told, len(bans), err)
	}

	l := r.Said("amifend stops: its bans stay in the kernel", "")
	if len(l) != 1 || l[0].Text("bans") != strconv.Itoa(told) {
		t.Errorf("said %v", l)
	}
}
