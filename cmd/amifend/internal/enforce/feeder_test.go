package enforce

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/denylist"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce/enforcetest"
	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/firewall/firewalltest"
)

func TestMain(m *testing.M) { firewalltest.Main(m) }

func feedList(name string, prefixes ...string) FeedList {
	l := FeedList{Name: name}
	for _, p := range prefixes {
		l.Prefixes = append(l.Prefixes, netip.MustParsePrefix(p))
	}
	return l
}

func nobodyExempt(context.Context) ([]denylist.Exempt, error) { return nil, nil }

// runFeeder runs a feeder until the test ends, or until stop is called.
func runFeeder(t *testing.T, o FeederOptions) (f *Feeder, stop func()) {
	t.Helper()
	if o.Never == nil {
		o.Never = func() protect.Set { return protect.Set{} }
	}
	if o.Exempt == nil {
		o.Exempt = nobodyExempt
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}

	f = NewFeeder(o)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); f.Run(ctx) }()
	return f, func() { cancel(); <-ended }
}

// A kernel that refuses is tried again and told, what did not change is not sent again, and a feed
// that is refused does not keep the others out.
func TestFeederTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kernel := enforcetest.NewKernel()
		said, log := logtest.New()
		f, stop := runFeeder(t, FeederOptions{Table: kernel, Log: log, Names: []string{"one", "two"}})
		defer stop()

		kernel.Fail = []error{errors.New("no memory")}
		f.SetLists([]FeedList{feedList("one", "192.0.2.0/24"), feedList("two", "203.0.113.0/24")})
		synctest.Wait()
		kernel.Set(func() {
			if kernel.Feeds["one"] != nil || kernel.Feeds["two"] == nil {
				t.Errorf("the kernel has %v", kernel.Feeds)
			}
		})
		if st := f.Status(); st.Err == nil || st.Cuts["one"] != nil || st.Cuts["two"] == nil {
			t.Errorf("%+v", st)
		}

		time.Sleep(10 * time.Second)
		synctest.Wait()
		if st := f.Status(); st.Err != nil || st.Cuts["one"] == nil {
			t.Errorf("after the next try: %+v", st)
		}
		if n := len(said.Said("firewall: cannot put the feeds into the kernel", "")); n != 1 {
			t.Errorf("told %d times, want once", n)
		}
		if f.Find(netip.MustParseAddr("192.0.2.7")) != "one" ||
			f.Find(netip.MustParseAddr("203.0.113.7")) != "two" ||
			f.Find(netip.MustParseAddr("198.51.100.7")) != "" {
			t.Error("who drops an address is not found")
		}

		// A change that touches no list sends nothing, and a new table gets all.
		sent := func() (n int) {
			kernel.Set(func() {
				for _, feed := range kernel.Feeds {
					if feed != nil {
						n++
					}
				}
				clear(kernel.Feeds)
			})
			return n
		}
		sent()
		f.Protect()
		synctest.Wait()
		if n := sent(); n != 0 {
			t.Errorf("%d lists were sent again", n)
		}
		f.LaidOut()
		synctest.Wait()
		if n := sent(); n != 2 {
			t.Errorf("%d lists were sent to a new table, want 2", n)
		}
	})
}

// Without the answer who is exempt no new list comes into force, and a trial keeps all lists out.
func TestFeederWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kernel := enforcetest.NewKernel()
		var busy atomic.Pointer[error]
		f, stop := runFeeder(t, FeederOptions{
			Table: kernel, Names: []string{"one"}, Held: true,
			Exempt: func(context.Context) ([]denylist.Exempt, error) {
				if err := busy.Load(); err != nil {
					return nil, *err
				}
				return nil, nil
			},
		})
		defer stop()
		has := func(addr string) bool {
			var ok bool
			kernel.Set(func() {
				feed := kernel.Feeds["one"]
				ok = feed != nil && feed.Contains(netip.MustParseAddr(addr))
			})
			return ok
		}

		f.SetLists([]FeedList{feedList("one", "192.0.2.0/24")})
		f.LaidOut()
		time.Sleep(time.Minute)
		if st := f.Status(); !st.Held || has("192.0.2.1") {
			t.Errorf("in a trial: %+v", st)
		}
		f.Release()
		synctest.Wait()
		if st := f.Status(); st.Held || !has("192.0.2.1") {
			t.Errorf("after the trial: %+v", st)
		}

		isBusy := errors.New("the judge is busy")
		busy.Store(&isBusy)
		f.SetLists([]FeedList{feedList("one", "203.0.113.0/24")})
		synctest.Wait()
		if st := f.Status(); !errors.Is(st.Err, isBusy) || has("203.0.113.1") || !has("192.0.2.1") {
			t.Errorf("with a busy judge: %+v", st)
		}
		busy.Store(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if st := f.Status(); st.Err != nil || !has("203.0.113.1") || has("192.0.2.1") {
			t.Errorf("with the judge back: %+v", st)
		}

		f.SetLists(nil)
		synctest.Wait()
		if st := f.Status(); len(st.Cuts) != 0 || has("203.0.113.1") {
			t.Errorf("without feeds: %+v", st)
		}
	})
}

// In a real kernel: packets of what a feed lists are dropped, and counted for the feed. Those of
// whoever is allowed, protected or exempt are not, and the log names them.
func TestFeederInTheKernel(t *testing.T) {
	ns, outside := firewalltest.New(t), firewalltest.New(t)
	firewalltest.Join(t, ns, outside, []string{"192.0.2.1/24", "2001:db8::1/64"},
		[]string{
			"192.0.2.66/24", "203.0.113.66/32", "203.0.113.77/32", "203.0.113.88/32",
			"2001:db8:5::66/128", "2001:db8::66/64",
		})
	ns.Run(t, "ip", "route", "add", "203.0.113.0/24", "via", "192.0.2.66")
	ns.Run(t, "ip", "route", "add", "2001:db8:5::/48", "via", "2001:db8::66")
	table, err := firewall.Open(firewall.Options{
		Table: "amifend", NetNS: ns.FD(), MaxBans: 100, Feeds: []string{"one"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()

	p := netip.MustParsePrefix
	said, log := logtest.New()
	f, stop := runFeeder(t, FeederOptions{
		Table: table, Log: log, Names: []string{"one"},
		Never: func() protect.Set {
			return protect.Set{
				Entries: []protect.Entry{{Prefix: p("203.0.113.77/32"), Reason: "allowlist"}},
				OnLink:  []netip.Prefix{p("192.0.2.0/24")},
			}
		},
		Exempt: func(context.Context) ([]denylist.Exempt, error) {
			return []denylist.Exempt{{Prefix: p("203.0.113.88/32"), Reason: "a phone logged in"}}, nil
		},
	})
	defer stop()
	await := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("not within 10 s: %s; %+v", what, f.Status())
			}
		}
	}
	arrives := func(src, dst string) bool {
		t.Helper()
		l := ns.ListenUDP(t, dst)
		defer l.Close()
		if _, err := outside.DialUDP(t, src, dst).Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := l.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		_, _, err := l.ReadFrom(make([]byte, 10))
		return err == nil
	}

	// The second list has a prefix of its own, and one of the first.
	f.SetLists([]FeedList{
		feedList("one", "203.0.113.0/24", "192.0.2.0/24", "2001:db8:5::/48"),
		feedList("two", "203.0.113.64/26"),
	})
	await("both feeds are in the kernel", func() bool { return len(f.Status().Cuts) == 2 })
	for _, tt := range []struct {
		src, dst string
		want     bool
	}{
		{"203.0.113.66:0", "192.0.2.1:20000", false},
		{"203.0.113.77:0", "192.0.2.1:20000", true},
		{"203.0.113.88:0", "192.0.2.1:20000", true},
		{"192.0.2.66:0", "192.0.2.1:20000", true},
		{"[2001:db8:5::66]:0", "[2001:db8::1]:20000", false},
		{"[2001:db8::66]:0", "[2001:db8::1]:20000", true},
	} {
		if got := arrives(tt.src, tt.dst); got != tt.want {
			t.Errorf("a packet of %s arrives: %t, want %t", tt.src, got, tt.want)
		}
	}

	c := f.Dropped(t.Context())
	if c["one"].Packets != 2 || c["two"].Packets != 0 {
		t.Errorf("counted %v, want 2 of feed one", c)
	}
	told := said.Said("a feed lists who must not be dropped: they are spared", "")
	if len(told) != 2 || !strings.Contains(told[0].Text("spared"), "203.0.113.77/32: allowlist") ||
		!strings.Contains(told[0].Text("spared"), "203.0.113.88/32: a phone logged in") ||
		!strings.Contains(told[0].Text("spared"), "192.0.2.0/24: our own network") {
		t.Errorf("told %v", told)
	}

	// Others flush the sets. The enforcer notices that in the daemon.
	ns.NFT(t, "flush", "ruleset")
	if err := table.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !arrives("203.0.113.66:0", "192.0.2.1:20000") {
		t.Error("a flushed set drops")
	}
	f.LaidOut()
	await("the feed is back", func() bool { return !arrives("203.0.113.66:0", "192.0.2.1:20000") })

	// A feed that is gone drops nothing more, and the other one goes on.
	f.SetLists([]FeedList{feedList("two", "203.0.113.64/26")})
	await("feed one is gone", func() bool { return arrives("[2001:db8:5::66]:0", "[2001:db8::1]:20000") })
	if arrives("203.0.113.66:0", "192.0.2.1:20000") {
		t.Error("feed two does not drop any more")
	}
}
