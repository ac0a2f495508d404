package operate_test

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/allowlist"
	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/denials"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce/enforcetest"
	"github.com/amifend/amifend/cmd/amifend/internal/judge"
	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
	"github.com/amifend/amifend/cmd/amifend/internal/operate"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

const (
	all = firewall.ScopeAll
	sip = firewall.ScopeSIP
)

// office is a service at work on a real judge, a real enforcer and a fake kernel.
type office struct {
	*operate.Service
	clock  clock.Clock
	mail   *bans.Mail
	in     chan stream.Sighting
	judge  *judge.Judge
	kernel *enforcetest.Kernel
	said   *logtest.Book
	start  func() (stop func())
}

// newOffice returns one whose goroutines do not run until start is called. 198.51.100.0/24 is
// allowlisted.
func newOffice(t testing.TB, trial time.Duration) *office {
	t.Helper()
	said, log := logtest.New()
	o := &office{
		clock: clock.New(), mail: bans.NewMail(), in: make(chan stream.Sighting, 8192),
		kernel: enforcetest.NewKernel(), said: said,
	}
	c := &config.Config{Policy: policy.DefaultOptions()}
	current := func() *config.Config { return c }
	watcher := protect.New(protect.Config{
		Allow: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")},
	})

	var err error
	o.judge, err = judge.New(judge.Options{
		Policy: c.Policy, Servers: []string{"pbx"}, Ports: firewall.Ports{SIP: firewall.DefaultSIPPorts()},
		Events: o.in,
		Protected: policy.NewProtected([]policy.ProtectedEntry{
			{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Reason: "allowlist"},
		}, nil),
		Mail: o.mail, Clock: o.clock, Log: log, Trial: trial,
	})
	if err != nil {
		t.Fatal(err)
	}

	denier := enforce.NewDenier(enforce.DenierOptions{
		Table: o.kernel, Log: slog.New(slog.DiscardHandler), Never: watcher.Current,
	})
	denied := denials.New(denials.Options{Log: log, Tell: denier.SetDenied})
	enforcer := enforce.New(enforce.Options{
		Table: o.kernel, Clock: o.clock, Log: log, Mail: o.mail,
	})
	if _, err := watcher.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	watcher.HandTo(func(set protect.Set) {
		enforcer.SetAllow(allowlist.ForKernel(set))
		o.judge.Protect(judge.Protected{Never: allowlist.ForPolicy(set), Learned: set.Learned})
	})
	o.Service = operate.New(operate.Options{
		Config: current, Log: log, Clock: o.clock, Judge: o.judge, Enforcer: enforcer,
		Denier: denier, Denials: denied, Sessions: func() []*stream.Session { return nil }, Watcher: watcher,
		Feed: &control.Feed{},
		Allowlist: allowlist.New(allowlist.Options{
			Config: current, Watcher: watcher, Clock: o.clock, Log: log,
		}),
	})

	o.start = func() (stop func()) {
		found, err := enforcer.Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}

		enforcer.Adopt(found, nil, o.judge.Admit)
		ctx, cancel := context.WithCancel(context.Background())
		var judge, kernel sync.WaitGroup
		judge.Go(o.judge.Run)
		kernel.Go(func() { enforcer.Run(ctx) })
		kernel.Go(func() { denier.Run(ctx) })
		return func() {
			close(o.in)
			judge.Wait()
			cancel()
			kernel.Wait()
		}
	}
	return o
}

// inOffice runs a test in a bubble of synctest.
func inOffice(t *testing.T, test func(t *testing.T, o *office)) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t, 0)
		defer o.start()()
		synctest.Wait()
		test(t, o)
	})
}

// onTrial is an office whose trial begins, with an older ban of 203.0.113.1 for two hours.
func onTrial(t *testing.T, d time.Duration, test func(t *testing.T, o *office)) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t, d)
		o.kernel.Elems[enforcetest.Key("203.0.113.1/32", sip)] = time.Now().Add(2 * time.Hour)
		defer o.start()()
		synctest.Wait()
		test(t, o)
	})
}

func newBanOf(prefix, scope string, d time.Duration) control.NewBan {
	return control.NewBan{Prefix: netip.MustParsePrefix(prefix), Scope: scope, For: d.Seconds()}
}

func (o *office) impose(t *testing.T, prefix, scope string, d time.Duration) control.BanResult {
	t.Helper()
	res, err := o.Ban(t.Context(), control.Peer{UID: 1000}, []control.NewBan{
		newBanOf(prefix, scope, d),
	})
	if err != nil || res[0].Error != nil {
		t.Fatalf("%+v, %v", res, err)
	}
	return res[0]
}

// attempt is a guess at an account over TCP.
func (o *office) attempt(addr string) stream.Sighting {
	now := o.clock.Now()
	return stream.Sighting{
		Observation: policy.Observation{
			At: now, Source: netip.MustParseAddrPort(addr), LocalPort: 5060,
			Kind: policy.KindInvalidPassword, Service: policy.ServicePJSIP, Stream: true,
		},
		Made: now,
	}
}

// attempts has an address fail over TCP, each time on another account.
func (o *office) attempts(addr string, n int) {
	for range n {
		o.in <- o.attempt(addr + ":5060")
	}
	synctest.Wait()
}

func (o *office) wantKernel(t *testing.T, elements ...string) {
	t.Helper()
	if got := o.kernel.Has(); !slices.Equal(got, elements) {
		t.Errorf("the kernel has %q, want %q", got, elements)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}
