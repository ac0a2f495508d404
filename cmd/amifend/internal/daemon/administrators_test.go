package daemon

import (
	"context"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/lockout"
)

// A session that ended before a feed changed counts, too: for seven days, and over a turn.
func TestWhoAdministeredThisMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ssh atomic.Pointer[string]
		connect := func(text string) { ssh.Store(&text) }
		look := lockout.Options{Root: t.TempDir(), Getenv: func(name string) string {
			if name == "SSH_CONNECTION" {
				return *ssh.Load()
			}
			return ""
		}}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		connect("")
		a := newAdministrators(look, nil)
		go a.watch(ctx)
		synctest.Wait()

		connect("203.0.113.9 50000 192.0.2.1 22")
		time.Sleep(2 * adminEvery)
		connect("")
		time.Sleep(adminFor - 5*adminEvery)
		who := netip.MustParseAddr("203.0.113.9")
		seen := a.current()
		if _, ok := seen[who]; !ok {
			t.Errorf("after the session: %v", seen)
		}
		if _, ok := newAdministrators(look, seen).current()[who]; !ok {
			t.Error("a turn has forgotten the session")
		}

		time.Sleep(6 * adminEvery)
		if seen := a.current(); len(seen) != 0 {
			t.Errorf("after more than %s: %v", adminFor, seen)
		}
	})
}
