//go:build chaos

package chaos

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/firewall"
)

// life is a journal on a machine whose clocks a test sets. The clock of a network namespace cannot be
// set, and no library can be put before a static program: so the seam is journal.Clock, which is all
// that amifend takes from the wall clock for what outlasts a run. A daemon that runs uses the
// monotonic clock alone (package clock).
type life struct {
	dir  string
	wall time.Time
	up   time.Duration
	boot int
}

// run runs the journal once, and returns what it knows.
func (l *life) run(t *testing.T, during func(j *journal.Journal)) *journal.Snapshot {
	t.Helper()
	j := journal.New(journal.Options{
		Directory: l.dir, MaxWaiting: 1000, Retain: 90 * 24 * time.Hour, MaxSize: 100 << 20,
		BanMax: 30 * 24 * time.Hour, Log: slog.New(slog.DiscardHandler),
		Clock: journal.Clock{
			Wall:   func() time.Time { return l.wall },
			Uptime: func() time.Duration { return l.up },
			Boot:   fmt.Sprint("boot", l.boot),
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); j.Run(ctx) }()
	defer func() { cancel(); <-done }()

	snap, err := j.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	during(j)
	if err := j.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	return snap
}

// The clock is set by up to a day in either direction, again and again, while the journal runs and
// while it does not; the machine is off, and boots again.
func TestClockIsSet(t *testing.T) {
	r := begin(t, "the clock is set by up to a day back or forward, while it runs and not; pauses, reboots (through journal.Clock)", "a ban has exactly the time left that was decided; after a reboot with a wrong clock never more")
	rnd := rand.New(rand.NewPCG(5, uint64(time.Now().UnixNano())))
	worst := time.Duration(0)
	for range times(10, 200) {
		const whole = 20 * 24 * time.Hour
		l := &life{dir: t.TempDir(), wall: time.Now(), up: time.Hour}
		key := journal.Key{Prefix: netip.MustParsePrefix("203.0.113.7/32"), Scope: firewall.ScopeAll}
		l.run(t, func(j *journal.Journal) {
			now := time.Now()
			j.Ban(journal.Ban{Key: key, Rule: "score", Strike: 1, From: now, Until: now.Add(whole)})
		})

		passed, set := time.Duration(0), func() {
			l.wall = l.wall.Add(time.Duration(rnd.Int64N(int64(48*time.Hour))) - 24*time.Hour)
		}
		for range 12 {
			pause := time.Duration(rnd.Int64N(int64(8 * time.Hour)))
			l.wall, l.up, passed = l.wall.Add(pause), l.up+pause, passed+pause
			if rnd.IntN(2) == 0 {
				set()
			}

			// A right clock at the boot: a machine's own, or set before amifend starts.
			step := rnd.IntN(3) == 0
			snap := l.run(t, func(j *journal.Journal) {
				if step {
					set()
					j.Save([]journal.Row{{Key: []byte("chaos"), Value: []byte("a commit")}})
				}
			})
			left := snap.Open[key].Left
			off := (left - (whole - passed)).Abs()
			if worst = max(worst, off); off > 3*time.Second {
				t.Fatalf("%s are left, want %s", left, whole-passed)
			}

			if rnd.IntN(4) == 0 {
				off := time.Duration(rnd.Int64N(int64(4 * time.Hour)))
				l.boot++
				l.up = 20 * time.Second
				l.wall, passed = l.wall.Add(off), passed+off
			}
		}
		r.n += 12
	}
	r.note = "wrong by " + worst.Round(time.Millisecond).String() + " at most"
}
