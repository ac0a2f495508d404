package check

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
)

// The section names what a file holds and whom it would drop, what the daemon knows, and what to do.
// No token of a URL is in it, and nothing of it is a failure: bans do not depend on feeds.
func TestFeedSection(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, age time.Duration) config.Feed {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		return config.Feed{Name: name, File: path}
	}
	feeds := []config.Feed{
		write("mine", "203.0.113.0/24\nnonsense\n", 0),
		write("old", "192.0.2.0/24\n", 9*24*time.Hour),
		write("wide", "0.0.0.0/0\n", 0),
		{Name: "gone", File: filepath.Join(dir, "gone")},
		{Name: "voipbl", Source: "voipbl", URL: config.Hide("https://a.example/t0ken")},
		{Name: "other", URL: config.Hide("https://a.example/t0ken")},
	}
	never := protect.Set{Entries: []protect.Entry{
		{Prefix: netip.MustParsePrefix("203.0.113.77/32"), Reason: "allowlist"},
	}}

	for _, tt := range []struct {
		name  string
		known []control.FeedState
		want  []string
	}{
		{"without a daemon", nil, []string{
			"mine: 1 prefix", "mine: 1 line is neither an address nor a prefix, the first is line 2",
			"mine: lists 203.0.113.77/32, which is not dropped: allowlist", "old is 9 days old",
			"wider than /8", "its file does not exist", "voipbl: voipbl, fetched as soon as",
			"other: a list of its url, fetched",
		}},
		{"with a daemon", []control.FeedState{
			{Name: "voipbl", State: "stale", Age: 8 * 24 * 3600, Prefixes: 5, Problem: "it answered HTTP 500"},
			{Name: "mine", State: "waiting", Waiting: 120_000, Why: "it has 120000 prefixes"},
			{Name: "old", State: "dropped", Age: 31 * 24 * 3600},
			{Name: "wide", State: "none", Disk: "the disk is full"},
			{Name: "gone", State: "current", Prefixes: 7},
		}, []string{
			"voipbl: its list is 8 days old; after 30 days", "voipbl: its last list was not taken: it answered",
			"mine: a list of 120000 prefixes waits: it has", "amifend feed accept mine",
			"old: its list is 31 days old and drops nobody", "wide: there is no list yet",
			"wide: the disk is full", "gone: 7 prefixes in force", "other: amifend has not loaded it yet",
		}},
	} {
		p := &printer{}
		p.print(feedSection(feeds, tt.known, never))
		var b strings.Builder
		if fine, err := p.result(&b); err != nil || !fine {
			t.Errorf("%s: %v, %v", tt.name, fine, err)
		}
		text := strings.Join(strings.Fields(b.String()), " ")
		for _, part := range tt.want {
			if !strings.Contains(text, part) {
				t.Errorf("%s: it lacks %q:\n%s", tt.name, part, b.String())
			}
		}
		if strings.Contains(text, "t0ken") {
			t.Errorf("%s: a token is told:\n%s", tt.name, b.String())
		}
	}
}
