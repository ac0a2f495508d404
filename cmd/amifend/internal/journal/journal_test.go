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
		Directory: dir, Retain: 90 * 24 * time.Hour, MaxSize: 1 << 30, BanMax: 30 * 24 * time.Hour, MaxWaiting: 1 << 20,
		Log: slog.New(slog.DiscardHandler),
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
		if err := r.ask(t.Context(), func(*store) error { p = len(r.backlog.entries); return nil }); err != nil {
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
		Key: key(prefix, scope), Rule: "score", Score: 3.5, Attempts: 4, Strike: 2, Evidence: `pbx: InvalidAccountID "100"`,
		From: now, Until: now.Add(d),
	}
}

func lift(prefix string, scope firewall.Scope) Lift {
	return Lift{Key: key(prefix, scope), At: time.Now(), By: "uid 1000", Why: "a customer", Known: true}
}

// shows describes a snapshot, times left rounded to minutes.
func (n *Snapshot) shows() string {
	var out []string
	for k, o := range n.Open {
		out = append(out, fmt.Sprintf("%s %s %s", k.Prefix, k.Scope, o.Left.Round(time.Minute)))
	}
	for k := range n.Lifted {
		out = append(out, fmt.Sprintf("%s %s lifted", k.Prefix, k.Scope))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
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
	const want = "2001:db8::/64 sip 3h0m0s, 203.0.113.5/32 all 1h0m0s, 203.0.113.5/32 sip 2h0m0s, 203.0.113.7/32 all lifted, 203.0.113.8/32 all lifted"
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
	o := s.Open[key("2001:db8::/64", sip)]
	if o.Rule != "score" || o.Score != 3.5 || o.Attempts != 4 || o.Strike != 2 || o.Whole != 3*time.Hour || time.Since(o.From) > time.Minute {
		t.Errorf("read back %+v", o)
	}
	if l := s.Lifted[key("203.0.113.7/32", all)]; l.By != "uid 1000" || l.Why != "a customer" || time.Since(l.At) > time.Minute {
		t.Errorf("read back %+v", l)
	}
	for _, name := range []string{File, File + "-wal"} {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
}
