//go:build chaos

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce/enforcetest"
	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
	"github.com/amifend/amifend/firewall"
)

// The kernel answers with errors, in random order and number, at random moments. The seam is the
// table that the enforcer has: the errors of a real kernel cannot be chosen. Time is virtual.
func TestNetlinkErrors(t *testing.T) {
	r := begin(t,
		"the kernel answers 1 to 20 times ENOBUFS, EPERM, ENFILE, ENOMEM or EBUSY, or the "+
			"table goes, among orders (through enforce.Table)",
		"in the end the kernel has exactly the bans that were ordered and not lifted",
	)
	rnd := rand.New(rand.NewPCG(4, uint64(time.Now().UnixNano())))
	for range times(30, 1000) {
		synctest.Test(t, func(t *testing.T) { r.took("last error to all right (virtual)", netlinkErrors(t, rnd)) })
		if t.Failed() {
			return
		}
		r.n++
	}
}

func netlinkErrors(t *testing.T, rnd *rand.Rand) time.Duration {
	said, log := logtest.New()
	kernel, mail, c := enforcetest.NewKernel(), bans.NewMail(), clock.New()
	e := enforce.New(enforce.Options{Table: kernel, Clock: c, Log: log, Mail: mail})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); e.Run(ctx) }()
	defer func() { cancel(); <-done }()
	synctest.Wait()

	// Orders and errors, mixed.
	errors := []error{
		syscall.ENOBUFS, syscall.EPERM, syscall.ENFILE, syscall.ENOMEM, syscall.EBUSY, nil,
	}
	want := map[string]bool{}
	for i := range 60 {
		prefix := fmt.Sprintf("10.0.%d.1/32", rnd.IntN(40))
		if rnd.IntN(4) == 0 {
			mail.Orders.Put(netip.MustParsePrefix(prefix), bans.Order{Lift: true, Why: "proved"})
			delete(want, prefix)
		} else {
			b := enforcetest.Ban(c, prefix, firewall.ScopeAll, 24*time.Hour)
			mail.Orders.Put(b.Prefix, bans.OrderOf(&b))
			want[prefix] = true
		}
		if i%12 == 0 {
			kernel.Set(func() {
				for range 1 + rnd.IntN(4) {
					kernel.Fail = append(kernel.Fail, errors[rnd.IntN(len(errors))])
				}
				kernel.Gone = kernel.Gone || rnd.IntN(8) == 0
			})
		}
		if rnd.IntN(3) == 0 {
			time.Sleep(time.Duration(rnd.Int64N(int64(2 * time.Second))))
		}
	}

	// The pauses between tries grow up to 30 s.
	began := time.Now()
	for range 3600 {
		synctest.Wait()
		if has := kernel.Has(); len(has) == len(want) && all(has, want) {
			return time.Since(began)
		}
		time.Sleep(time.Second)
	}
	t.Errorf("after an hour the kernel has %q, want %v:\n%s", kernel.Has(), want, said)
	return 0
}

// all reports whether each element, such as "10.0.1.1 all", is wanted.
func all(has []string, want map[string]bool) bool {
	for _, h := range has {
		var addr, scope string
		if _, err := fmt.Sscan(h, &addr, &scope); err != nil || !want[addr+"/32"] {
			return false
		}
	}
	return true
}
