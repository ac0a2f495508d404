package daemon

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// publisher serves the list of a feed over https.
type publisher struct {
	text   atomic.Pointer[string]
	status atomic.Int32 // 0: 200
	asked  atomic.Int32
	told   atomic.Int32 // that nothing has changed
}

// newPublisher returns a publisher, and the feed that asks it.
func newPublisher(t *testing.T, name, text string) (*publisher, config.Feed) {
	t.Helper()
	p := &publisher{}
	p.text.Store(&text)
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		if code := p.status.Load(); code != 0 {
			w.WriteHeader(int(code))
			return
		}
		text := *p.text.Load()
		tag := fmt.Sprintf("%q", fmt.Sprint(len(text)))
		if r.Header.Get("If-None-Match") == tag {
			p.told.Add(1)
		}
		w.Header().Set("ETag", tag)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(text))
	}))
	t.Cleanup(s.Close)

	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return p, config.Feed{
		Name: name, URL: config.Hide(s.URL + "/list"), CAFile: ca, Every: time.Hour,
	}
}

// fileFeed returns a feed of a file with these lines.
func fileFeed(t *testing.T, name string, lines ...string) config.Feed {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.Feed{Name: name, File: path, Every: time.Hour}
}

// awaitSet waits until a set of the kernel has these elements.
func (s *site) awaitSet(t testing.TB, set, want string) {
	t.Helper()
	var got string
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		// The set of a new feed is made a moment after the reload.
		if !strings.Contains(s.NFT(t, "list", "sets", "inet"), "set "+set+" {") {
			continue
		}
		if got = s.deniedInKernel(t, set); got == want {
			return
		}
	}
	t.Errorf("%s holds %q, want %q", set, got, want)
}

// feedState returns the state of a feed once it fulfils a condition.
func feedState(
	t testing.TB, c *control.Client, name string, ok func(f control.FeedState) bool,
) (out control.FeedState) {
	t.Helper()
	eventually(t, "the feed "+name+" is as it must be", func() bool {
		all, err := c.Feeds(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range all.Feeds {
			if out = f; f.Name == name && ok(f) {
				return true
			}
		}
		return false
	})
	return out
}

func inKernel(f control.FeedState) bool {
	return f.State == "current" && f.Kernel == control.StateInKernel
}

// A feed comes into the kernel less who must not be dropped, and each reload adds, removes or changes
// feeds, while the others stay as they are.
func TestFeedsOverReloads(t *testing.T) {
	r := startReloading(t, 1)
	p, one := newPublisher(t, "one", "203.0.113.0/24\n198.51.100.0/24\n2001:db8:5::/48\n")
	two := fileFeed(t, "two", "192.0.3.0/24")

	r.change(func(c *config.Config) {
		c.Feeds = []config.Feed{one, two}
		c.Allow = append(c.Allow, netip.MustParsePrefix("203.0.113.64/26"))
	})
	if out := r.reload(t); !strings.Contains(strings.Join(out.Changed, ", "), "[[feed]]") {
		t.Errorf("changed: %v", out.Changed)
	}
	r.awaitSet(t, "feed4_one", "203.0.113.0/26, 203.0.113.128/25")
	r.awaitSet(t, "feed6_one", "2001:db8:5::/48")
	r.awaitSet(t, "feed4_two", "192.0.3.0/24")

	// Who is spared is told, and who is dropped is explained.
	f := feedState(t, r.client, "one", inKernel)
	if len(f.Spared) != 2 || f.Prefixes != 3 || f.Dropped == nil {
		t.Errorf("%+v", f)
	}
	x, err := r.client.Explain(t.Context(), netip.MustParseAddr("203.0.113.7"))
	if err != nil || x.Feed != "one" || !strings.Contains(x.Text, "feed one") {
		t.Errorf("%+v, %v", x, err)
	}

	// What is allowed by command is not dropped any more when the command answers.
	allowed := netip.MustParsePrefix("203.0.113.0/28")
	if _, err := r.client.Allow(t.Context(), control.NewAllow{Prefix: allowed}); err != nil {
		t.Fatal(err)
	}
	if got := r.deniedInKernel(t, "allow4"); !strings.Contains(got, "203.0.113.0/28") {
		t.Errorf("allow4 holds %q", got)
	}
	r.awaitSet(t, "feed4_one", "203.0.113.16-203.0.113.63, 203.0.113.128/25")
	if _, err := r.client.Disallow(t.Context(), allowed); err != nil {
		t.Fatal(err)
	}
	r.awaitSet(t, "feed4_one", "203.0.113.0/26, 203.0.113.128/25")

	// Others flush the table, or write into a set.
	r.NFT(t, "flush", "ruleset")
	r.awaitSet(t, "feed4_one", "203.0.113.0/26, 203.0.113.128/25")
	r.awaitSet(t, "feed4_two", "192.0.3.0/24")

	// A feed that stays is not fetched again. One with another file is another list.
	asked := p.asked.Load()
	other := fileFeed(t, "two", "192.0.4.0/24")
	r.change(func(c *config.Config) { c.Feeds = []config.Feed{other, one} })
	r.reload(t)
	r.awaitSet(t, "feed4_two", "192.0.4.0/24")
	r.awaitSet(t, "feed4_one", "203.0.113.0/24")
	if n := p.asked.Load(); n != asked {
		t.Errorf("the publisher was asked %d times, and %d before", n, asked)
	}

	r.change(func(c *config.Config) { c.Feeds = []config.Feed{one} })
	r.reload(t)
	eventually(t, "the sets of two are gone", func() bool {
		out := r.NFT(t, "list", "table", "inet", r.config.Firewall.Table)
		return !strings.Contains(out, "feed4_two") && !strings.Contains(out, "feed_two") &&
			strings.Contains(out, "feed4_one")
	})

	r.change(func(c *config.Config) { c.Feeds = nil })
	r.reload(t)
	eventually(t, "no feed is left", func() bool {
		return !strings.Contains(r.NFT(t, "list", "table", "inet", r.config.Firewall.Table), "feed")
	})
}

// Who proved itself by what nobody could forge is spared, and who logged in over UDP is not. Whoever
// administers the machine is not locked out.
func TestWhoFeedsSpare(t *testing.T) {
	r := startReloading(t, 1)
	for addr, transport := range map[string]string{"203.0.113.5:5060": "TLS", "203.0.113.6:5060": "UDP"} {
		phone := amitest.NewPeer(addr)
		phone.Transport = transport
		r.pbxs[0].Emit(phone.Register("1001")...)
	}
	eventually(t, "both logins are judged", func() bool {
		for _, addr := range []string{"203.0.113.5", "203.0.113.6"} {
			x, err := r.client.Explain(t.Context(), netip.MustParseAddr(addr))
			if err != nil || !strings.Contains(string(x.Detail), `"proved":true`) {
				return false
			}
		}
		return true
	})
	ssh := "203.0.113.9 50000 192.0.2.1 22"
	r.ssh.Store(&ssh)

	feed := fileFeed(t, "one", "203.0.113.0/28")
	r.change(func(c *config.Config) { c.Feeds = []config.Feed{feed} })
	r.reload(t)
	const want = "203.0.113.0-203.0.113.4, 203.0.113.6-203.0.113.8, 203.0.113.10-203.0.113.15"
	r.awaitSet(t, "feed4_one", want)

	f := feedState(t, r.client, "one", inKernel)
	var told []string
	for _, s := range f.Spared {
		told = append(told, s.Prefix+": "+s.Reason)
	}
	all := strings.Join(told, "\n")
	if len(told) != 2 || !strings.Contains(all, "203.0.113.5: a phone logged in") ||
		!strings.Contains(all, "203.0.113.9: this machine was administered over SSH") {
		t.Errorf("told: %s", all)
	}

	// The session has ended. Its address is still spared when the list changes.
	none := ""
	r.ssh.Store(&none)
	if err := os.WriteFile(feed.File, []byte("203.0.113.0/27\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	feed.Every = 30 * time.Minute // another pause is tried at once
	r.change(func(c *config.Config) { c.Feeds = []config.Feed{feed} })
	r.reload(t)
	r.awaitSet(t, "feed4_one", strings.Replace(want, ".10-203.0.113.15", ".10-203.0.113.31", 1))
}

// A large first list waits for a yes, and so does one that has suddenly grown.
func TestFeedAccept(t *testing.T) {
	lines := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "20.%d.%d.%d\n", i>>15, i>>7&255, i<<1&255)
		}
		return b.String()
	}
	r := startReloading(t, 1)
	p, one := newPublisher(t, "one", lines(100_001))
	r.change(func(c *config.Config) { c.Feeds = []config.Feed{one} })
	r.reload(t)

	waits := func(f control.FeedState) bool { return f.Waiting > 0 }
	f := feedState(t, r.client, "one", waits)
	if f.State != "waiting" || f.Waiting != 100_001 || f.Prefixes != 0 {
		t.Errorf("%+v", f)
	}
	if got := r.deniedInKernel(t, "feed4_one"); got != "" {
		t.Errorf("without a yes the kernel drops %.80s", got)
	}
	st, err := r.client.Status(t.Context())
	if err != nil || !strings.Contains(fmt.Sprint(st.Health), "a new list waits") {
		t.Errorf("%v, %v", st.Health, err)
	}
	if _, err := r.client.AcceptFeed(t.Context(), control.AcceptFeed{Name: "two"}); err == nil {
		t.Error("an unknown feed was accepted")
	}
	a, err := r.client.AcceptFeed(t.Context(), control.AcceptFeed{Name: "one"})
	if err != nil || a.Prefixes != 100_001 {
		t.Fatalf("%+v, %v", a, err)
	}
	eventually(t, "the kernel has it", func() bool {
		all, err := r.client.Feeds(t.Context())
		return err == nil && inKernel(all.Feeds[0]) && all.Feeds[0].Ranges == 100_001
	})
	if _, err := r.client.AcceptFeed(t.Context(), control.AcceptFeed{Name: "one"}); err == nil {
		t.Error("nothing was accepted")
	}

	// A list that was tampered with waits, and the one before stays in force.
	grown := lines(300_000)
	p.text.Store(&grown)
	one.Every = 30 * time.Minute
	r.change(func(c *config.Config) { c.Feeds = []config.Feed{one} })
	r.reload(t)
	f = feedState(t, r.client, "one", waits)
	if f.State != "current" || f.Prefixes != 100_001 || !strings.Contains(f.Why, "it has grown from") {
		t.Errorf("%+v", f)
	}
}

// After kill -9 the kernel still drops, and the next run has the list of the disk at once, although
// the publisher is away. A list of eight days is a condition, and one of 31 days is not in force.
func TestFeedsOverAKill(t *testing.T) {
	s := newSite(t, 1)
	s.config.State.Directory = t.TempDir()
	c := s.withControl(t)
	s.config.Feeds = []config.Feed{fileFeed(t, "one", "203.0.113.0/24")}
	file := s.config.Feeds[0].File
	onDisk := filepath.Join(s.config.State.Directory, "feed-one.list")

	p := s.spawn(t)
	ready(t, c)
	s.awaitSet(t, "feed4_one", "203.0.113.0/24")
	eventually(t, "the list is on the disk", func() bool {
		_, err := os.Stat(onDisk)
		return err == nil
	})
	p.kill(t)
	s.awaitSet(t, "feed4_one", "203.0.113.0/24")

	// A list on the disk that was damaged, or cut off by a crash, costs no more than a fetch.
	whole, err := os.ReadFile(onDisk)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(onDisk, whole[:len(whole)-3], 0o600); err != nil {
		t.Fatal(err)
	}
	p = s.spawn(t)
	p.Said(t, "feed: the list on the disk is damaged: it is fetched anew", "")
	s.awaitSet(t, "feed4_one", "203.0.113.0/24")
	eventually(t, "the list is on the disk again", func() bool {
		text, err := os.ReadFile(onDisk)
		return err == nil && string(text) == string(whole)
	})
	p.kill(t)

	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		days         int
		state, force string
		stale        bool
	}{
		{1, "current", "203.0.113.0/24", false},
		{8, "stale", "203.0.113.0/24", true},
		{31, "dropped", "", true},
	} {
		then := time.Now().Add(-time.Duration(tt.days) * 24 * time.Hour).Unix()
		aged := strings.Replace(string(whole), fetchedOf(t, whole), fmt.Sprintf(`"fetched":%d`, then), 1)
		if err := os.WriteFile(onDisk, []byte(aged), 0o600); err != nil {
			t.Fatal(err)
		}
		p = s.spawn(t)
		ready(t, c)
		feedState(t, c, "one", func(f control.FeedState) bool { return f.State == tt.state })
		s.awaitSet(t, "feed4_one", tt.force)
		eventually(t, "the condition is as it must be", func() bool {
			all, err := c.Alerts(t.Context(), control.AlertQuery{Kind: alerts.FeedStale})
			open := slices.ContainsFunc(all.Alerts, func(a control.Alert) bool { return a.Open })
			return err == nil && open == tt.stale
		})
		p.kill(t)
	}
}

// fetchedOf returns the field of a list on the disk that says when it was fetched.
func fetchedOf(t *testing.T, text []byte) string {
	t.Helper()
	_, rest, ok := strings.Cut(string(text), `"fetched":`)
	number, _, ok2 := strings.Cut(rest, ",")
	if !ok || !ok2 {
		t.Fatalf("no time in %q", text)
	}
	return `"fetched":` + strings.TrimRight(number, "}\n")
}

// A publisher that fails or tells something else changes nothing, and one that has nothing new is not
// sent the list again.
func TestFeedsOfABadPublisher(t *testing.T) {
	r := startReloading(t, 1)
	p, one := newPublisher(t, "one", "203.0.113.0/24\n")
	again := func() { // each change of the pause is a fetch
		one.Every += time.Minute
		r.change(func(c *config.Config) { c.Feeds = []config.Feed{one} })
		r.reload(t)
	}
	again()
	r.awaitSet(t, "feed4_one", "203.0.113.0/24")

	again()
	eventually(t, "the publisher has nothing new", func() bool { return p.told.Load() == 1 })
	for _, tt := range []struct{ text, want string }{
		{"<html>", "HTML"},
		{"0.0.0.0/0\n", "wider than /8"},
		{"# nothing\n", "no address"},
	} {
		p.text.Store(&tt.text)
		again()
		feedState(t, r.client, "one", func(f control.FeedState) bool {
			return strings.Contains(f.Problem, tt.want) && f.Prefixes == 1
		})
	}
	p.status.Store(http.StatusServiceUnavailable)
	again()
	feedState(t, r.client, "one", func(f control.FeedState) bool {
		return f.Problem == "it answered HTTP 503"
	})
	if got := r.deniedInKernel(t, "feed4_one"); got != "203.0.113.0/24" {
		t.Errorf("the kernel has %q", got)
	}
}
