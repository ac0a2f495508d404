package journal

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Clock is the machine's clocks. The zero value is the real ones.
type Clock struct {
	Wall func() time.Time // the wall clock, which may be set
	// how long the machine runs, as kernels count the timeouts of set elements: not while it sleeps
	Uptime func() time.Duration
	Boot   string // the id of this boot; "": nobody knows
}

// BootEnv is the environment variable that tells the id of the boot where /proc does not: write
// `Environment=AMIFEND_BOOT_ID=%b` into a systemd unit with ProcSubset=pid.
const BootEnv = "AMIFEND_BOOT_ID"

func (c Clock) orReal() Clock {
	if c.Wall == nil {
		c.Wall, c.Uptime, c.Boot = time.Now, uptime, bootID()
	}
	return c
}

func uptime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0 // cannot be: every Linux has it
	}
	return time.Duration(ts.Nano())
}

func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		b = []byte(os.Getenv(BootEnv))
	}
	return strings.ReplaceAll(strings.TrimSpace(string(b)), "-", "") // systemd writes it without
}

// stepLeast is how far the wall clock must be set to count as set: NTP slews what is less than half
// a second.
const stepLeast = 2000

// reading is both clocks at one moment, in milliseconds, as the table clock has it.
type reading struct {
	boot   int64  // counted by the journal
	bootID string // the machine's id of it, "" if unknown
	uptime int64
	wall   int64
	before int64 // the wall clock's last time of the boot before; 0: there was none
}

// timeline tells what times on disk mean now.
type timeline struct {
	clock Clock
	last  reading // the latest
}

// read takes a new reading, and returns by how much the wall clock was set since the last one. 0:
// it was not.
func (t *timeline) read() (step int64) {
	r := t.last
	r.uptime, r.wall = t.clock.Uptime().Milliseconds(), t.clock.Wall().UnixMilli()
	step = (r.wall - r.uptime) - (t.last.wall - t.last.uptime)
	t.last = r
	if -stepLeast < step && step < stepLeast {
		return 0
	}
	return step
}

// at is a time with a monotonic reading as the wall clock would show it by how it is set now.
func (t *timeline) at(when time.Time) int64 {
	return t.clock.Wall().Add(time.Until(when)).UnixMilli()
}

// now is the time that times of a boot are compared with.
func (t *timeline) now(boot int64) int64 {
	wall := t.clock.Wall().UnixMilli()
	if boot == t.last.boot {
		return wall
	}
	return max(wall, t.floor())
}

// floor is the least that the time can be by the wall clock of the boots before.
func (t *timeline) floor() int64 { return t.last.floorAt(t.clock.Uptime().Milliseconds()) }

func (r reading) floorAt(uptime int64) int64 {
	if r.bootID == "" { // the uptime may be that of the same boot
		return r.before
	}
	return r.before + uptime
}

// shift is a change that the times of bans need: those of one boot, or of all others.
type shift struct {
	others bool // all boots but the one
	boot   int64
	by     int64
}

// resume continues from the reading that a run before has left, and returns the shift that the
// times on disk need, if any.
func (t *timeline) resume(old reading) (shift, bool) {
	r := reading{boot: old.boot, bootID: t.clock.Boot, before: old.before}
	r.uptime, r.wall = t.clock.Uptime().Milliseconds(), t.clock.Wall().UnixMilli()
	step := (r.wall - r.uptime) - (old.wall - old.uptime)
	stepped := step <= -stepLeast || step >= stepLeast
	same := r.bootID != "" && r.bootID == old.bootID && r.uptime >= old.uptime

	// two boots look the same only if both clocks agree, which cannot happen by chance
	if r.bootID == "" || old.bootID == "" {
		same = r.uptime >= old.uptime && !stepped
	}

	if same {
		t.last = r
		return shift{boot: r.boot, by: step}, stepped
	}

	// A new boot. If the last one ran behind the times of those before it, those are brought to its
	// time first.
	ahead := old.floorAt(old.uptime) - old.wall
	r.boot, r.before = old.boot+1, old.wall
	t.last = r

	return shift{others: true, boot: old.boot, by: -ahead}, ahead >= stepLeast
}

// stepped tells whether the wall clock was set since the last reading.
func (t *timeline) stepped() bool {
	copied := *t
	return copied.read() != 0
}
