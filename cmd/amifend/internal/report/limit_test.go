package report

import (
	"bytes"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/policy"
)

// limited reports a file with a limit, and returns the report and its notes.
func limited(t *testing.T, format Format, limit int, file string) (out, notes string) {
	t.Helper()
	var b, n bytes.Buffer
	o := Options{
		Config: &config.Config{Policy: policy.DefaultOptions()}, Files: []string{file},
		Format: format, Location: time.UTC, Limit: limit, Notes: &n,
	}
	if err := Run(t.Context(), o, &b); err != nil {
		t.Fatal(err)
	}
	return b.String(), n.String()
}

// TestLimit: so many sources are written, and how many more there are.
func TestLimit(t *testing.T) {
	var b strings.Builder
	for i := range 7 {
		b.WriteString(attempt(float64(i), fmt.Sprintf("IPV4/UDP/203.0.113.%d/5060", i), "x", "a"))
	}
	path := capture(t, b.String())
	text, _ := limited(t, FormatText, 3, path)
	if strings.Count(text, "verdict:") != 3 ||
		!strings.Contains(text, "4 more (amifend report -n COUNT)") ||
		!strings.Contains(text, "failed attempts: 7, sources: 7") {
		t.Errorf("%s", text)
	}
	object, _ := limited(t, FormatJSON, 3, path)
	if strings.Count(object, `"source"`) != 3 ||
		!strings.Contains(object, `{"action":"note","kind":"more","count":4,`) {
		t.Errorf("%s", object)
	}
	table, notes := limited(t, FormatCSV, 3, path)
	if strings.Count(table, "\n") != 4 || notes != "4 more (amifend report -n COUNT)\n" {
		t.Errorf("%s; %s", table, notes)
	}
	if all, notes := limited(t, FormatCSV, 0, path); strings.Count(all, "\n") != 8 || notes != "" {
		t.Errorf("%s; %s", all, notes)
	}
}

// TestReports: reports of inputs that were built after public bug reports.
func TestReports(t *testing.T) {
	for name, want := range map[string][]string{
		"time-last-event.log":     {"198.51.100.7  2026-11-23 02:00:00 to 2026-11-23 14:00:00 UTC"},
		"silent-pjsip-notice.log": {"      5  198.51.100.7 ", "banned 2026-11-23 02:10:09"},
		"silent-iax2.log": {
			"      5  198.51.100.9 ", "5 accounts",
			"banned 2026-11-23 02:10:09",
		},
		"silent-loopback-ws.log": {
			"      5  127.0.0.1 ", "never banned: loopback",
			"note: 127.0.0.1 failed here: the PBX does not see real sources",
		},
		"stamp-zone-name.log": {
			"no failed attempts\n",
			`5 lines that look like failed requests were not read: the time "2026-11-23 02:10:00 CET" is not understood`,
		},
	} {
		path := filepath.Join("..", "replay", "testdata", "reports", name)
		text, _ := limited(t, FormatText, 10, path)
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: no %q in\n%s", name, w, text)
			}
		}
	}
	path := filepath.Join("..", "replay", "testdata", "reports", "stamp-zone-name.log")
	if object, _ := limited(t, FormatJSON, 10, path); !strings.Contains(object,
		`"kind":"unread","count":5`) {
		t.Errorf("%s", object)
	}
	if _, notes := limited(t, FormatCSV, 10, path); !strings.Contains(notes,
		"5 lines that look like failed requests were not read") {
		t.Errorf("%s", notes)
	}
}

// TestAMI: failures at the Manager Interface are attempts.
func TestAMI(t *testing.T) {
	got := run(t, FormatText, nil, "../../../../ami/testdata/captures/05_ami_service_events.ami")
	if !strings.Contains(got, "198.51.100.45") || !strings.Contains(got, "verdict: banned") {
		t.Errorf("%s", got)
	}
}

// TestPrefixBans: a ban of a prefix is noted with each source that it covers and that was known,
// without a look at all others.
func TestPrefixBans(t *testing.T) {
	ta, err := newTally(&config.Config{Policy: policy.DefaultOptions()})
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2"),
		netip.MustParseAddr("2001:db9::1")
	ta.attempt(a, failure{at: 1})
	ta.attempt(c, failure{at: 1})
	ta.decision(policy.Verdict{
		Action: policy.ActionBan,
		Prefix: netip.MustParsePrefix("2001:db8::/64"), At: 2, Scope: policy.ScopeSIP,
		Rule: policy.RuleScore,
	})
	ta.decision(policy.Verdict{
		Action: policy.ActionBan,
		Prefix: netip.MustParsePrefix("2001:db8::/64"), At: 4, Scope: policy.ScopeAll,
		Rule: policy.RuleScore,
	})
	ta.attempt(b, failure{at: 3})
	bans := make(map[netip.Addr]string)
	for _, s := range ta.finish().sources {
		bans[s.addr] = fmt.Sprint(s.bans, s.ban.Scope)
	}
	if bans[a] != "2 all" || bans[b] != "1 all" || bans[c] != "0 none" {
		t.Errorf("%v", bans)
	}
}

// TestBounded: when there are too many sources, those with the fewest attempts are left out and
// counted.
func TestBounded(t *testing.T) {
	ta, err := newTally(&config.Config{Policy: policy.DefaultOptions()})
	if err != nil {
		t.Fatal(err)
	}
	addr := func(n int) netip.Addr {
		return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
	}
	const most = maxSources + 1000
	for n := range most {
		ta.attempt(addr(1<<24+n), failure{at: int64(n)})
		if n%1000 == 0 {
			ta.attempt(addr(1<<24+n), failure{at: int64(n)})
		}
	}
	r := ta.finish()
	if len(r.sources) > maxSources || len(r.sources)+r.others != most ||
		r.attempts != most+(most+999)/1000 {
		t.Errorf("%d sources, %d others, %d attempts", len(r.sources), r.others, r.attempts)
	}
	for i := range most / 1000 {
		if r.sources[i].attempts != 2 {
			t.Fatalf("one of the worst is left out")
		}
	}
}
