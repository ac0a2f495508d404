package journal

import (
	"path/filepath"
	"testing"
	"time"
)

// machine is a computer whose clocks a test sets.
type machine struct {
	boot string
	up   time.Duration
	wall time.Time
}

func (m *machine) clock() Clock {
	return Clock{Wall: func() time.Time {
		return m.wall
	}, Uptime: func() time.Duration { return m.up }, Boot: m.boot}
}

func (m *machine) pass(d time.Duration) {
	m.up += d
	m.wall = m.wall.Add(d)
}

// reboot starts the machine again after it was off for a time, with its clock wrong by ahead.
func (m *machine) reboot(boot string, off, ahead time.Duration) {
	m.boot, m.up = boot, 20*time.Second
	m.wall = m.wall.Add(off + ahead)
}

// life is a journal's file on a machine, opened again and again.
type life struct {
	*machine
	t   *testing.T
	dir string
	s   *store
}

func newLife(t *testing.T) *life {
	l := &life{
		t: t, dir: t.TempDir(),
		machine: &machine{
			boot: "first", up: time.Hour,
			wall: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC),
		},
	}
	l.open()
	t.Cleanup(func() { l.s.close() })
	return l
}

func (l *life) open() {
	l.t.Helper()
	if l.s != nil {
		l.s.close()
	}
	var err error
	if l.s, err = openStore(filepath.Join(l.dir, File), l.clock()); err != nil {
		l.t.Fatal(err)
	}
}

// ban writes a ban. The monotonic clock of the test does not move along with the machine's.
func (l *life) ban(prefix string, d time.Duration) {
	l.t.Helper()
	b := ban(prefix, all, d)
	l.commit(&entry{key: b.Key, ban: &b})
}

func (l *life) commit(entries ...*entry) (stepped bool) {
	l.t.Helper()
	stepped, err := l.s.commit(&batch{bans: entries})
	if err != nil {
		l.t.Fatal(err)
	}
	return stepped
}

func (l *life) want(shows string) {
	l.t.Helper()
	snap, err := l.s.snapshot(30 * 24 * time.Hour)
	if err != nil {
		l.t.Fatal(err)
	}
	if got := snap.shows(); got != shows {
		l.t.Errorf("says %q, want %q", got, shows)
	}
}

func TestClocks(t *testing.T) {
	const hour = time.Hour
	for name, test := range map[string]struct {
		happens func(l *life)
		want    string
	}{
		"nothing": {func(*life) {}, "192.0.2.1/32 all 10h0m0s"},
		"time passes": {func(l *life) {
			l.pass(hour)
		}, "192.0.2.1/32 all 9h0m0s"},
		"time passes while it does not run": {func(l *life) {
			l.pass(hour)
			l.open()
		}, "192.0.2.1/32 all 9h0m0s"},
		"it ends": {func(l *life) { l.pass(11 * hour); l.open() }, ""},
		"a reboot": {func(l *life) {
			l.pass(hour)
			l.reboot("second", hour, 0)
			l.open()
		}, "192.0.2.1/32 all 8h0m0s"},
		"two reboots": {func(l *life) {
			l.reboot("second", hour, 0)
			l.open()
			l.pass(hour)
			l.commit()
			l.reboot("third", hour, 0)
			l.open()
		}, "192.0.2.1/32 all 7h0m0s"},
		"a step forward while it runs": {func(l *life) {
			l.wall = l.wall.Add(5 * hour)
			l.commit()
		}, "192.0.2.1/32 all 10h0m0s"},
		"a step back while it runs": {func(l *life) {
			l.wall = l.wall.Add(-5 * hour)
			l.commit()
		}, "192.0.2.1/32 all 10h0m0s"},
		"a step while it does not run": {func(l *life) {
			l.pass(hour)
			l.wall = l.wall.Add(99 * hour)
			l.open()
		}, "192.0.2.1/32 all 9h0m0s"},
		"a step, then a restart": {func(l *life) {
			l.wall = l.wall.Add(-5 * hour)
			l.commit()
			l.pass(hour)
			l.open()
		}, "192.0.2.1/32 all 9h0m0s"},
		"a small step is none": {func(l *life) {
			l.wall = l.wall.Add(time.Second)
			l.commit()
		}, "192.0.2.1/32 all 10h0m0s"},
		// Without a battery-backed clock: it boots at the epoch, and is set right later.
		"a boot in the past": {func(l *life) {
			l.reboot("second", hour, -50*365*24*hour)
			l.open()
		}, "192.0.2.1/32 all 10h0m0s"},
		"a boot in the past, and time passes": {func(l *life) {
			l.reboot("second", hour, -50*365*24*hour)
			l.open()
			l.pass(2 * hour)
			l.commit()
		}, "192.0.2.1/32 all 8h0m0s"},
		"a boot in the past, set right": {func(l *life) {
			l.reboot("second", hour, -50*365*24*hour)
			l.open()
			l.ban("192.0.2.2/32", 10*hour)
			l.pass(2 * hour)
			l.wall = l.wall.Add(50 * 365 * 24 * hour)
			l.commit()
		}, "192.0.2.1/32 all 7h0m0s, 192.0.2.2/32 all 8h0m0s"},
		"a boot in the past, a restart, set right": {func(l *life) {
			l.reboot("second", hour, -50*365*24*hour)
			l.open()
			l.ban("192.0.2.2/32", 10*hour)
			l.pass(hour)
			l.open()
			l.pass(hour)
			l.wall = l.wall.Add(50 * 365 * 24 * hour)
			l.open()
		}, "192.0.2.1/32 all 7h0m0s, 192.0.2.2/32 all 8h0m0s"},
		"two boots in the past": {func(l *life) {
			l.reboot("second", hour, -50*365*24*hour)
			l.open()
			l.ban("192.0.2.2/32", 10*hour)
			l.pass(2 * hour)
			l.commit()
			l.wall = time.Unix(0, 0)
			l.reboot("third", 0, 0) // 20 s of each boot
			l.open()
		}, "192.0.2.1/32 all 7h59m0s, 192.0.2.2/32 all 8h0m0s"},
		// The clock of the first boot was a year ahead: nothing it wrote may last a year.
		"a boot before was ahead": {func(l *life) {
			l.reboot("second", hour, -365*24*hour)
			l.open()
		}, "192.0.2.1/32 all 10h0m0s"},
		"a boot before was ahead, and new bans": {func(l *life) {
			l.reboot("second", hour, -365*24*hour)
			l.open()
			l.ban("192.0.2.2/32", 5*hour)
			l.pass(2 * hour)
			l.commit()
			l.reboot("third", hour, 0)
			l.open()
		}, "192.0.2.1/32 all 7h0m0s, 192.0.2.2/32 all 2h0m0s"},
		// The id of the boot cannot be read: both clocks tell whether it is the same.
		"an unknown boot, a restart": {func(l *life) {
			l.boot = ""
			l.open()
			l.pass(hour)
			l.open()
		}, "192.0.2.1/32 all 9h0m0s"},
		"an unknown boot, a reboot": {func(l *life) {
			l.boot = ""
			l.open()
			l.reboot("", hour, 0)
			l.open()
		}, "192.0.2.1/32 all 9h0m0s"},
		"an unknown boot in the past": {func(l *life) {
			l.boot = ""
			l.open()
			l.reboot("", hour, -365*24*hour)
			l.open()
		}, "192.0.2.1/32 all 10h0m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLife(t)
			l.ban("192.0.2.1/32", 10*hour)
			test.happens(l)
			l.want(test.want)
		})
	}
}

func TestStepsAreTold(t *testing.T) {
	l := newLife(t)
	l.pass(time.Hour)
	if l.commit() {
		t.Error("no step was made")
	}

	l.wall = l.wall.Add(-time.Minute)
	if !l.s.times.stepped() || !l.commit() || l.s.times.stepped() || l.commit() {
		t.Error("one step was made")
	}
}

// Tombstones are remembered for as long as the longest ban.
func TestTombstonesEnd(t *testing.T) {
	l := newLife(t)
	b, e := ban("192.0.2.1/32", all, time.Hour), lift("192.0.2.1/32", all)
	l.commit(&entry{key: b.Key, ban: &b, end: &e})
	l.pass(30*24*time.Hour - time.Minute)
	l.open()
	l.want("192.0.2.1/32 all lifted")
	l.pass(2 * time.Minute)
	l.want("")
}
