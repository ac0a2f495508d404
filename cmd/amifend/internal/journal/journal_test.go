package journal

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amifend/amifend/firewall"
)

const (
	all = firewall.ScopeAll
	sip = firewall.ScopeSIP
)

// logBuffer is a log that a test reads.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// running is a journal at work.
type running struct {
	*Journal
	log     *logBuffer
	changes chan struct{}
	stop    func()
}

func options(dir string) Options {
	return Options{
		Directory: dir, Retain: 90 * 24 * time.Hour, MaxSize: 1 << 30, BanMax: 30 * 24 * time.Hour,
		MaxWaiting: 1 << 20,
		Log:        slog.New(slog.DiscardHandler),
	}
}

// start runs a journal until the test or stop ends it.
func start(t testing.TB, o Options) *running {
	t.Helper()
	r := &running{log: &logBuffer{}, changes: make(chan struct{}, 100)}
	o.Log = slog.New(slog.NewTextHandler(r.log, nil))
	o.Changed = func() { r.changes <- struct{}{} }
	r.Journal = New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()

	r.stop = func() {
		cancel()
		<-done
	}

	t.Cleanup(r.stop)
	return r
}

func (r *running) snapshot(t testing.TB) *Snapshot {
	t.Helper()
	s, err := r.Snapshot(t.Context())
	if err != nil {
		t.Fatalf("snapshot: %v\n%s", err, r.log)
	}
	return s
}

// written waits until nothing waits to be written.
func (r *running) written(t testing.TB) {
	t.Helper()
	eventually(t, func() bool {
		p := 0
		if err := r.ask(t.Context(), func(*store) error {
			p = len(r.backlog.entries)
			return nil
		}); err != nil {
			t.Fatal(err)
		}

		return p == 0
	})
}

func eventually(t testing.TB, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within 10 s")
		}
	}
}

func key(prefix string, scope firewall.Scope) Key {
	return Key{netip.MustParsePrefix(prefix), scope}
}

func ban(prefix string, scope firewall.Scope, d time.Duration) Ban {
	now := time.Now()
	return Ban{
		Key: key(prefix, scope), Rule: "score", Score: 3.5, Attempts: 4, Strike: 2,
		Evidence: `pbx: InvalidAccountID "100"`,
		From:     now, Until: now.Add(d),
	}
}

func lift(prefix string, scope firewall.Scope) Lift {
	return Lift{
		Key: key(prefix, scope), At: time.Now(), By: "uid 1000", Why: "a customer",
		Known: true,
	}
}

// shows describes a snapshot, times left rounded to minutes.
func (n *Snapshot) shows() string {
	var out []string
	for k, o := range n.Open {
		out = append(out, fmt.Sprintf("%s %s %s", k.Prefix(), k.Scope(), o.Left.Round(time.Minute)))
	}

	for k := range n.Lifted {
		out = append(out, fmt.Sprintf("%s %s lifted", k.Prefix(), k.Scope()))
	}

	slices.Sort(out)
	return strings.Join(out, ", ")
}

// A ban that is lifted, banned again and lifted again, whether each is written on its own or all at
// once.
func TestLiftsAndBansInTurn(t *testing.T) {
	k := key("192.0.2.1/32", all)
	for _, sync := range []bool{true, false} {
		for n := 1; n <= 6; n++ {
			r := start(t, options(t.TempDir()))
			for i := range n {
				if i%2 == 0 {
					r.Ban(ban("192.0.2.1/32", all, time.Duration(i+1)*time.Hour))
				} else {
					r.Lift(lift("192.0.2.1/32", all))
					r.Lift(lift("192.0.2.1/32", all)) // twice is once
				}

				if err := r.Sync(t.Context()); sync && err != nil {
					t.Fatal(err)
				}
			}

			s := r.snapshot(t)
			_, open := s.Open[k.Compact()]
			_, lifted := s.Lifted[k.Compact()]
			if want := n%2 == 1; open != want || lifted == want {
				t.Errorf("after %d: open %v, lifted %v", n, open, lifted)
			}

			if n := r.count(t, "SELECT count(*) FROM ban WHERE current"); sync && n != 1 {
				t.Errorf("%d rows are current", n)
			}

			if got := r.count(t, "SELECT count(*) FROM ban"); sync && got != int64(n+1)/2 {
				t.Errorf("%d rows, want %d", got, (n+1)/2)
			}

			r.stop()
		}
	}
}

// A ban that was found replaces nothing that the journal knows; one that was decided replaces all.
func TestFoundBans(t *testing.T) {
	found := func(d time.Duration) Ban {
		b := ban("192.0.2.1/32", all, d)
		b.Rule, b.Found = "adopted", true
		return b
	}

	for name, test := range map[string]struct {
		tell func(r *running)
		want string
	}{
		// A ban that was found counts only if nothing is known of its key.
		"nothing known": {func(r *running) { r.Ban(found(time.Hour)) }, "192.0.2.1/32 all 1h0m0s"},
		"running": {func(r *running) {
			r.Ban(ban("192.0.2.1/32", all, 2*time.Hour))
			r.Ban(found(time.Hour))
		}, "192.0.2.1/32 all 2h0m0s"},
		"lifted": {func(r *running) {
			r.Lift(lift("192.0.2.1/32", all))
			r.Ban(found(time.Hour))
		}, "192.0.2.1/32 all lifted"},
		"then decided": {func(r *running) {
			r.Ban(found(time.Hour))
			r.Ban(ban("192.0.2.1/32", all, 3*time.Hour))
		}, "192.0.2.1/32 all 3h0m0s"},

		// A ban of scope all replaces narrower ones that end no later.
		"wider": {func(r *running) {
			r.Ban(ban("192.0.2.1/32", sip, time.Hour))
			r.Ban(ban("192.0.2.1/32", all, 2*time.Hour))
		}, "192.0.2.1/32 all 2h0m0s"},
		"sip and stream": {func(r *running) {
			r.Ban(ban("192.0.2.1/32", sip, time.Hour))
			r.Ban(ban("192.0.2.1/32", firewall.ScopeStream, 2*time.Hour))
		}, "192.0.2.1/32 sip 1h0m0s, 192.0.2.1/32 stream 2h0m0s"},
		"wider than stream": {func(r *running) {
			r.Ban(ban("192.0.2.1/32", firewall.ScopeStream, time.Hour))
			r.Ban(ban("192.0.2.1/32", all, 2*time.Hour))
		}, "192.0.2.1/32 all 2h0m0s"},
		"wider, shorter": {func(r *running) {
			r.Ban(ban("192.0.2.1/32", sip, 3*time.Hour))
			r.Ban(ban("192.0.2.1/32", all, 2*time.Hour))
		}, "192.0.2.1/32 all 2h0m0s, 192.0.2.1/32 sip 3h0m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, options(t.TempDir()))
			test.tell(r)
			if err := r.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}

			if got := r.snapshot(t).shows(); got != test.want {
				t.Errorf("says %q, want %q", got, test.want)
			}
		})
	}
}

func TestBansOutliveTheProcess(t *testing.T) {
	dir := t.TempDir()
	r := start(t, options(dir))
	if s := r.snapshot(t); len(s.Open)+len(s.Lifted)+s.Bad != 0 {
		t.Fatalf("a new journal says %v", s)
	}

	r.Ban(ban("203.0.113.5/32", all, time.Hour))
	r.Ban(ban("203.0.113.5/32", sip, 2*time.Hour))
	r.Ban(ban("2001:db8::/64", sip, 3*time.Hour))
	r.Ban(ban("203.0.113.6/32", sip, time.Millisecond))
	r.Ban(ban("203.0.113.7/32", all, time.Hour))
	r.Lift(lift("203.0.113.7/32", all))
	r.Lift(lift("203.0.113.8/32", all)) // nobody knows its ban
	unknown := lift("203.0.113.9/32", sip)
	unknown.Known = false
	r.Lift(unknown)
	observed := ban("203.0.113.10/32", sip, time.Hour)
	observed.Observed = true
	r.Ban(observed)
	time.Sleep(5 * time.Millisecond)
	const want = "2001:db8::/64 sip 3h0m0s, 203.0.113.5/32 all 1h0m0s, 203.0.113.5/32 sip " +
		"2h0m0s, 203.0.113.7/32 all lifted, 203.0.113.8/32 all lifted"
	if got := r.snapshot(t).shows(); got != want {
		t.Errorf("before it is written: %s", got)
	}

	r.written(t)
	if got := r.snapshot(t).shows(); got != want {
		t.Errorf("written: %s", got)
	}

	r.stop()
	r = start(t, options(dir))
	s := r.snapshot(t)
	if got := s.shows(); got != want {
		t.Errorf("after a restart: %s", got)
	}

	o := s.Open[key("2001:db8::/64", sip).Compact()]
	if o.Rule != "score" || o.Score != 3.5 || o.Attempts != 4 || o.Strike != 2 ||
		o.Whole != 3*time.Hour || time.Since(o.From()) > time.Minute {
		t.Errorf("read back %+v", o)
	}

	if l := s.Lifted[key("203.0.113.7/32", all).Compact()]; l.By != "uid 1000" || l.Why != "a customer" ||
		time.Since(l.At) > time.Minute {
		t.Errorf("read back %+v", l)
	}

	for _, name := range []string{File, File + "-wal"} {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
}
