package ami

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/ami/amitest"
)

// TestSessionReconnectsAfterRestart restarts the PBX; a real one took 1.2 s from a kill to the next
// login (capture 11d).
func TestSessionReconnectsAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pbx := newPBX(t, amitest.Behaviour{})
		r := startSession(t, pbx, nil)
		for i := range 20 {
			time.Sleep(5 * time.Second)
			if s := r.session.Status(); s.Phase != PhaseConnected {
				t.Fatalf("restart %d: %+v", i, s)
			}

			// The PBX is away for up to three seconds.
			pbx.Stop()
			time.Sleep(time.Duration(i) * 150 * time.Millisecond)
			if err := pbx.Start(); err != nil {
				t.Fatal(err)
			}

			// The first attempt comes within a second of the loss, later ones each second.
			back := time.Now()
			for r.session.Status().Phase != PhaseConnected {
				time.Sleep(10 * time.Millisecond)
			}
			if took := time.Since(back); took > 1500*time.Millisecond {
				t.Errorf("restart %d: back %s after the PBX, want 1.5 s at most", i, took)
			}
		}

		s := r.session.Status()
		if s.Reconnects != 20 || s.Gaps != 20 {
			t.Errorf("status %+v", s)
		}
		assertPace(t, pbx.Accepted())
	})
}

// assertPace fails when two connections came less than a second apart.
func assertPace(t *testing.T, at []time.Time) {
	t.Helper()
	for i := 1; i < len(at); i++ {
		if d := at[i].Sub(at[i-1]); d < time.Second {
			t.Errorf("connection %d came %s after the one before", i, d)
		}
	}
}

func TestSessionKeepsItsPaceWhenCutAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pbx := newPBX(t, amitest.Behaviour{})
		r := startSession(t, pbx, nil)
		for range 1000 {
			time.Sleep(100 * time.Millisecond)
			pbx.Cut()
		}

		at := pbx.Accepted()
		assertPace(t, at)
		if len(at) < 50 {
			t.Errorf("only %d connections in 100 s", len(at))
		}
		if s := r.session.Status(); s.Gaps < 40 || s.Gaps != s.Reconnects+1 &&
			s.Gaps != s.Reconnects {
			t.Errorf("status %+v", s)
		}
	})
}

// attempts counts the calls of a Dial by their time.
type attempts struct {
	mu sync.Mutex
	at []time.Time
}

func (a *attempts) dial(dial dialFunc) func(*Config) {
	return func(c *Config) {
		c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			a.mu.Lock()
			a.at = append(a.at, time.Now())
			a.mu.Unlock()
			return dial(ctx, network, address)
		}
	}
}

func (a *attempts) gaps() []time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	var gaps []time.Duration
	for i := 1; i < len(a.at); i++ {
		gaps = append(gaps, a.at[i].Sub(a.at[i-1]))
	}
	return gaps
}

func TestSessionRetriesEverySecondWhileRefusedThenBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pbx := newPBX(t, amitest.Behaviour{})
		pbx.Stop()
		var a attempts
		startSession(t, pbx, a.dial(pbx.Dial))
		time.Sleep(10 * time.Minute)

		// Every second for the first minute, as Asterisk may restart; then less and less often.
		at := time.Duration(0)
		gaps := a.gaps()
		for i, gap := range gaps {
			at += gap
			if gap < time.Second || gap > maxRetry ||
				(at < refusedPatience && gap > 1200*time.Millisecond) {
				t.Errorf("attempt %d came %s after the one before, %s after the first", i+1, gap,
					at)
			}
		}

		if last := gaps[len(gaps)-1]; last < 15*time.Second {
			t.Errorf("still %s between attempts after ten minutes", last)
		}
	})
}

func TestSessionBacksOffFurtherAfterRefusedLogin(t *testing.T) {
	for name, b := range map[string]amitest.Behaviour{
		"wrong secret":       {Refusal: "Authentication failed"},
		"no read = security": {NoSecurity: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pbx := newPBX(t, b)
				var a attempts
				startSession(t, pbx, a.dial(pbx.Dial))
				time.Sleep(time.Hour)

				// A refused login must not be tried every second.
				gaps := a.gaps()
				for i, gap := range gaps {
					if gap < 8*time.Second {
						t.Errorf("attempt %d came %s after the one before", i+1, gap)
					}
				}

				// Asterisk logs each refusal, and counts it against its authlimit.
				if len(gaps) > 24 {
					t.Errorf("%d logins in an hour", len(gaps))
				}
				if last := gaps[len(gaps)-1]; last > 6*time.Minute+10*time.Second {
					t.Errorf("%s between attempts: so long the repair takes no effect", last)
				}
			})
		})
	}
}

// TestSessionTellsSinceWhenItIsDown has many attempts fail: none of them makes the time without
// events seem shorter.
func TestSessionTellsSinceWhenItIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pbx := newPBX(t, amitest.Behaviour{})
		pbx.Stop()
		began := time.Now()
		r := startSession(t, pbx, nil)
		time.Sleep(time.Hour)

		// Without any connection it is down since the first attempt, not since the last one.
		if s := r.session.Status(); !s.Down.Equal(began) || s.Attempts < 10 {
			t.Errorf("down since %s after %d attempts, want since %s", s.Down, s.Attempts, began)
		}
		if err := pbx.Start(); err != nil {
			t.Fatal(err)
		}

		time.Sleep(time.Minute)
		if s := r.session.Status(); s.Phase != PhaseConnected || !s.Down.IsZero() {
			t.Errorf("%s, down since %s", s.Phase, s.Down)
		}

		// After a loss the time without events begins at the loss.
		lost := time.Now()
		pbx.Stop()
		time.Sleep(time.Hour)

		if s := r.session.Status(); !s.Down.Equal(lost) {
			t.Errorf("down since %s, want since %s", s.Down, lost)
		}
	})
}
