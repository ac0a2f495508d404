package judge

import (
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce/enforcetest"
)

// What is decided while a trial's bans are being kept is not shortened by what the trial had
// decided.
func TestDecidedWhileKept(t *testing.T) {
	inCourt(t, func(t *testing.T, c *court) {
		ban := func(d time.Duration) {
			t.Helper()
			i, err := c.Impose(t.Context(), Imposition{
				Prefix: enforcetest.Key("203.0.113.2/32", all).Prefix, Scope: all, For: d,
			})
			if err != nil || i.Scope != all {
				t.Fatalf("%+v, %v", i, err)
			}
		}

		ban(time.Hour)
		c.call(t, func() { // some are kept, and there are more
			if _, more := c.keep(0); !more {
				t.Error("all are kept")
			}
		})

		ban(5 * time.Hour)
		if n, wasOn, err := c.Keep(t.Context()); err != nil || n != 0 || !wasOn {
			t.Errorf("%d, %v, %v", n, wasOn, err)
		}

		time.Sleep(4 * time.Hour)
		c.wantKernel(t, "203.0.113.2 all")
	}, func(o *Options) { o.Trial = 10 * time.Minute })
}

// The list of what a trial that is over would have banned is made in parts.
func TestEachObserved(t *testing.T) {
	inCourt(t, func(t *testing.T, c *court) {
		const many = 3*callMost + 1
		time.Sleep(time.Minute)
		c.call(t, func() {
			for i := range many {
				b := enforcetest.Ban(c.clock, scattered(i).Addr().String()+"/32", all, time.Hour)
				if c.ban(&b) {
					t.Fatal("banned after the trial")
				}
			}
		})

		n := 0
		err := c.EachObserved(t.Context(), func(part []bans.Ban) { n += len(part) })
		if err != nil || n != many {
			t.Errorf("%d, %v", n, err)
		}
	}, func(o *Options) { o.Trial = time.Second })
}
