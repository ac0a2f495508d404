package replay

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/policy"
)

var update = flag.Bool("update", false, "write the golden files anew; read them afterwards")

const captures = "../../../../ami/testdata/captures"

// run replays files with the default policy, changed by change.
func run(t testing.TB, o Options, change func(*config.Config)) string {
	t.Helper()
	c := &config.Config{Policy: policy.DefaultOptions()}
	if change != nil {
		change(c)
	}

	o.Config = c
	o.ConfigName = "the built-in defaults"
	o.Location = time.UTC
	if o.Format == "" { // the easier one to take apart
		o.Format = FormatJSON
	}

	var out bytes.Buffer

	if err := Run(t.Context(), o, &out); err != nil {
		t.Fatal(err)
	}

	if o.Format == FormatJSON {
		return items(t, out.String())
	}
	return out.String()
}

// items returns the data of each line of JSON, and fails if a line has another form.
func items(t testing.TB, text string) string {
	t.Helper()
	var data strings.Builder
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, `{"data":`)
		item, ok2 := strings.CutSuffix(rest, `,"warnings":[],"error":null}`+"\n")
		if !ok || !ok2 {
			t.Fatalf("not an item: %s", line)
		}
		data.WriteString(item + "\n")
	}
	return data.String()
}

func compare(t *testing.T, name, got string) {
	t.Helper()
	golden := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("the replay differs (-want +got):\n%s", diff)
	}
}

// TestCaptures compares the replay of every shared capture with what was read by eye against
// captures/INDEX.md.
func TestCaptures(t *testing.T) {
	names, err := filepath.Glob(captures + "/*.ami")
	if err != nil || len(names) < 25 {
		t.Fatalf("find captures: %d, %v", len(names), err)
	}

	for _, name := range names {
		short := strings.TrimSuffix(filepath.Base(name), ".ami")
		t.Run(short, func(t *testing.T) {
			got := run(t, Options{Files: []string{name}}, nil) +
				run(t, Options{Files: []string{name}, Format: FormatText}, nil)

			// Independent of the golden file, which a mistake may hold.
			if strings.Contains(got, `"9.9.9.9`) || strings.Contains(got, "  9.9.9.9") {
				t.Error("9.9.9.9 is banned: it sent nothing")
			}
			compare(t, short+".txt", got)
		})
	}
}

// TestJSON: the keys, their order and their forms are an API.
func TestJSON(t *testing.T) {
	got := run(t, Options{Files: []string{captures + "/18_svcrack_dict.ami"}}, nil)
	line, _, _ := strings.Cut(got, "\n")
	var ban map[string]any
	if err := json.Unmarshal([]byte(line), &ban); err != nil {
		t.Fatal(err)
	}

	for key, want := range map[string]any{
		"time": "2026-11-23T03:03:57.646Z", "action": "ban", "prefix": "192.0.2.1/32",
		"scope": "sip", "duration_seconds": 600.0,
		"rule": "score", "attempts": 7.0,
	} {
		if ban[key] != want {
			t.Errorf("%s is %v, want %v", key, ban[key], want)
		}
	}

	// A new key needs a decision, since it cannot be taken back.
	if len(ban) != 9 {
		t.Errorf("keys %v, want nine", ban)
	}
}

// TestVerdictsInJSON: an unban and an alert have the keys that the issue names, and an attacker's
// bytes do no harm.
func TestVerdictsInJSON(t *testing.T) {
	var out bytes.Buffer
	w := newJSONWriter(Options{Config: &config.Config{Policy: policy.DefaultOptions()}}, nil, &out)
	h := policy.NewHasher(policy.FixedSeed)
	at := time.Date(2026, 11, 23, 2, 0, 0, 500, time.UTC).UnixNano()

	// The account holds what would break a line, a terminal or the JSON itself.
	w.decision(policy.Verdict{
		Action: policy.ActionAlert, At: at, Rule: policy.RuleBansFull,
		Prefix:  netip.MustParsePrefix("203.0.113.5/32"),
		Account: h.Label([]byte("10\x1b\"01\n")),
	})

	w.decision(policy.Verdict{
		Action: policy.ActionUnban, At: at, Rule: policy.RuleProved,
		Scope: policy.ScopeSIP, Prefix: netip.MustParsePrefix("2001:db8::/64"),
	})
	if err := w.end(summary{}); err != nil {
		t.Fatal(err)
	}
	want := `{"action":"alert","kind":"bans_full","account":"10\\x1b\\\"01\\n",` +
		`"source":"203.0.113.5","time":"2026-11-23T02:00:00.0000005Z"}
{"time":"2026-11-23T02:00:00.0000005Z","action":"unban","prefix":"2001:db8::/64","scope":"sip",` +
		`"rule":"proved","reason":"one of its addresses, which never failed, has proved itself"}
`

	if got := items(t, out.String()); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// TestCondition: a replay shows the beginning and the end of a condition, and nothing between. The
// summary counts it once.
func TestCondition(t *testing.T) {
	const udp = "IPV4/UDP/203.0.113.5/5060"
	capture := request(0, "SuccessfulAuth", "PJSIP", udp, "1001")

	// Three hours of failures that could be forged: an update every hour.
	for minute := range 180 {
		capture += request(float64(10+60*minute), "InvalidAccountID", "PJSIP", udp,
			fmt.Sprint("a", minute))
	}
	capture += request(99999, "SuccessfulAuth", "PJSIP", "IPV4/UDP/198.51.100.200/5060", "1002")
	path := filepath.Join(t.TempDir(), "capture")
	if err := os.WriteFile(path, []byte(capture), 0o600); err != nil {
		t.Fatal(err)
	}

	text := run(t, Options{Files: []string{path}, Format: FormatText}, nil)
	for _, want := range []string{
		"  alert  203.0.113.5/32      proved_source_guessing: ",
		"  resolved  203.0.113.5/32      proved_source_guessing: after ",
		"\n       1 alert\n",
	} {
		if strings.Count(text, want) != 1 {
			t.Errorf("not once %q in\n%s", want, text)
		}
	}
	lines := run(t, Options{Files: []string{path}}, nil)
	if got := strings.Count(lines, `"action":"alert"`); got != 1 {
		t.Errorf("%d alerts, want 1, in\n%s", got, lines)
	}
	resolved := regexp.MustCompile(`(?m)^{"action":"resolved","kind":"proved_source_guessing",` +
		`"account":"","source":"203.0.113.5","time":"2026-[^"]*","lasted_seconds":[0-9]+,"count":[0-9]+}$`)
	if len(resolved.FindAllString(lines, -1)) != 1 {
		t.Errorf("not one end in\n%s", lines)
	}
}

// request is a failure as AMI prints it, a number of seconds into the test.
func request(second float64, kind, service, remote, account string) string {
	start := time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC)
	at := start.Add(time.Duration(second * float64(time.Second)))

	// Each request is a dialog of its own. The other services print a pointer.
	session, tail := fmt.Sprintf("call-%g", second), ""
	if service != "PJSIP" {
		session = "0x7fb2f8003d40"
	}

	severity := "Error"
	switch kind {
	case "SuccessfulAuth":
		severity, tail = "Informational", "UsingPassword: 1\r\n"
	case "ChallengeSent":
		severity, tail = "Informational", "Challenge: \r\n"
	}

	return "Event: " + kind + "\r\nPrivilege: security,all\r\nEventTV: " +
		at.Format("2006-01-02T15:04:05.000-0700") + "\r\nSeverity: " + severity +
		"\r\nService: " + service + "\r\nEventVersion: 1\r\nAccountID: " + account +
		"\r\nSessionID: " + session +
		"\r\nLocalAddress: IPV4/UDP/192.0.2.10/5060\r\nRemoteAddress: " + remote + "\r\n" + tail +
		"\r\n"
}

// repeat is n failures, one a second.
func repeat(from float64, n int, kind, service, remote string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(request(from+float64(i), kind, service, remote, fmt.Sprint("a", i)))
	}
	return b.String()
}

// replayed returns the decisions on a capture: action, prefix, scope and second of each.
func replayed(t *testing.T, capture string, change func(*config.Config)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "capture")
	if err := os.WriteFile(path, []byte(capture), 0o600); err != nil {
		t.Fatal(err)
	}

	var out []string
	for line := range strings.Lines(run(t, Options{Files: []string{path}}, change)) {
		var d struct{ Time, Action, Prefix, Scope string }
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatal(err)
		}
		if d.Action == "note" {
			continue
		}

		// Seconds from the beginning are easier to read in a table.
		at, err := time.Parse(time.RFC3339Nano, d.Time)
		if err != nil {
			t.Fatal(err)
		}

		out = append(out, fmt.Sprint(d.Action, " ", d.Prefix, " ", d.Scope, " ",
			at.Sub(time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC)).Seconds()))
	}

	return strings.Join(out, "; ")
}

// TestKernel: what a ban covers at that moment does not reach the engine.
func TestKernel(t *testing.T) {
	const udp, tcp = "IPV4/UDP/203.0.113.5/5060", "IPV4/TCP/203.0.113.5/5060"
	const ami = "IPV4/TCP/203.0.113.5/40000"
	end := request(99999, "InvalidAccountID", "PJSIP", "IPV4/UDP/198.51.100.200/5060", "x")

	for name, test := range map[string]struct{ capture, want string }{
		"a ban": {repeat(0, 4, "InvalidAccountID", "PJSIP", udp), "ban 203.0.113.5/32 sip 3"},
		"a ban of scope sip drops SIP over TCP too": {
			repeat(0, 4, "InvalidAccountID", "PJSIP", udp) +
				repeat(10, 20, "InvalidAccountID", "PJSIP", tcp), "ban 203.0.113.5/32 sip 3",
		},
		"a ban of scope sip drops chan_sip's too": {
			repeat(0, 4, "InvalidAccountID", "PJSIP", udp) +
				repeat(10, 20, "InvalidAccountID", "SIP", tcp), "ban 203.0.113.5/32 sip 3",
		},
		"a ban of scope sip does not drop AMI": {
			repeat(0, 4, "InvalidAccountID", "PJSIP", udp) +
				repeat(10, 20, "InvalidAccountID", "AMI", ami),
			"ban 203.0.113.5/32 sip 3; ban 203.0.113.5/32 all 13",
		},
		"a ban of scope all drops AMI": {
			repeat(0, 4, "InvalidAccountID", "PJSIP", tcp) +
				repeat(10, 20, "InvalidAccountID", "AMI", ami), "ban 203.0.113.5/32 all 3",
		},
		// Half a half-life later 2.8 of the score of 4 is left: one more attempt bans again.
		"a ban that ended drops nothing": {
			repeat(0, 4, "InvalidAccountID", "PJSIP", udp) +
				repeat(603, 4, "InvalidAccountID", "PJSIP", udp) + end,
			"ban 203.0.113.5/32 sip 3; ban 203.0.113.5/32 sip 603",
		},
		"nor does it leave out the next event of a moment before": {
			repeat(0, 4, "InvalidAccountID", "PJSIP", udp) +
				repeat(602, 5, "InvalidAccountID", "PJSIP", udp) + end,
			"ban 203.0.113.5/32 sip 3; ban 203.0.113.5/32 sip 603",
		},
		"a ban that ended within the same second drops nothing": {
			repeat(0, 4, "InvalidAccountID", "PJSIP", udp) +
				request(602.6, "ChallengeSent", "PJSIP", "IPV4/UDP/10.20.0.101/5060", "1001") +
				request(603, "InvalidAccountID", "PJSIP", udp, "a") + end,
			"ban 203.0.113.5/32 sip 3; ban 203.0.113.5/32 sip 603",
		},
		"a phone that is banned proves nothing": {
			repeat(0, 4, "InvalidAccountID", "PJSIP", udp) +
				request(10, "SuccessfulAuth", "PJSIP", udp, "1001") +
				repeat(603, 4, "InvalidAccountID", "PJSIP", udp) + end,
			"ban 203.0.113.5/32 sip 3; ban 203.0.113.5/32 sip 603",
		},
		"a phone that proved itself is not banned by what can be forged": {
			request(0, "SuccessfulAuth", "PJSIP", udp, "1001") +
				repeat(10, 20, "InvalidAccountID", "PJSIP", udp) + end,
			"alert   13; resolved   21629",
		},
		"the PBX is never banned": {repeat(0, 20, "InvalidAccountID", "PJSIP",
			"IPV4/TCP/192.0.2.10/5060"), ""},
		"an attempt that is held to the end counts": {
			repeat(0, 3, "InvalidAccountID", "PJSIP", udp) +
				// the same request again, with nothing after it: it is known two seconds later that
				// it was one of its own
				strings.Repeat(request(5, "InvalidAccountID", "PJSIP", udp, "b"), 2),
			"ban 203.0.113.5/32 sip 5",
		},
	} {
		// Another event follows, much later.
		// It lets time pass, so that what is held is decided.
		capture := test.capture + strings.Repeat(request(99999, "InvalidAccountID", "PJSIP",
			"IPV4/UDP/198.51.100.201/5060", "y"), 1)
		if strings.HasSuffix(test.capture, end) {
			capture = test.capture
		}

		if got := replayed(t, capture, nil); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// TestHeldAtTheEnd: an attempt whose second event never comes counts two seconds later, even if the
// recording ends.
func TestHeldAtTheEnd(t *testing.T) {
	const udp = "IPV4/UDP/203.0.113.5/5060"
	capture := repeat(0, 2, "InvalidAccountID", "PJSIP", udp) +
		strings.Repeat(request(5, "InvalidAccountID", "PJSIP", udp, "b"), 2)
	if got := replayed(t, capture, nil); got != "ban 203.0.113.5/32 sip 7" {
		t.Errorf("%q, want a ban two seconds after the last event", got)
	}
}

// TestOwnLogin: where the daemon logs in from is never banned.
func TestOwnLogin(t *testing.T) {
	const here = "IPV4/TCP/203.0.113.5/40000"
	capture := request(0, "SuccessfulAuth", "AMI", here, "amifend") +
		repeat(1, 9, "InvalidAccountID", "AMI", here)

	for username, want := range map[string]string{
		"amifend": "", "another": "ban 203.0.113.5/32 stream 4; alert   4",
	} {
		got := replayed(t, capture, func(c *config.Config) {
			c.Servers = []config.Server{{Host: "pbx", Username: username}}
		})
		if got != want {
			t.Errorf("as %s: %q, want %q", username, got, want)
		}
	}
}

// TestConfig: policy, allowlist and servers of the config count.
func TestConfig(t *testing.T) {
	capture := repeat(0, 9, "InvalidAccountID", "PJSIP", "IPV4/TCP/203.0.113.5/5060")
	for name, test := range map[string]struct {
		change func(*config.Config)
		want   string
	}{
		"nothing": {nil, "ban 203.0.113.5/32 all 3"},
		"a threshold": {
			func(c *config.Config) { c.Policy.Threshold = 5 },
			"ban 203.0.113.5/32 all 5",
		},
		"an allowed prefix": {func(c *config.Config) {
			c.Allow = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
		}, ""},
		"a PBX's address": {func(c *config.Config) {
			c.Servers = []config.Server{{Host: "203.0.113.5"}}
		}, ""},
		"another address": {func(c *config.Config) {
			c.Servers = []config.Server{{
				Host:      "pbx.example",
				Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.5")},
			}}
		}, ""},

		// A replay must not depend on the seed, so it is ignored.
		"a seed": {func(c *config.Config) { c.Policy.Seed = 7 }, "ban 203.0.113.5/32 all 3"},
	} {
		if got := replayed(t, capture, test.change); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// TestExplain: the story of one address, to the event, and of no other.
func TestExplain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "office")
	capture := repeat(0, 6, "InvalidAccountID", "PJSIP", "IPV4/UDP/203.0.113.5/5060") +
		repeat(10, 6, "InvalidAccountID", "PJSIP", "IPV4/UDP/203.0.113.6/5060") +
		request(20, "SuccessfulAuth", "PJSIP", "IPV4/UDP/10.20.0.101/5060", "1001") +
		repeat(21, 2, "InvalidAccountID", "PJSIP", "IPV4/UDP/10.20.0.101/5060")
	if err := os.WriteFile(path, []byte(capture), 0o600); err != nil {
		t.Fatal(err)
	}

	for addr, want := range map[string][]string{
		"203.0.113.5": {
			"\"a3\": counted\n", "\"a4\": left out: banned\n",
			"  ban    203.0.113.5/32", "203.0.113.5 is banned until ", "  203.0.113.5/32, scope sip",
		},
		"10.20.0.101": {": a proof\n", "not counted: could be forged, and the source has proved " +
			"itself", "10.20.0.101 is not banned"},
		"127.0.0.1":    {"127.0.0.1 is never banned: loopback"},
		"198.51.100.1": {"198.51.100.1 is not banned"},
	} {
		// The story is in front of the summary, which counts all addresses.
		a := netip.MustParseAddr(addr)
		got := run(t, Options{Files: []string{path}, Format: FormatText, Explain: a}, nil)
		story, _, _ := strings.Cut(got, " decided: ")

		for _, w := range want {
			if !strings.Contains(story, w) {
				t.Errorf("%s: no %q in\n%s", addr, w, got)
			}
		}

		// The other scanner must not be in it, whatever it did.
		if strings.Contains(story, "203.0.113.6") {
			t.Errorf("%s: tells of another\n%s", addr, got)
		}
		for line := range strings.Lines(run(t, Options{Files: []string{path}, Explain: a}, nil)) {
			if !json.Valid([]byte(line)) {
				t.Errorf("%s: no JSON: %s", addr, line)
			}
		}
	}
}

// TestSame: the same recordings give the same bytes.
func TestSame(t *testing.T) {
	files, err := filepath.Glob(captures + "/*.ami")
	if err != nil {
		t.Fatal(err)
	}

	// Maps, seeds and goroutines must not show.
	first := run(t, Options{Files: files}, nil)
	if second := run(t, Options{Files: files}, nil); first != second || first == "" {
		t.Error("two replays differ")
	}
}
