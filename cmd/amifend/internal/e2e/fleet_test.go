//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/e2e/lab"
	"github.com/amifend/amifend/cmd/amifend/internal/e2e/sip"
)

// fleet is a group of honest phones that register and call again and again.
type fleet struct {
	phones []*sip.Phone
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu       sync.Mutex
	rounds   []int // of each phone: one registration and one call
	failures []string
}

// phonePatience is how long a phone waits for an answer: by then a request was sent four times. It
// is far more than the lab's milliseconds, since a busy machine may stand still for seconds, and
// far less than a ban lasts.
const phonePatience = 10 * time.Second

// startFleet starts a phone for each transport, with addresses from 10.20.0.111 or 2001:db8:20::111
// on and accounts from 1011 on. Each has registered and called once when it returns.
func startFleet(t *testing.T, w *world, transports ...sip.Transport) *fleet {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f := &fleet{cancel: cancel, rounds: make([]int, len(transports))}
	for i, tr := range transports {
		addr := netip.MustParseAddr(fmt.Sprintf("10.20.0.%d", 111+i))
		if i%3 == 2 && w.Release == "sid" { // Asterisk 16 of the lab listens on IPv4 only
			addr = netip.MustParseAddr(fmt.Sprintf("2001:db8:20::%d", 111+i))
		}
		p := w.phone(t, tr, addr, fmt.Sprint(1011+i))
		f.phones = append(f.phones, p)
		f.group.Go(func() { f.use(ctx, i, p) })
	}
	t.Cleanup(func() { f.stop() })

	eventually(t, 2*phonePatience, "every phone registers and calls", func() bool {
		f.check(t)
		return f.least() > 0
	})
	return f
}

// use registers and calls from one phone until ctx ends.
func (f *fleet) use(ctx context.Context, i int, p *sip.Phone) {
	register := func(ctx context.Context) error { return p.Register(ctx, time.Minute) }
	call := func(ctx context.Context) error { return p.Call(ctx, "600", 100*time.Millisecond) }
	for ctx.Err() == nil {
		err := patiently(ctx, register)
		if err == nil {
			err = patiently(ctx, call)
		}

		// An error at the end of the test is the test's own doing.
		f.mu.Lock()
		if err == nil {
			f.rounds[i]++
		} else if ctx.Err() == nil {
			now := time.Now().Format("15:04:05.000")
			f.failures = append(f.failures,
				fmt.Sprintf("%s %s %s %s: %v", now, p.Transport, p.Local, p.User, err))
		}
		f.mu.Unlock()

		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func patiently(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, phonePatience)
	defer cancel()
	return do(ctx)
}

// check fails the test if a phone was cut off since the last check.
func (f *fleet) check(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, failure := range f.failures {
		t.Errorf("phone cut off: %s", failure)
	}
	f.failures = nil
}

// works fails the test unless every phone registers and calls once more from now on.
func (f *fleet) works(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	before := append([]int(nil), f.rounds...)
	f.mu.Unlock()

	eventually(t, 3*phonePatience, "every phone registers and calls again", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		for i := range before {
			if f.rounds[i] < before[i]+2 { // a whole round that began after now
				return false
			}
		}
		return true
	})
	f.check(t)
}

// least returns how many rounds the slowest phone made.
func (f *fleet) least() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	least := f.rounds[0]
	for _, n := range f.rounds {
		least = min(least, n)
	}
	return least
}

// stop ends the phones and returns how many rounds all of them made.
func (f *fleet) stop() (rounds int) {
	f.cancel()
	f.group.Wait()

	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.rounds {
		rounds += n
	}
	return rounds
}

// unbanned fails the test if an element in the kernel covers an address.
func (w *world) unbanned(t *testing.T, who lab.Who, addr netip.Addr) {
	t.Helper()
	for _, e := range w.bans(t, who) {
		if e.Prefix.Contains(addr) {
			t.Errorf("%s must never be banned, and is: %+v", addr, e)
		}
	}
}
