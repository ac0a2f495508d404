package enforce

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce/enforcetest"
)

func TestFullSet(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		w.kernel.Size = 2
		w.order("192.0.2.1/32", sip, 15*time.Second)
		w.order("192.0.2.2/32", sip, time.Hour)
		w.order("192.0.2.3/32", sip, time.Hour)
		w.order("192.0.2.4/32", sip, time.Second) // over before there is room
		w.order("2001:db8::1/128", sip, time.Hour)
		w.want(t, "192.0.2.1 sip", "192.0.2.2 sip", "2001:db8::1 sip")
		l := w.said.Count(t, 1, "firewall set is full: the newest bans wait for room", "")[0]
		if l.Text("source") != "192.0.2.3" || l.Text("waiting") != "1" || l.Text("do") == "" {
			t.Errorf("said %v", l)
		}

		w.said.Count(t, 0, "banned", "192.0.2.3")
		w.order("192.0.2.2/32", sip, 2*time.Hour) // the refresh of an element needs no room
		w.said.Count(t, 2, "banned", "192.0.2.2")
		w.pass(10 * time.Second)
		w.said.Count(t, 0, "banned", "192.0.2.3")
		w.pass(10 * time.Second)
		w.want(t, "192.0.2.2 sip", "192.0.2.3 sip", "2001:db8::1 sip")
		w.said.Count(t, 1, "banned", "192.0.2.3")
		w.said.Count(t, 0, "banned", "192.0.2.4")
		if n := w.ledger.waiting(); n != 0 {
			t.Errorf("%d bans still wait", n)
		}
	})
}

func TestLiftOfWhatWaitsForRoom(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		w.kernel.Size = 1
		w.order("192.0.2.1/32", sip, 5*time.Second)
		w.order("192.0.2.2/32", sip, time.Hour)
		w.lift("192.0.2.2/32")
		w.pass(time.Minute)
		w.want(t)
		w.said.Count(t, 0, "banned", "192.0.2.2")
		w.said.Count(t, 0, "ban lifted", "")
	})
}

// Trying again costs the same however many bans wait.
func TestFullSetIsProbed(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		const many = 10_000
		w.kernel.Size = 1
		w.order("198.51.100.1/32", sip, 2*time.Minute)

		for i := range many {
			b := enforcetest.Ban(w.clock, fmt.Sprintf("10.0.%d.%d/32", i/250, i%250), sip,
				time.Hour)
			w.mail.Orders.Put(b.Prefix, bans.OrderOf(&b))
		}

		synctest.Wait()
		w.kernel.Set(func() { w.kernel.Applied = nil })
		w.pass(61 * time.Second)

		for _, n := range w.kernel.Applied {
			if n > probeFirst {
				t.Fatalf("tried %v", w.kernel.Applied)
			}
		}

		if n := len(w.kernel.Applied); n < 6 || n > 8 {
			t.Errorf("tried %d times a minute: %v", n, w.kernel.Applied)
		}

		w.kernel.Set(func() { w.kernel.Size = 0 })
		w.pass(10 * time.Second)
		if n := len(w.kernel.Has()); n != many+1 {
			t.Errorf("%d elements, want %d", n, many+1)
		}
	})
}

// A wider ban takes the place of a narrow one only when the kernel has it.
func TestWiderBan(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		w.kernel.Size = 1
		w.order("192.0.2.1/32", sip, time.Hour)
		w.order("192.0.2.2/32", all, 5*time.Second)
		w.order("192.0.2.1/32", all, 2*time.Hour)
		w.want(t, "192.0.2.1 sip", "192.0.2.2 all")
		w.pass(retryFull)
		w.want(t, "192.0.2.1 all")
		w.said.Count(t, 2, "banned", "192.0.2.1")
		w.said.Count(t, 0, "ban lifted", "")
	})
}
