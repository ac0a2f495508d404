package enforce

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/firewall"
)

// A program that deletes the table again and again makes no pause grow: the bans are back as soon
// as it has stopped. The kernel refuses nothing, and the log does not fill up.
func TestTableThatIsDeletedAgainAndAgain(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		w.order("192.0.2.1/32", sip, time.Hour)
		w.order("192.0.2.2/32", all, time.Hour)

		const deletions = 200
		w.kernel.Set(func() {
			clear(w.kernel.Elems)
			for range deletions {
				w.kernel.Fail = append(w.kernel.Fail, nil, firewall.ErrGone) // laid out, and gone
			}
		})
		w.Damaged()
		w.pass(deletions*gonePause + gonePause)
		w.want(t, "192.0.2.1 sip", "192.0.2.2 all")

		s, err := w.Status(t.Context())
		if err != nil || s.Failure != "" || s.Taken < deletions || s.LastTaken.IsZero() {
			t.Errorf("status %+v, %v", s, err)
		}
		w.said.Count(t, 1, "the nftables table is gone: putting it back", "")
		w.said.Count(t, 0, "firewall: cannot apply bans", "")

		w.pass(61 * time.Minute)
		if s, err := w.Status(t.Context()); err != nil || s.Taken != 0 {
			t.Errorf("an hour later: %+v, %v", s, err)
		}
	})
}

// Bans that are taken out while others are sent are back as soon as these are sent: nothing else must
// happen for that.
func TestTakenOutWhileOthersAreSent(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		const bans = 5 * sendMost
		for i := range bans {
			w.order(fmt.Sprintf("203.0.%d.%d/32", i>>8, i&255), all, time.Hour)
		}

		// The table is deleted. While all bans are sent again, the first ones are taken out once more.
		gate := make(chan struct{})
		w.kernel.Set(func() {
			w.kernel.Gone, w.kernel.Gate = true, gate
			clear(w.kernel.Elems)
		})
		w.Damaged()
		gate <- struct{}{}
		synctest.Wait()
		w.kernel.Set(func() {
			if len(w.kernel.Elems) != sendMost {
				t.Errorf("the kernel has %d bans, want a part of %d", len(w.kernel.Elems), sendMost)
			}
			clear(w.kernel.Elems)
		})
		w.Damaged()
		close(gate)
		synctest.Wait() // no time passes

		w.kernel.Set(func() {
			if len(w.kernel.Elems) != bans {
				t.Errorf("the kernel has %d bans, want %d", len(w.kernel.Elems), bans)
			}
		})
	})
}

// A kernel that refuses is asked less and less often, also when somebody deletes the table in
// between.
func TestRefusalKeepsItsPause(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		w.kernel.Set(func() { w.kernel.Broken = errors.New("no memory") })
		w.order("192.0.2.1/32", sip, time.Hour)
		w.kernel.Set(func() { w.kernel.Attempts = 0 })
		for range 100 {
			w.Damaged()
			w.pass(time.Second)
		}
		w.kernel.Set(func() {
			if n := w.kernel.Attempts; n > 12 {
				t.Errorf("a kernel that refuses was asked %d times in 100 s", n)
			}
			w.kernel.Broken = nil
		})
		w.pass(retryLast)
		w.want(t, "192.0.2.1 sip")
	})
}

// Each kind of message comes once a minute, with how many were left out.
func TestMeddlingIsToldOnceAMinute(t *testing.T) {
	var m meddling
	said := ""
	log := func(text string, attrs ...any) { said += fmt.Sprintln(text, attrs) }
	for s := range 90 {
		m.tell(int64(s)*int64(time.Second), log, "gone")
	}
	if said != "gone []\ngone [more=59]\n" {
		t.Errorf("said %q", said)
	}
}
