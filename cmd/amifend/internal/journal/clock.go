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
	// Uptime is the time since boot, without the time of suspends. The kernel counts the timeouts
	// of set elements by the same clock.
	Uptime func() time.Duration
	Boot   string // the id of this boot; "": unknown
}

// BootEnv is the environment variable with the id of the boot, for a process whose /proc does not
// show it. A systemd unit with ProcSubset=pid sets it by `Environment=AMIFEND_BOOT_ID=%b`.
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
	return strings.ReplaceAll(strings.TrimSpace(string(b)), "-", "") // the form of systemd's %b
}

// stepLeast is the smallest step of the wall clock in milliseconds that counts as setting the
// clock. NTP corrects less than half a second without a step.
const stepLeast = 2000

// reading holds both clocks at one moment, in milliseconds, as the table clock stores them.
type reading struct {
	boot   int64  // number of the boot, counted by the journal
	bootID string // the machine's id of it; "": unknown
	uptime int64
	wall   int64
	before int64 // the last wall clock time of the boot before; 0: none
}

// timeline converts between times on disk and times with a monotonic clock reading.
type timeline struct {
	clock Clock
	last  reading // the latest reading
}

// read takes a new reading. It returns the step by which the wall clock was set since the last one,
// or 0.
func (t *timeline) read() (step int64) {
	r := t.last
	r.uptime, r.wall = t.clock.Uptime().Milliseconds(), t.clock.Wall().UnixMilli()

	// Both clocks advance by the same time unless one of them is set, and nobody can set the
	// uptime.
	step = (r.wall - r.uptime) - (t.last.wall - t.last.uptime)
	t.last = r
	if -stepLeast < step && step < stepLeast {
		return 0
	}
	return step
}

// at returns a time with a monotonic reading by the wall clock as it is set now.
func (t *timeline) at(when time.Time) int64 {
	return t.clock.Wall().Add(time.Until(when)).UnixMilli()
}

// uptimeAt returns the uptime at a time with a monotonic reading.
func (t *timeline) uptimeAt(when time.Time) int64 {
	return (t.clock.Uptime() + time.Until(when)).Milliseconds()
}

// now returns the present time, for a comparison with times that were written in a boot.
func (t *timeline) now(boot int64) int64 {
	wall := t.clock.Wall().UnixMilli()
	if boot == t.last.boot {
		return wall
	}

	// A machine without a battery-backed clock boots in the past. At least its uptime has passed.
	return max(wall, t.floor())
}

// floor returns the earliest time that it can be now, by the wall clock of the earlier boots.
func (t *timeline) floor() int64 { return t.last.floorAt(t.clock.Uptime().Milliseconds()) }

// floorAt returns the floor at an uptime.
func (r reading) floorAt(uptime int64) int64 {
	// Without an id this may still be the earlier boot, and before includes its uptime.
	if r.bootID == "" {
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

// resume continues from the last reading of an earlier run. It returns the correction of the times
// on disk, and reports whether they need one.
func (t *timeline) resume(old reading) (shift, bool) {
	r := reading{boot: old.boot, bootID: t.clock.Boot, before: old.before}
	r.uptime, r.wall = t.clock.Uptime().Milliseconds(), t.clock.Wall().UnixMilli()
	step := (r.wall - r.uptime) - (old.wall - old.uptime)
	stepped := step <= -stepLeast || step >= stepLeast
	same := r.bootID != "" && r.bootID == old.bootID && r.uptime >= old.uptime

	// Without ids it is the same boot if both clocks advanced by the same time. Chance does not do
	// that.
	if r.bootID == "" || old.bootID == "" {
		same = r.uptime >= old.uptime && !stepped
	}

	if same {
		t.last = r
		return shift{boot: r.boot, by: step}, stepped
	}

	// It is a new boot. If the clock of the last one was behind the boots before it, their times
	// are first moved to its clock.
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
