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

// life is a journal on a machine whose clocks a test sets. The clock of a network namespace cannot
// be set, and no library can be put before a static program: so the seam is journal.Clock, which is
// all that amifend takes from the wall clock for what outlasts a run. A daemon that runs uses the
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

// decided is a ban that the journal has.
type decided struct {
	key    journal.Key
	boot   int
	passed time.Duration // of the life when it was decided
	exact  bool          // the clock was set in no later boot
}

// whole is how long each ban lasts.
const whole = 20 * 24 * time.Hour

// The clock is set by up to a day in either direction, again and again, while the journal runs and
// while it does not; the machine is off, and boots again. After a boot the wall clock is all that
// tells how long the machine was off: who sets it wrong then moves the ends of older bans, which
// the row does not count.
func TestClockIsSet(t *testing.T) {
	r := begin(t,
		"the clock is set by up to a day back or forward, while it runs and not; pauses, "+
			"reboots (through journal.Clock)",
		"a ban has the time left that was decided, within 3 s, while the clock is set in its "+
			"boot; never more than its whole time",
	)
	rnd := rand.New(rand.NewPCG(5, uint64(time.Now().UnixNano())))
	worst := time.Duration(0)
	for range times(6, 100) {
		l := &life{dir: t.TempDir(), wall: time.Now(), up: time.Hour}
		var all []*decided
		passed, booted := time.Duration(0), false
		set := func() {
			l.wall = l.wall.Add(time.Duration(rnd.Int64N(int64(48*time.Hour))) - 24*time.Hour)
			for _, d := range all {
				d.exact = d.exact && d.boot == l.boot
			}
		}

		for run := range 12 {
			// Right after a boot the clock is right: nothing else is known.
			if !booted && rnd.IntN(2) == 0 {
				set()
			}
			step := rnd.IntN(3) == 0
			snap := l.run(t, func(j *journal.Journal) {
				if step {
					set()
				}
				now := time.Now()
				d := &decided{boot: l.boot, passed: passed, exact: true, key: journal.Key{
					Prefix: netip.PrefixFrom(attacker(run), 32), Scope: firewall.ScopeAll,
				}}
				j.Ban(journal.Ban{Key: d.key, Rule: "score", Strike: 1, From: now, Until: now.Add(whole)})
				all = append(all, d)
			})

			for _, d := range all[:run] { // the last one is newer than the snapshot
				left, want := snap.Open[d.key.Compact()].Left, whole-(passed-d.passed)
				if left <= 0 || left > whole {
					t.Fatalf("%s of a ban of %s are left", left, whole)
				}
				off := (left - want).Abs()
				if d.exact {
					worst = max(worst, off)
					r.n++
				}
				if d.exact && off > 3*time.Second {
					t.Fatalf("%s are left, want %s", left, want)
				}
			}

			// A boot takes a part of the pause.
			const boot = 20 * time.Second
			pause := boot + time.Duration(rnd.Int64N(int64(8*time.Hour)))
			l.wall, passed = l.wall.Add(pause), passed+pause
			if l.up, booted = l.up+pause, rnd.IntN(4) == 0; booted {
				l.boot, l.up = l.boot+1, boot // it was off for most of the pause
			}
		}
	}
	r.note = "wrong by " + worst.Round(time.Millisecond).String() + " at most"
}
