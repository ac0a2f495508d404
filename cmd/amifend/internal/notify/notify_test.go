package notify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/delivery"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
	"github.com/amifend/amifend/cmd/amifend/internal/notify"
	"github.com/amifend/amifend/firewall"
)

const webhookSecret = "0123456789abcdef"

// hook is a webhook's receiver.
type hook struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []map[string]any
	ids    []string
}

func newHook(t *testing.T) *hook {
	t.Helper()
	before := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = before })
	delivery.Confine()

	h := &hook{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		var body map[string]any
		if json.Unmarshal(text, &body) != nil {
			t.Errorf("not JSON: %s", text)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.bodies = append(h.bodies, body)
		h.ids = append(h.ids, r.Header.Get("webhook-id"))
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) target(name string) config.Target { return webhook(name, h.URL) }

func webhook(name, url string) config.Target {
	return config.Target{
		Name: name, Service: "webhook", URL: config.Hide(url), Secret: config.Hide(webhookSecret),
		MinSeverity: "notice", Digest: time.Hour, PerHour: 20,
	}
}

// texts returns the texts of the messages so far.
func (h *hook) texts() (out []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, b := range h.bodies {
		out = append(out, fmt.Sprint(b["text"]))
	}
	return out
}

func (h *hook) wait(t *testing.T, n int) []string {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if got := h.texts(); len(got) >= n {
			return got
		}
		if time.Now().After(end) {
			t.Fatalf("%d messages, want %d: %v", len(h.texts()), n, h.texts())
		}
	}
}

// run runs a notifier with a book until the function that it returns is called.
func run(t *testing.T, o notify.Options) (*notify.Notifier, *alerts.Book, *logtest.Book, func()) {
	t.Helper()
	said, log := logtest.New()
	o.Log = log
	if o.Calm == 0 {
		o.Calm = 10 * time.Millisecond
	}
	n := notify.New(o)
	b := alerts.New(alerts.Options{Log: log, Listen: n.Alert})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); n.Run(ctx, b) }()
	stop := sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return n, b, said, stop
}

func ban(i int) bans.Ban {
	addr := netip.AddrFrom4([4]byte{203, byte(i >> 16), byte(i >> 8), byte(i)})
	return bans.Ban{
		Prefix: netip.PrefixFrom(addr, 32), Scope: firewall.ScopeAll, Rule: "score", Attempts: 4,
		Servers: []string{"pbx1"}, Accounts: []string{ami.Quote([]byte("<!channel>"))},
		Decided: time.Now(), Duration: time.Hour,
	}
}

// Ten thousand bans are one message, which names the networks and the accounts. The one who reports
// them never waits.
func TestTenThousandBansAreOneMessage(t *testing.T) {
	h := newHook(t)
	n, _, _, _ := run(t, notify.Options{
		Targets: []config.Target{h.target("hook")}, Calm: 2 * time.Second,
	})
	for i := range 10_000 {
		n.Ban(ban(i))
	}
	h.wait(t, 1)
	time.Sleep(1500 * time.Millisecond) // longer than the notifier's beat
	if texts := h.texts(); len(texts) != 1 ||
		!strings.HasPrefix(texts[0], "10000 bans made after 40000 attempts") ||
		!strings.Contains(texts[0], `accounts tried: "<!channel>"`) ||
		!strings.Contains(texts[0], "and 9990 more") {
		t.Errorf("%q", texts)
	}
}

// While amifend observes, nothing is told as if it had happened. What operators do is no attack.
func TestObservedBansAreToldAsSuch(t *testing.T) {
	h := newHook(t)
	n, _, _, _ := run(t, notify.Options{
		Targets: []config.Target{h.target("hook")}, Observing: true,
	})
	b := ban(1)
	b.Rule = "operator"
	n.Ban(b)
	n.Ban(ban(2))
	text := h.wait(t, 1)[0]
	if !strings.HasPrefix(text, "1 ban that would have been made after 4 attempts") ||
		!strings.Contains(text, "would be dropped: all (1)") ||
		!strings.Contains(text, "nobody was banned") {
		t.Errorf("%s", text)
	}
}

// A target that hangs, or is away, holds up no other one. That it fails is a condition, which the
// others report.
func TestHangingTargetHoldsUpNobody(t *testing.T) {
	h := newHook(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	n, b, said, stop := run(t, notify.Options{Targets: []config.Target{
		webhook("hangs", "http://"+l.Addr().String()+"/"), h.target("hook"),
	}})

	key := alerts.Key(alerts.ServerDown, "pbx")
	down := alerts.Alert{Kind: alerts.ServerDown, Server: "pbx", Text: "gone"}
	b.Raise(key, down, alerts.Span{})
	h.wait(t, 1)
	b.Resolve(key, alerts.Span{})
	texts := h.wait(t, 2)
	if !strings.HasPrefix(texts[0], "server_down (critical) began at") ||
		!strings.HasPrefix(texts[1], "server_down is over") {
		t.Errorf("%q", texts)
	}
	// The notifier learns of a delivery a moment after the receiver.
	found, err := n.Targets(t.Context())
	for range 500 {
		if err != nil || found[1].Waiting == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
		found, err = n.Targets(t.Context())
	}
	if err != nil || found[0].Waiting != 2 || found[1].Waiting != 0 || found[1].Last.IsZero() {
		t.Errorf("%+v, %v", found, err)
	}

	// The end does not wait for it either.
	stop()
	said.Count(t, 0, "notifications were dropped", "")
}

// A target that refuses again and again is a condition, until it is gone from the config.
func TestFailingTargetIsACondition(t *testing.T) {
	h := newHook(t)
	bad := httptest.NewServer(http.NotFoundHandler())
	defer bad.Close()
	said, log := logtest.New()
	n := notify.New(notify.Options{
		Log: log, Targets: []config.Target{webhook("bad", bad.URL+"/t0ken"), h.target("hook")},
		Calm: time.Millisecond, RetryFirst: time.Millisecond,
	})
	b := alerts.New(alerts.Options{Log: log, Listen: n.Alert})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); n.Run(ctx, b) }()
	defer func() { cancel(); <-done }()

	n.Ban(ban(1))
	texts := h.wait(t, 2)
	if !strings.Contains(texts[1], "notify_failing (warning)") ||
		!strings.Contains(texts[1], "it answered HTTP 404") {
		t.Errorf("%q", texts)
	}
	if strings.Contains(said.String(), "t0ken") || strings.Contains(strings.Join(texts, ""), "t0ken") {
		t.Error("the log or a message holds the URL")
	}

	n.SetTargets([]config.Target{h.target("hook")})
	texts = h.wait(t, 3)
	if !strings.HasPrefix(texts[2], "notify_failing is over") || len(b.Open()) != 0 {
		t.Errorf("%q, open %+v", texts, b.Open())
	}
}

// openJournal runs a journal until the function that it returns is called.
func openJournal(t *testing.T, dir string) (*journal.Journal, func()) {
	t.Helper()
	j := journal.New(journal.Options{
		Directory: dir, Retain: 90 * 24 * time.Hour, MaxSize: 1 << 30, BanMax: time.Hour,
		MaxWaiting: 100, Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); j.Run(ctx) }()
	stop := sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return j, stop
}

// What could not be delivered, and the attack that was going on, survive a restart. What was
// delivered leaves no row behind.
func TestOutboxSurvivesARestart(t *testing.T) {
	h := newHook(t)
	dir := t.TempDir()
	h.mu.Lock() // the receiver hangs
	targets := []config.Target{h.target("hook")}

	j, stopJournal := openJournal(t, dir)
	n, b, _, stop := run(t, notify.Options{Targets: targets, Journal: j, Calm: time.Hour})
	down := alerts.Alert{Kind: alerts.ServerDown, Server: "pbx"}
	b.Raise(alerts.Key(alerts.ServerDown, "pbx"), down, alerts.Span{})
	b.Event(alerts.Alert{Kind: "suspect_login", Source: "192.0.2.1"})
	n.Ban(ban(1))
	if _, err := n.Targets(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.CloseClientConnections()
	stop()
	stopJournal()
	h.mu.Unlock()

	// The receiver may have got the first one before the end: then both have one ID.
	j, stopJournal = openJournal(t, dir)
	_, _, _, stop = run(t, notify.Options{Targets: targets, Journal: j})
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if got := strings.Join(h.texts(), "\n"); strings.Contains(got, "server_down (critical)") &&
			strings.Contains(got, "1 ban made") {
			break
		} else if time.Now().After(end) {
			t.Fatalf("after the restart: %q", h.texts())
		}
	}
	h.mu.Lock()
	slices.Sort(h.ids)
	if n := len(slices.Compact(h.ids)); n != 2 {
		t.Errorf("%d messages", n)
	}
	h.mu.Unlock()
	stop()
	stopJournal()

	j, _ = openJournal(t, dir)
	gathered := false
	err := j.State(t.Context(), func(r journal.Row) error {
		if strings.HasPrefix(string(r.Key), "notify/message/") {
			t.Errorf("the journal still has %s", r.Key)
		}
		gathered = gathered || string(r.Key) == "notify/gathered/hook" &&
			strings.Contains(string(r.Value), "suspect_login")
		return nil
	})
	if err != nil || !gathered {
		t.Errorf("the digest is lost: %v", err)
	}
}

// A test message goes to the target that is named, and its outcome is that of the target.
func TestTest(t *testing.T) {
	h := newHook(t)
	bad := httptest.NewServer(http.NotFoundHandler())
	defer bad.Close()
	n, _, _, _ := run(t, notify.Options{
		Targets: []config.Target{h.target("hook"), webhook("bad", bad.URL)},
	})
	if out, err := n.Test(t.Context(), "nobody", "root"); err != nil || len(out) != 0 {
		t.Errorf("%v, %v", out, err)
	}
	out, err := n.Test(t.Context(), "", "root")
	if err != nil || len(out) != 2 || out[0].Err != nil || out[1].Err == nil {
		t.Errorf("%v, %v", out, err)
	}
	if texts := h.texts(); len(texts) != 1 || !strings.Contains(texts[0], "This is a test") {
		t.Errorf("%q", texts)
	}
}
