package daemon

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/firewall/firewalltest"
)

// limited is a site whose limiter lets 5 requests of a stranger through.
type limited struct {
	*reloading
	outside *firewalltest.NS
}

func fiveRequests(mode string) config.Limiter {
	return config.Limiter{
		Mode: mode, PerMinute: 1, Burst: 5, StrangersPerSecond: 1000, StrangersBurst: 1000,
	}
}

func startLimited(t *testing.T, mode string, change ...func(*config.Config)) *limited {
	t.Helper()
	l := &limited{outside: firewalltest.New(t)}
	l.reloading = startReloading(t, 1, append(change, func(c *config.Config) {
		c.Limiter = fiveRequests(mode)
	})...)
	firewalltest.Join(t, l.NS, l.outside, []string{"192.0.2.1/24"},
		[]string{"192.0.2.7/24", "192.0.2.66/24", "192.0.2.67/24"})
	logins(t, l.pbxs[0], 1)
	return l
}

// arrive returns how many of 20 requests of an address arrive.
func (l *limited) arrive(t *testing.T, from string) (n int) {
	t.Helper()
	in := l.ListenUDP(t, "192.0.2.1:5060")
	defer in.Close()
	out := l.outside.DialUDP(t, from+":0", "192.0.2.1:5060")
	defer out.Close()

	text := []byte("REGISTER sip:192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP " + from + ";branch=z9\r\n\r\n")
	for range 20 {
		if _, err := out.Write(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := in.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2048)
	for {
		if _, _, err := in.ReadFrom(buf); err != nil {
			if !os.IsTimeout(err) {
				t.Fatal(err)
			}
			return n
		}
		n++
	}
}

// armed waits until the kernel limits, or does not.
func (l *limited) armed(t *testing.T, want bool) {
	t.Helper()
	eventually(t, "the limiter is armed, or not", func() bool {
		got, err := l.Command("nft", "list", "set", "inet", l.config.Firewall.Table, "limiter_drops")
		return err == nil && strings.Contains(got, "elements") == want
	})
}

// A phone that is limited is free as soon as it logs in, also after others emptied the table.
func TestLimiterFreesWhoLogsIn(t *testing.T) {
	l := startLimited(t, config.LimiterOn)
	l.armed(t, true)
	for _, a := range []string{"192.0.2.7", "192.0.2.66"} {
		if n := l.arrive(t, a); n != 5 {
			t.Errorf("%d of 20 requests of the stranger %s arrive, want 5", n, a)
		}
	}

	phone := amitest.NewPeer(net.JoinHostPort("192.0.2.7", "5060"))
	l.pbxs[0].Emit(phone.Register("1001")...)
	eventually(t, "the phone is known", func() bool {
		return strings.Contains(l.NFT(t, "list", "set", "inet", l.config.Firewall.Table, "known4"), "192.0.2.7")
	})
	for _, damage := range []string{
		"", "flush ruleset", "flush set inet " + l.config.Firewall.Table + " known4",
		"delete table inet " + l.config.Firewall.Table,
	} {
		if damage != "" {
			l.NFT(t, damage)
			eventually(t, "the phone is known again", func() bool {
				got, err := l.Command("nft", "list", "set", "inet", l.config.Firewall.Table, "known4")
				return err == nil && strings.Contains(got, "192.0.2.7")
			})
			l.armed(t, true)
		}
		if n := l.arrive(t, "192.0.2.7"); n != 20 {
			t.Errorf("after %q: %d of 20 requests of the phone arrive", damage, n)
		}
		if n := l.arrive(t, "192.0.2.66"); n > 5 {
			t.Errorf("after %q: %d of 20 requests of the stranger arrive", damage, n)
		}
	}
	x := l.explained(t, "192.0.2.66")
	if len(x.Bans)+len(x.Past) != 0 {
		t.Errorf("the limiter is told as a ban: %+v", x)
	}
	if len(x.Limited) != 1 || !x.Limited[0].Dropped || x.Limited[0].Packets == 0 ||
		!strings.Contains(x.Text, "limiter:      dropped ") {
		t.Errorf("explained: %+v\n%s", x.Limited, x.Text)
	}
	if x := l.explained(t, "192.0.2.67"); len(x.Limited) != 0 || strings.Contains(x.Text, "limiter:") {
		t.Errorf("one that sent nothing: %+v\n%s", x.Limited, x.Text)
	}

	list, err := l.client.Limited(t.Context())
	if err != nil || len(list.Sources) != 1 || list.Sources[0].Source.String() != "192.0.2.66/32" ||
		!list.Sources[0].Dropped || list.Limiter.Mode != "on" || list.Limiter.Known != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	if st, err := l.client.Status(t.Context()); err != nil || st.Limiter == nil || st.Limiter.Mode != "on" {
		t.Errorf("status: %+v, %v", st.Limiter, err)
	}
}

// A restart, and a turn to observing and back, cut off nobody who logged in before.
func TestLimiterAfterRestart(t *testing.T) {
	s := newSite(t, 1)
	s.config.Limiter = fiveRequests(config.LimiterOn)
	s.config.State = config.State{Directory: t.TempDir(), Retain: 24 * time.Hour, MaxSize: 1 << 24}
	l := &limited{reloading: &reloading{site: s}, outside: firewalltest.New(t)}
	firewalltest.Join(t, s.NS, l.outside, []string{"192.0.2.1/24"},
		[]string{"192.0.2.7/24", "192.0.2.66/24"})

	r := s.start(t)
	l.armed(t, true)
	phone := amitest.NewPeer("192.0.2.7:5060")
	s.pbxs[0].Emit(phone.Register("1001")...)
	eventually(t, "the phone is known", func() bool {
		return strings.Contains(s.NFT(t, "list", "set", "inet", s.config.Firewall.Table, "known4"), "192.0.2.7")
	})

	// Nothing is limited while it does not run.
	r.stop(t)
	l.armed(t, false)
	if n := l.arrive(t, "192.0.2.66"); n != 20 {
		t.Errorf("without amifend: %d of 20 requests arrive", n)
	}
	s.NFT(t, "flush ruleset") // a reboot
	s.startUp(t)
	l.armed(t, true)
	if n := l.arrive(t, "192.0.2.7"); n != 20 {
		t.Errorf("after a restart: %d of 20 requests of the phone arrive", n)
	}
	if n := l.arrive(t, "192.0.2.66"); n != 5 {
		t.Errorf("after a restart: %d of 20 requests of the stranger arrive, want 5", n)
	}
}

// Observing drops nothing. A reload turns it on and off.
func TestLimiterObserves(t *testing.T) {
	l := startLimited(t, config.LimiterObserve)
	eventually(t, "the kernel counts", func() bool {
		l.arrive(t, "192.0.2.66")
		got, err := l.Command("nft", "list", "set", "inet", l.config.Firewall.Table, "overlimit4")
		return err == nil && strings.Contains(got, "192.0.2.66")
	})
	if n := l.arrive(t, "192.0.2.66"); n != 20 {
		t.Errorf("observing: %d of 20 requests arrive", n)
	}
	list, err := l.client.Limited(t.Context())
	if err != nil || len(list.Sources) != 1 || list.Sources[0].Dropped || list.Limiter.Mode != "observe" {
		t.Errorf("%+v, %v", list, err)
	}
	if x := l.explained(t, "192.0.2.66"); !strings.Contains(x.Text, "limiter:      would have dropped ") {
		t.Errorf("explained:\n%s", x.Text)
	}

	for _, mode := range []string{config.LimiterOn, config.LimiterObserve} {
		l.change(func(c *config.Config) { c.Limiter = fiveRequests(mode) })
		if out := l.reload(t); strings.Join(out.Changed, ", ") != "[limiter] mode" || len(out.Restart) > 0 {
			t.Errorf("%+v", out)
		}
		l.armed(t, mode == config.LimiterOn)
	}

	// The rest needs a restart.
	for _, change := range []config.Limiter{{}, {Mode: config.LimiterObserve, PerMinute: 2}} {
		l.change(func(c *config.Config) { c.Limiter = change })
		if out := l.reload(t); len(out.Changed) > 0 || strings.Join(out.Restart, ", ") != "[limiter]" {
			t.Errorf("%+v: %+v", change, out)
		}
	}
}
