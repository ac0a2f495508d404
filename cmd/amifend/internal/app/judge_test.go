package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/policy"
)

// attempt is a guess at an account over TCP.
func attempt(c clock, addr string, account policy.Label) sighting {
	now := c.now()
	return sighting{
		Observation: policy.Observation{
			At: now, Source: netip.MustParseAddrPort(addr), LocalPort: 5060, Kind: policy.KindInvalidPassword,
			Service: policy.ServicePJSIP, Stream: true, Account: account,
		},
		made: now,
	}
}

// The judge goes on while the kernel hangs and the log is not read, and all that it decided comes later.
func TestJudgeWaitsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unread := make(chan struct{})
		said, log := newJournal()
		s := newSpool(stuck{log.Handler(), unread})
		p := newPath(t, slog.New(s))
		kernel := newFakeTable()
		kernel.gate = make(chan struct{})
		p.enforcer.table = kernel
		p.judge.masked.log = p.Log
		ctx, stop := context.WithCancel(t.Context())
		var stages sync.WaitGroup
		stages.Go(p.judge.run)
		stages.Go(func() { p.enforcer.run(ctx) })
		const sources = 3000 // each of a /24 of its own, so that no prefix is banned
		for i := range sources {
			for range 7 {
				p.in <- attempt(p.clock, fmt.Sprintf("10.%d.%d.1:5060", i/250, i%250), policy.Label{})
			}
		}
		for range 50 { // and something to say
			p.in <- attempt(p.clock, "198.51.100.7:5060", policy.Label{})
		}
		synctest.Wait()
		if n := len(p.in); n != 0 {
			t.Fatalf("%d sightings wait for the kernel", n)
		}
		if n := p.judge.engine.Stats().Bans; n != sources {
			t.Errorf("%d bans decided", n)
		}
		close(unread)
		close(kernel.gate)
		time.Sleep(time.Second)
		if n := len(kernel.has()); n != sources {
			t.Errorf("the kernel has %d bans", n)
		}
		close(p.in)
		stop()
		stages.Wait()
		s.close()
		said.count(t, sources, "banned", "")
	})
}

func TestVerdictsBecomeOrders(t *testing.T) {
	said, log := newJournal()
	p := newPath(t, log)
	protected := newProtected(protect.Set{Entries: []protect.Entry{{Prefix: netip.MustParsePrefix("192.0.2.1/32"), Reason: "default gateway via eth0"}}})
	p.judge.masked.protected = protected
	prefix := netip.MustParsePrefix("192.0.2.1/32")
	now := p.clock.now()
	p.judge.order([]policy.Verdict{
		{Action: policy.ActionNone},
		{Action: policy.ActionBan, Scope: policy.ScopeAll, Prefix: prefix, At: now, Duration: time.Hour, Rule: policy.RuleProvenScore, Attempts: 4},
	})
	o := p.judge.orders.take()[prefix]
	if o.lift || o.ban == nil || o.ban.Scope != all || o.ban.until != now+int64(time.Hour) || o.ban.Rule != "proven_score" {
		t.Errorf("order %+v", o)
	}
	p.judge.ineffective.bans[prefix] = covered{}
	p.judge.order([]policy.Verdict{{Action: policy.ActionUnban, Prefix: prefix, Rule: policy.RuleProtected}})
	if o := p.judge.orders.take()[prefix]; !o.lift || o.why != "protected: default gateway via eth0" {
		t.Errorf("order %+v", o)
	}
	if len(p.judge.ineffective.bans) != 0 {
		t.Error("a lifted ban is still thought to be in force")
	}
	said.count(t, 0, "alert", "") // no ban is an alert
}

func TestMasked(t *testing.T) {
	const msg = "most failures come from one address that is never banned: the PBX does not see real sources"
	tell := func(t *testing.T, play func(see func(server uint16, addr string, n int), pass func(time.Duration))) *logbook {
		said, log := newJournal()
		prot := newProtected(protect.Set{Entries: []protect.Entry{{Prefix: netip.MustParsePrefix("172.17.0.0/16"), Reason: "our own address"}}})
		m := newMasked(log, []string{"a", "b"}, prot, policy.DefaultOptions().Weights)
		at := int64(1e18)
		play(func(server uint16, addr string, n int) {
			for range n {
				s := sighting{Observation: policy.Observation{At: at, Server: server, Kind: policy.KindInvalidAccountID, Source: netip.MustParseAddrPort(addr + ":5060")}}
				m.check(&s)
			}
		}, func(d time.Duration) { at += int64(d) })
		if len(m.told) > maskTold {
			t.Errorf("remembers %d addresses", len(m.told))
		}
		return said
	}
	for name, test := range map[string]struct {
		play func(see func(uint16, string, int), pass func(time.Duration))
		want int
	}{
		"docker-proxy": {func(see func(uint16, string, int), _ func(time.Duration)) { see(0, "172.17.0.1", 200) }, 1},
		"loopback":     {func(see func(uint16, string, int), _ func(time.Duration)) { see(0, "127.0.0.1", 200) }, 1},
		"too few":      {func(see func(uint16, string, int), _ func(time.Duration)) { see(0, "172.17.0.1", 19) }, 0},
		"an attacker":  {func(see func(uint16, string, int), _ func(time.Duration)) { see(0, "203.0.113.1", 200) }, 0},
		"most are others'": {func(see func(uint16, string, int), _ func(time.Duration)) {
			see(0, "203.0.113.1", 60)
			see(0, "172.17.0.1", 50)
		}, 0},
		"another PBX sees sources": {func(see func(uint16, string, int), _ func(time.Duration)) {
			see(1, "203.0.113.1", 900)
			see(0, "172.17.0.1", 30)
		}, 1},
		"spread over a day": {func(see func(uint16, string, int), pass func(time.Duration)) {
			for range 100 {
				see(0, "172.17.0.1", 10)
				pass(11 * time.Minute)
			}
		}, 0},
		"again the next day": {func(see func(uint16, string, int), pass func(time.Duration)) {
			see(0, "172.17.0.1", 50)
			pass(25 * time.Hour)
			see(0, "172.17.0.1", 50)
		}, 2},
		"many allowlisted": {func(see func(uint16, string, int), pass func(time.Duration)) {
			for i := range 1500 {
				see(0, fmt.Sprintf("172.17.%d.%d", 1+i/250, i%250), 25)
				pass(11 * time.Minute)
			}
		}, 1500},
	} {
		t.Run(name, func(t *testing.T) {
			ls := tell(t, test.play).count(t, test.want, msg, "")
			if test.want == 1 && (ls[0].text("server") != "a" || ls[0].text("do") == "" || ls[0].text("protected_as") == "") {
				t.Errorf("said %v", ls[0])
			}
		})
	}
}

// A success, or a challenge, is no failure; an injection is one.
func TestMaskedCountsFailures(t *testing.T) {
	_, log := newJournal()
	m := newMasked(log, []string{"a"}, nil, policy.DefaultOptions().Weights)
	src := netip.MustParseAddrPort("192.0.2.1:5060")
	for _, o := range []policy.Observation{
		{Kind: policy.KindSuccessfulAuth, Source: src},
		{Kind: policy.KindChallengeSent, Source: src},
		{Kind: policy.KindInvalidPassword, Source: src},
		{Kind: policy.KindSuccessfulAuth, Injected: true, Source: src},
	} {
		m.check(&sighting{Observation: o})
	}
	if m.votes[0].failures != 2 {
		t.Errorf("%d failures", m.votes[0].failures)
	}
}

// stuck is a log that nobody reads until ready is closed.
type stuck struct {
	slog.Handler
	ready chan struct{}
}

func (s stuck) Handle(ctx context.Context, r slog.Record) error {
	<-s.ready
	return s.Handler.Handle(ctx, r)
}
