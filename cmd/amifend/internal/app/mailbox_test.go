package app

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// Nothing is lost between a sender and a receiver that do not wait for each other, and of each key the last value comes
// last.
func TestMailbox(t *testing.T) {
	const keys, rounds = 10, 20_000
	m := newMailbox[int, int](nil)
	var sender sync.WaitGroup
	sender.Go(func() {
		for i := range rounds {
			m.put(i%keys, i)
		}
	})
	done := make(chan struct{})
	go func() {
		sender.Wait()
		close(done)
	}()
	last := make(map[int]int)
	take := func() {
		for k, v := range m.take() {
			if v < last[k] {
				t.Errorf("%d came after %d", v, last[k])
			}
			last[k] = v
		}
	}
	for running := true; running; {
		select {
		case <-m.wake:
			take()
		case <-done:
			running = false
		}
	}
	select {
	case <-m.wake:
		take()
	default:
	}
	for k := range keys {
		if last[k] != rounds-keys+k {
			t.Errorf("key %d ends with %d", k, last[k])
		}
	}
	if m.take() != nil {
		t.Error("something is left without a token")
	}
}

func TestOfferLeavesTheLatest(t *testing.T) {
	ch := make(chan int, 1)
	for i := range 5 {
		offer(ch, i)
	}
	if v := <-ch; v != 4 {
		t.Errorf("got %d", v)
	}
}

// Being asked to stop while it starts is no failure.
func TestStoppedAtTheStart(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := &config.Config{
		Policy: policy.DefaultOptions(), Observe: true,
		Servers: []config.Server{{Name: "pbx", Address: "127.0.0.1:1", Host: "127.0.0.1", Username: "u"}}, // no secret: refused
	}
	if err := Run(ctx, Options{Config: c, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Error(err)
	}
	if err := Run(t.Context(), Options{Config: c, Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("runs without a secret")
	}
}

// More bans are in the kernel than the policy has room for: they stay as they are, and it is told.
func TestAdoptionOfTooMany(t *testing.T) {
	said, log := newJournal()
	p := newPath(t, log)
	opts := policy.DefaultOptions()
	opts.MaxBans = 2
	engine, err := policy.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	p.judge.engine = engine
	kernel := newFakeTable()
	p.table = kernel
	for _, prefix := range []string{"203.0.113.1/32", "203.0.113.2/32", "203.0.113.3/32"} {
		kernel.elems[key{netip.MustParsePrefix(prefix), all}] = time.Now().Add(time.Hour)
	}
	n, err := p.adopt(t.Context())
	if err != nil || n.kernel != 3 || len(p.enforcer.ledger.bans) != 3 || len(p.enforcer.ledger.lifts) != 0 {
		t.Errorf("adopted %d, %v: %v", n, err, p.enforcer.ledger)
	}
	said.count(t, 1, "alert", "")
	said.count(t, 3, "adopted", "")
}

// The start fails, with the reason, when the kernel refuses.
func TestAdoptionFails(t *testing.T) {
	for name, breakIt := range map[string]func(*fakeTable){
		"broken":        func(f *fakeTable) { f.broken = errKernel },
		"no permission": func(f *fakeTable) { f.fail = []error{firewall.ErrPermission} },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPath(t, slog.New(slog.DiscardHandler))
			kernel := newFakeTable()
			breakIt(kernel)
			p.table = kernel
			if _, err := p.adopt(t.Context()); err == nil {
				t.Error("started")
			}
		})
	}
}

// A part that fails is started again, and the others go on.
func TestLasting(t *testing.T) {
	said, log := newJournal()
	d := &daemon{Options: Options{Log: log}}
	ctx, cancel := context.WithCancel(t.Context())
	runs := 0
	d.lasting(ctx, "watch", func() error {
		if runs++; runs == 2 {
			cancel()
		}
		return errKernel
	})
	if l := said.count(t, 1, "watch ended: starting it again", "")[0]; runs != 2 || l.text("err") == "" {
		t.Errorf("%d runs, said %v", runs, l)
	}
}

func TestProtectTellsBoth(t *testing.T) {
	p := newPath(t, slog.New(slog.DiscardHandler))
	prefix := netip.MustParsePrefix("192.0.2.1/32")
	p.protect(protect.Set{Entries: []protect.Entry{{Prefix: prefix, Reason: "DNS resolver"}}})
	if allow := <-p.enforcer.allow; len(allow) != 1 || allow[0] != prefix {
		t.Errorf("the kernel gets %v", allow)
	}
	if reason, ok := (<-p.protected).Contains(prefix.Addr()); !ok || reason != "DNS resolver" {
		t.Errorf("the policy gets %q", reason)
	}
}
