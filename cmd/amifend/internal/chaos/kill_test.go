//go:build chaos

package chaos

import (
	"math/rand/v2"
	"net/netip"
	"syscall"
	"testing"
	"time"
)

// load has attackers guess, one after the other, until the function that it returns is called. That
// returns the number of the next one.
func (s *site) load(from int) (stop func() int) {
	quit, done := make(chan struct{}), make(chan int)
	go func() {
		i := from
		for {
			select {
			case <-quit:
				done <- i
				return
			case <-time.After(time.Millisecond):
				guess(s.pbxs[i%len(s.pbxs)], attacker(i), 4)
				i++
			}
		}
	}()
	return func() int { close(quit); return <-done }
}

// kill -9 at random moments under load.
func TestKillAtRandomMoments(t *testing.T) {
	r := begin(t,
		"kill -9 at a random moment under load",
		"the kernel keeps every ban that was announced, and the next run adopts it",
	)
	s := newSite(t, 2)
	rnd := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	all := map[netip.Prefix]bool{}
	next := 0
	for range times(6, 100) {
		p, took := s.start(t)
		r.took("kill to ready again", took)
		stop := s.load(next)
		time.Sleep(time.Duration(rnd.Int64N(int64(700 * time.Millisecond))))
		p.kill()
		next = stop()

		for _, b := range announced(p) {
			all[b] = true
		}
		has := s.bans(t)
		for b := range all {
			if !has[b] {
				t.Fatalf("run %d: %s was announced, and is not in the kernel", r.n, b)
			}
		}
		r.n++
	}

	// The last run knows all of them: an operator sees and lifts them.
	s.start(t)
	st, err := s.status(t)
	if err != nil || st.Firewall.Bans < len(all) {
		t.Errorf("%d bans are known of %d that were announced, %v", st.Firewall.Bans, len(all), err)
	}
	r.note = plural(len(all), "ban") + " announced, 0 lost"
}

// A reboot after a kill: the kernel has nothing, the journal what was written.
func TestKillAndReboot(t *testing.T) {
	r := begin(t,
		"kill -9, then a reboot: the kernel empty, the journal kept",
		"every ban that status says is written is back in the kernel",
	)
	s := newSite(t, 2)
	next := 0
	for range times(3, 100) {
		p, _ := s.start(t)
		stop := s.load(next)
		time.Sleep(200 * time.Millisecond)
		next = stop()
		s.written(t)
		want := announced(p)
		p.kill()

		s.reboot(t)
		_, took := s.start(t)
		began := time.Now()
		within(t, soon, "the bans are back", func() bool {
			has := s.bans(t)
			for _, b := range want {
				if !has[b] {
					return false
				}
			}
			return true
		})
		r.took("start to all bans back", took+time.Since(began))
		s.running.kill()
		r.n++
	}
	r.note = plural(len(s.bans(t)), "ban")
}

// SIGHUP at any moment, and SIGTERM at any moment, also in the middle of a start or a reload.
func TestSignalsAtAnyMoment(t *testing.T) {
	r := begin(t,
		"SIGHUP at random moments and SIGTERM at another, under load, also while it starts",
		"it ends in order within 45 s, exit code 0, and keeps every announced ban",
	)
	s := newSite(t, 2)
	rnd := rand.New(rand.NewPCG(2, uint64(time.Now().UnixNano())))
	next, hangups := 0, 0
	all := map[netip.Prefix]bool{}
	for range times(6, 100) {
		stop := s.load(next)
		p := s.launch(t)

		// Before the first millisecond of main a SIGHUP still ends every Go program.
		within(t, soon, "the program has begun", func() bool { return len(p.said("the process is confined")) > 0 })
		for range rnd.IntN(6) {
			time.Sleep(time.Duration(rnd.Int64N(int64(60 * time.Millisecond))))
			_ = p.cmd.Process.Signal(syscall.SIGHUP)
			hangups++
		}
		time.Sleep(time.Duration(rnd.Int64N(int64(120 * time.Millisecond))))
		began := time.Now()
		p.stop(t)
		r.took("SIGTERM to the end", time.Since(began))
		next = stop()

		for _, b := range announced(p) {
			all[b] = true
		}
		has := s.bans(t)
		for b := range all {
			if !has[b] {
				t.Fatalf("run %d: %s was announced, and is not in the kernel", r.n, b)
			}
		}
		r.n++
	}
	r.note = plural(hangups, "SIGHUP") + ", " + plural(len(all), "ban")
}
