package journal

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Clock provides the machine's clocks. The zero value provides the real ones.
type Clock struct {
	Wall func() time.Time // the wall clock, which may be set
	// Uptime is the time since boot, as the kernel counts the timeouts of set elements: without
	// suspend.
	Uptime func() time.Duration
	Boot   string // the id of this boot; "": unknown
}

// BootEnv is the environment variable with the id of the boot, for where /proc does not show it:
// write `Environment=AMIFEND_BOOT_ID=%b` into a systemd unit with ProcSubset=pid.
const BootEnv = "AMIFEND_BOOT_ID"

// OrReal returns c, or the real clocks for the zero value.
func (c Clock) OrReal() Clock {
	if c.Wall == nil {
		c.Wall, c.Uptime, c.Boot = time.Now, uptime, bootID()
	}
	return c
}

// uptime returns the monotonic clock.
func uptime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0 // not reached: every Linux has it
	}
	return time.Duration(ts.Nano())
}

// bootID returns the kernel's id of this boot, or "".
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		b = []byte(os.Getenv(BootEnv))
	}
	return strings.ReplaceAll(strings.TrimSpace(string(b)), "-", "") // as systemd writes it
}

// stepLeast is the smallest step of the wall clock that counts as set, in milliseconds. NTP slews
// what is less than half a second.
const stepLeast = 2000

// reading holds both clocks at one moment, in milliseconds, as the table clock stores them.
type reading struct {
	boot   int64  // number of the boot, counted by the journal
	bootID string // the machine's id of it; "": unknown
	uptime int64
	wall   int64
	before int64 // last wall clock time of the boot before; 0: none
}

// timeline translates times on disk into times of now.
type timeline struct {
	clock Clock
	last  reading // the latest reading
}

// read takes a new reading. It returns by how much the wall clock was set since the last one, 0 if
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

// at returns a time with a monotonic reading as the wall clock shows it now.
func (t *timeline) at(when time.Time) int64 {
	return t.clock.Wall().Add(time.Until(when)).UnixMilli()
}

// uptimeAt returns the uptime at a time with a monotonic reading.
func (t *timeline) uptimeAt(when time.Time) int64 {
	return (t.clock.Uptime() + time.Until(when)).Milliseconds()
}

// now returns the time to compare with times that were written in a boot.
func (t *timeline) now(boot int64) int64 {
	wall := t.clock.Wall().UnixMilli()
	if boot == t.last.boot {
		return wall
	}
	// A machine without a battery-backed clock boots in the past. At least its uptime has passed.
	return max(wall, t.floor())
}

// floor returns the earliest time that it can be, by the wall clock of the boots before.
func (t *timeline) floor() int64 { return t.last.floorAt(t.clock.Uptime().Milliseconds()) }

// floorAt returns the floor at an uptime.
func (r reading) floorAt(uptime int64) int64 {
	if r.bootID == "" { // this may still be the same boot, whose uptime counts already
		return r.before
	}
	return r.before + uptime
}

// shift is a correction of the times of bans: of one boot, or of all others.
type shift struct {
	others bool // of all boots but this one
	boot   int64
	by     int64
}

// resume continues from the last reading of an earlier run. It returns the correction that the
// times on disk need, and reports whether they need one.
func (t *timeline) resume(old reading) (shift, bool) {
	r := reading{boot: old.boot, bootID: t.clock.Boot, before: old.before}
	r.uptime, r.wall = t.clock.Uptime().Milliseconds(), t.clock.Wall().UnixMilli()
	step := (r.wall - r.uptime) - (old.wall - old.uptime)
	stepped := step <= -stepLeast || step >= stepLeast
	same := r.bootID != "" && r.bootID == old.bootID && r.uptime >= old.uptime

	// Without ids, two boots look the same only if both clocks agree, which does not happen by
	// chance.
	if r.bootID == "" || old.bootID == "" {
		same = r.uptime >= old.uptime && !stepped
	}

	if same {
		t.last = r
		return shift{boot: r.boot, by: step}, stepped
	}

	// This is a new boot. If the last one ran behind the times of those before it, their times are
	// moved to its time first.
	ahead := old.floorAt(old.uptime) - old.wall
	r.boot, r.before = old.boot+1, old.wall
	t.last = r

	return shift{others: true, boot: old.boot, by: -ahead}, ahead >= stepLeast
}

// stepped reports whether the wall clock was set since the last reading.
func (t *timeline) stepped() bool {
	copied := *t
	return copied.read() != 0
}
