//go:build e2e

package e2e

import (
	"net/netip"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/e2e/lab"
	"github.com/amifend/amifend/cmd/amifend/internal/e2e/sip"
)

// A hostile web page in a browser of an office guesses over WebSocket. It names its origin, see
// [sip.Origin], and Asterisk does not mind. The office loses TCP, and its phone goes on over UDP.
func TestOfficeWithAHostileWebPage(t *testing.T) {
	w := newWorld(t, "sid")
	d := w.amifend(t, settings{})
	office := netip.MustParseAddr("198.18.51.1")

	// Nobody could have chosen the address of this login, so it proves the office.
	login := sip.NewPhone(w.dial(t, lab.Attack, sip.TCP, office), "1011", "lab-pw-1011")
	if err := login.Register(within(t, soon), time.Minute); err != nil {
		t.Fatal(err)
	}
	phone := sip.NewPhone(w.dial(t, lab.Attack, sip.UDP, office), "1012", "lab-pw-1012")
	if err := phone.Register(within(t, soon), time.Minute); err != nil {
		t.Fatal(err)
	}

	page := w.dial(t, lab.Attack, sip.WS, office)
	b := w.attackUntilBanned(t, d, page, unknown("REGISTER"))
	lasts(t, b, "stream", shortBan)
	if e, ok := w.element(t, office); !ok || e.Set != "ban4_stream" {
		t.Errorf("want it in ban4_stream: %+v, %t", e, ok)
	}

	// The kernel cuts the page off, also its connection that is open.
	w.dropped(t, b, page, unknown("REGISTER"))
	if err := phone.Register(within(t, soon), time.Minute); err != nil {
		t.Errorf("the phone over UDP: %v", err)
	}
	if err := login.Register(within(t, 2*time.Second), time.Minute); err == nil {
		t.Error("the phone over TCP is answered")
	}
	d.stop(t)
}
