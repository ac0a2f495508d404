package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hang has the journal's goroutine wait, as for a disk, until the function it returns is called.
func (r *running) hang(t *testing.T) (release func()) {
	t.Helper()
	hung, gate := make(chan struct{}), make(chan struct{})
	go func() {
		_ = r.ask(t.Context(), func(*store) error {
			close(hung)
			<-gate
			return nil
		})
	}()

	<-hung
	return func() { close(gate) }
}

// Nobody waits for a disk that hangs, and what waits is bounded: of one ban only the latest, and
// bans that run before those that are over.
func TestBoundedWhileTheDiskHangs(t *testing.T) {
	o := options(t.TempDir())
	o.MaxWaiting = 100
	r := start(t, o)
	r.snapshot(t)
	release := r.hang(t)

	for i := range 1000 { // one key
		r.Ban(ban("192.0.2.1/32", all, time.Hour+time.Duration(i)*time.Second))
	}

	for i := range 1000 {
		r.Ban(ban(numbered(i).String(), all, time.Hour))
	}

	for range 3000 {
		r.Alert(Alert{At: time.Now()})
		r.Operation(Operation{At: time.Now()})
		r.Count(func() []Total { return nil })
	}

	release()
	r.written(t)
	s := r.snapshot(t)
	if len(s.Open) != 100 || s.Open[key("192.0.2.1/32", all).Compact()].Whole != time.Hour+999*time.Second {
		t.Errorf("%d bans, %+v", len(s.Open), s.Open[key("192.0.2.1/32", all).Compact()])
	}

	if h := r.Health(); h.Lost != 901 {
		t.Errorf("%d are lost, want 901", h.Lost)
	}

	for _, table := range []string{"alert", "operation"} {
		if n := r.count(t, "SELECT count(*) FROM "+table); n > 1000 || n == 0 {
			t.Errorf("%d rows in %s", n, table)
		}
	}
}

// A backlog drops bans that are over before it refuses ones that run.
func TestBacklogDropsWhatIsOver(t *testing.T) {
	b := backlog{most: 3}
	add := func(k Key, until time.Duration, l *Lift) {
		q := newQueue(10)
		x := ban(k.Prefix.String(), k.Scope, until)
		if l != nil {
			q.lift(*l)
		}

		q.ban(x)
		p, _ := q.take()
		b.add(p, time.Now())
	}

	l := lift("10.0.0.9/32", all)
	add(key("10.0.0.1/32", all), -time.Second, nil)
	add(key("10.0.0.9/32", all), -time.Second, &l) // its lift must not be lost
	add(key("10.0.0.2/32", all), time.Hour, nil)
	add(key("10.0.0.3/32", all), time.Hour, nil) // in the place of the first
	add(key("10.0.0.4/32", all), time.Hour, nil) // no room
	var got []string

	for _, k := range b.order {
		got = append(got, k.Prefix.Addr().String())
	}

	if !slices.Equal(got, []string{"10.0.0.9", "10.0.0.2", "10.0.0.3"}) || b.lost != 2 ||
		len(b.entries) != 3 {
		t.Errorf("%v, %d lost", got, b.lost)
	}
}

// count asks the journal for one number.
func (r *running) count(t testing.TB, query string) (n int64) {
	t.Helper()
	if err := r.ask(t.Context(), func(s *store) (err error) {
		n, err = s.number(query)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// A flood of bans, and an engine that has something new to say all the time, write no more than the
// budget allows.
func TestWriteBudget(t *testing.T) {
	r := start(t, options(t.TempDir()))
	r.snapshot(t)
	before, began := written(t), time.Now()
	end := began.Add(2 * time.Second)

	for i := 0; time.Now().Before(end); i++ {
		r.Ban(ban(numbered(i*7919%(1<<24)).String(), all, time.Hour)) // in no order
		if room, _ := r.Wants(); room {
			r.Keep(block('a', 300_000))
		}
		if i%4 == 0 {
			time.Sleep(time.Millisecond)
		}
	}

	var due time.Time
	if err := r.ask(t.Context(), func(*store) error {
		due = r.due.commit
		return nil
	}); err != nil {
		t.Fatal(err)
	}

	n := written(t) - before

	// With what was saved up, and the last commit, which may be large: it is paid for afterwards.
	took := time.Since(began) + max(0, time.Until(due)) + time.Second
	if float64(n) > writeBudget*took.Seconds()*1.05 {
		t.Errorf("%d bytes are written in %s", n, took)
	} else {
		t.Logf("%d bytes in %s", n, took)
	}
}

// written is how many bytes this process has caused to be written to disks. On a tmpfs nothing is
// counted, and then there is nothing to see here.
func written(t *testing.T) (n int64) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Fatal(err)
	}

	for line := range strings.Lines(string(b)) {
		if _, err := fmt.Sscanf(line, "write_bytes: %d", &n); err == nil {
			return n
		}
	}

	t.Fatal("no write_bytes")
	return 0
}

// What is over is forgotten after its time, and what runs is not.
func TestRetention(t *testing.T) {
	o := options(t.TempDir())
	m := &machine{boot: "first", up: time.Hour, wall: time.Now()}
	o.Clock, o.Retain, o.BanMax = m.clock(), 24*time.Hour, 48*time.Hour
	r := start(t, o)

	// One row of each kind, and bans that end at three times: after an hour, by a lift, and late.
	r.Ban(ban("10.0.0.1/32", all, time.Hour))
	r.Ban(ban("10.0.0.2/32", all, 300*time.Hour))
	r.Ban(ban("10.0.0.3/32", all, time.Hour))
	r.Lift(lift("10.0.0.3/32", all))
	r.Alert(Alert{At: time.Now()})
	r.Operation(Operation{At: time.Now()})
	r.Count(func() []Total {
		return []Total{
			{Hour: time.Now().Truncate(time.Hour), Name: "a", Failures: 1},
			{Hour: time.Now().Truncate(time.Hour), Name: "b", Account: true},
		}
	})

	// tidy does all steps, whose time has not come yet.
	r.written(t)
	tidy := func() {
		t.Helper()
		if err := r.ask(t.Context(), func(*store) error {
			r.tidy.next = time.Now().Add(-time.Second)
			for {
				if more, err := r.tidy.step(r.Journal, time.Now()); err != nil || !more {
					return err
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
	}

	// rows counts bans, current bans, alerts, operations, and both totals.
	rows := func() string {
		t.Helper()
		return fmt.Sprint(r.count(t, "SELECT count(*) FROM ban"),
			r.count(t, "SELECT count(*) FROM ban WHERE current"),
			r.count(t, "SELECT count(*) FROM alert"),
			r.count(t, "SELECT count(*) FROM operation"),
			r.count(t, "SELECT count(*) FROM source_hour"),
			r.count(t, "SELECT count(*) FROM account_hour"))
	}
	for _, step := range []struct {
		pass time.Duration
		want string
	}{
		{0, "3 3 1 1 1 1"},
		{2 * time.Hour, "3 2 1 1 1 1"},  // the short ban is history
		{24 * time.Hour, "2 2 0 0 0 0"}, // older than Retain
		{23 * time.Hour, "1 1 0 0 0 0"}, // the lift is forgotten after BanMax
		{250 * time.Hour, "1 1 0 0 0 0"},
		{24 * time.Hour, "1 0 0 0 0 0"}, // the long ban is history
		{24 * time.Hour, "0 0 0 0 0 0"},
	} {
		if err := r.ask(t.Context(), func(*store) error {
			m.pass(step.pass)
			return nil
		}); err != nil {
			t.Fatal(err)
		}

		tidy()
		if got := rows(); got != step.want {
			t.Errorf("after %s more: %s, want %s", step.pass, got, step.want)
		}
	}
}

// A database that grows too large forgets the oldest of what is over, and gives the room back to
// the disk.
func TestMaxSize(t *testing.T) {
	dir := t.TempDir()
	o := options(dir)
	r := start(t, o)
	fill(r.Journal, 500)
	const hours = 40

	for n := range hours {
		r.Count(func() []Total {
			var out []Total
			for i := range 200 {
				out = append(out,
					Total{
						Hour: time.Unix(int64(n)*3600, 0), Server: "pbx",
						Name: fmt.Sprintf("%d%400d", i, i), Account: true, Failures: 1,
					})
			}
			return out
		})

		r.snapshot(t) // so that it is taken in: only a few may wait
	}

	r.stop()
	size := func() int64 {
		t.Helper()
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(dir, File), &st); err != nil {
			t.Fatal(err)
		}
		return st.Size
	}

	before := size()
	o.MaxSize = 1 << 20
	o.Retain = 100 * 365 * 24 * time.Hour
	r = start(t, o)

	if err := r.ask(t.Context(), func(*store) error {
		r.tidy.next = time.Now().Add(-time.Second)
		for {
			if more, err := r.tidy.step(r.Journal, time.Now()); err != nil || !more {
				return err
			}
		}
	}); err != nil {
		t.Fatal(err)
	}

	if n := r.count(t, "SELECT count(*) FROM ban WHERE current"); n != 500 {
		t.Errorf("%d bans run, want 500", n)
	}

	oldest := r.count(t, "SELECT min(hour) FROM account_hour")
	newest := r.count(t, "SELECT max(hour) FROM account_hour")
	if oldest <= 0 || newest != (hours-1)*3600*1000 {
		t.Errorf("hours from %d to %d are left", oldest, newest)
	}

	r.stop()
	if after := size(); before < 2<<20 || after > o.MaxSize+tidyPages*4096 {
		t.Errorf("%d bytes were made %d", before, after)
	}
}

// Totals of an hour add up, over commits, and those for which there is no room are counted
// together.
func TestTotals(t *testing.T) {
	r := start(t, options(t.TempDir()))
	hour := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

	// tell counts two failures and a login of each name, and waits until they are written.
	tell := func(h time.Time, names ...string) {
		r.Count(func() []Total {
			var out []Total
			for _, n := range names {
				out = append(out, Total{Hour: h, Server: "pbx", Name: n, Failures: 2, Logins: 1})
			}
			return out
		})
		if err := r.ask(t.Context(), func(*store) error {
			r.due.totals = time.Time{}
			return nil
		}); err != nil {
			t.Fatal(err)
		}

		eventually(t, func() bool {
			n := -1
			_ = r.ask(t.Context(), func(*store) error { n = len(r.backlog.totals); return nil })
			return n == 0
		})
	}

	tell(hour, "10.0.0.1", "10.0.0.2")
	tell(hour, "10.0.0.1")

	// The next hour has more names than there is room for, the hour after that has room again.
	many := make([]string, mostNames+500)
	for i := range many {
		many[i] = numbered(i).Addr().String()
	}
	tell(hour.Add(time.Hour), many...)
	tell(hour.Add(2*time.Hour), "10.0.0.1")
	for query, want := range map[string]int64{
		"SELECT failures FROM source_hour WHERE source = '10.0.0.1' AND hour = 1795420800000": 4,
		"SELECT logins FROM source_hour WHERE source = '10.0.0.2' AND hour = 1795420800000":   1,
		"SELECT count(*) FROM source_hour WHERE hour = 1795424400000":                         mostNames + 1,
		"SELECT failures FROM source_hour WHERE source = '(others)'":                          1000,
		"SELECT failures FROM source_hour WHERE hour = 1795428000000":                         2,
		"SELECT count(*) FROM account_hour":                                                   0,
	} {
		if got := r.count(t, query); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
}

func TestState(t *testing.T) {
	dir := t.TempDir()
	r := start(t, options(dir))
	r.snapshot(t)

	// While the disk hangs, one set of rows may wait.
	release := r.hang(t)
	if !r.Save([]Row{
		{[]byte("a"), []byte("1")},
		{[]byte{0, 255}, []byte{0}},
		{[]byte("c"), []byte("3")},
	}) {
		t.Error("refused, though nothing waits")
	}

	if r.Save([]Row{{[]byte("d"), []byte("4")}}) {
		t.Error("taken, though the ones before still wait")
	}

	// Later rows replace and delete those.
	release()
	eventually(t, func() bool {
		return r.Save([]Row{{[]byte("a"), []byte("2")}, {[]byte("c"), nil}})
	})
	if r.Save(make([]Row, MostRows+1)) {
		t.Error("too many were taken")
	}

	// The next run reads the rows, with any bytes in them.
	r.stop()
	r = start(t, options(dir))
	got := map[string]string{}
	if err := r.State(t.Context(), func(row Row) error {
		got[string(row.Key)] = string(row.Value)
		return nil
	}); err != nil {
		t.Fatal(err)
	}

	if len(got) != 2 || got["a"] != "2" || got["\x00\xff"] != "\x00" {
		t.Errorf("%q", got)
	}
}
