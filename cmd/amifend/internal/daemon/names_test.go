package daemon

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
)

// zone answers like DNS from a table that a test changes; a name that is not in it does not
// resolve.
type zone struct {
	mu    sync.Mutex
	names map[string]string
}

func (z *zone) set(name, addr string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.names[name] = addr
}

func (z *zone) lookup(_ context.Context, host string) ([]netip.Addr, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	a, err := netip.ParseAddr(z.names[host])
	if err != nil {
		return nil, errors.New("no such host")
	}
	return []netip.Addr{a}, nil
}

// startWith runs amifend with a resolver until the returned function is called, or the test ends.
func (s *site) startWith(t *testing.T, z *zone) (*logtest.Book, func()) {
	t.Helper()
	said, log := logtest.New()
	ctx, cancel := context.WithCancel(t.Context())
	up := make(chan struct{})
	done := make(chan error, 1)
	c := s.config
	go func() {
		done <- Run(ctx, Options{
			Config: &c, Log: log, NetNS: s.FD(), Lookup: z.lookup, Ready: func() { close(up) },
		})
	}()

	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})

	t.Cleanup(stop)
	<-up
	for _, pbx := range s.pbxs {
		logins(t, pbx, 1)
	}

	return said, stop
}

// The addresses of an allowed name are never banned, also after a restart while DNS is down; one
// that never resolved is told and no failure.
func TestAllowedNamesOverARestart(t *testing.T) {
	s := newSite(t, 1)
	s.withState(t)
	s.config.Names = []string{"home.example", "typo.example"}
	c := s.withControl(t)
	z := &zone{names: map[string]string{
		"home.example": "203.0.113.6", "shop.example": "203.0.113.7",
	}}
	said, stop := s.startWith(t, z)
	ready(t, c)

	a, err := c.Allow(t.Context(), control.NewAllow{
		Name: "Shop.example.", For: 3600, Reason: "Alice",
	})
	if err != nil || a.Name != "shop.example" || len(a.Addresses) != 1 ||
		a.Addresses[0].String() != "203.0.113.7" || !a.Command {
		t.Fatalf("%+v, %v", a, err)
	}

	for name, says := range map[string]string{
		"nobody.example": "nobody.example does not resolve, and nothing was changed: no such host",
		"a b":            "is not a host name",
	} {
		if _, err := c.Allow(t.Context(), control.NewAllow{Name: name}); err == nil ||
			!strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", name, err)
		}
	}

	check := func(when string, said *logtest.Book) {
		t.Helper()
		guess(s.pbxs[0], "203.0.113.6:5062", "TCP", 20)
		guess(s.pbxs[0], "203.0.113.7:5062", "TCP", 20)
		guess(s.pbxs[0], "203.0.113.8:5062", "TCP", 4)
		said.Wait(t, "banned", "203.0.113.8")
		if n := len(said.Said("banned", "203.0.113.6")) +
			len(said.Said("banned", "203.0.113.7")); n != 0 {
			t.Errorf("%s: an address of an allowed name is banned", when)
		}

		l, err := c.Allowed(t.Context())
		if err != nil {
			t.Fatal(err)
		}

		var lines []string
		for _, e := range l.Entries {
			if e.Name != "" || strings.HasPrefix(e.Prefix.String(), "203.0.113.") {
				line := e.Name + " " + e.Reason
				if e.Prefix.IsValid() {
					line = e.Prefix.String() + " " + e.Reason
				}
				for _, a := range e.Addresses {
					line += " " + a.String()
				}

				lines = append(lines, line)
			}
		}

		today := time.Now().Format(time.DateOnly)
		want := strings.ReplaceAll(`home.example allowlist ([allow] names) 203.0.113.6
shop.example allowed by root on TODAY (amifend allow): "Alice" 203.0.113.7
typo.example allowlist ([allow] names)
203.0.113.6/32 address of home.example: allowlist ([allow] names)
203.0.113.7/32 address of shop.example: allowed by root on TODAY (amifend allow): "Alice"`, "TODAY", today)
		if got := strings.Join(lines, "\n"); got != want {
			t.Errorf("%s: allowed are\n%s\nwant\n%s", when, got, want)
		}
	}

	check("before the restart", said)
	warned := func(want string) {
		t.Helper()
		st, err := c.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}

		for _, h := range st.Health {
			if h.About == "allowlist" && h.What == want && strings.Contains(h.Do, "getent ahosts") {
				return
			}
		}

		t.Errorf("the status does not say %q: %v", want, st.Health)
	}

	warned("typo.example has not resolved yet, so nobody is allowed by it: no such host")
	time.Sleep(1500 * time.Millisecond) // names are saved within a second
	stop()

	z.set("home.example", "") // DNS is down
	z.set("shop.example", "")
	if _, err := c.Unban(t.Context(), netip.MustParsePrefix("203.0.113.8/32")); err == nil {
		t.Error("it still runs")
	}

	said, stop = s.startWith(t, z)
	ready(t, c)
	if _, err := c.Unban(t.Context(), netip.MustParsePrefix("203.0.113.8/32")); err != nil {
		t.Fatal(err)
	}

	check("after the restart without DNS", said)
	warned("home.example does not resolve, its last addresses (1) stay allowed: no such host")

	if _, err := c.DisallowName(t.Context(), "home.example"); control.CodeOf(err) !=
		control.CodeNotAllowed {
		t.Errorf("a name of the config was taken out by a command: %v", err)
	}
	if _, err := c.DisallowName(t.Context(), "shop.example"); err != nil {
		t.Error(err)
	}

	eventually(t, "its address can be banned", func() bool {
		guess(s.pbxs[0], "203.0.113.7:5062", "TCP", 4)
		return len(said.Said("banned", "203.0.113.7")) > 0
	})
	time.Sleep(1500 * time.Millisecond)
	stop()
	s.config.Names = nil
	said, _ = s.startWith(t, z)
	guess(s.pbxs[0], "203.0.113.6:5062", "TCP", 4)
	said.Wait(t, "banned", "203.0.113.6")
}
