package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/policy"
)

var update = flag.Bool("update", false, "write the golden files anew; read them afterwards")

func run(t testing.TB, format Format, allow []netip.Prefix, files ...string) string {
	t.Helper()
	var out bytes.Buffer
	o := Options{
		Config: &config.Config{Policy: policy.DefaultOptions(), Allow: allow},
		Files:  files, Format: format, Location: time.UTC,
	}
	if err := Run(t.Context(), o, &out); err != nil {
		t.Fatal(err)
	}

	if format == FormatJSON {
		return items(t, out.Bytes())
	}
	return out.String()
}

// items returns the sources and then the notes of a report in JSON, one a line.
func items(t testing.TB, text []byte) string {
	t.Helper()
	var got struct {
		Data struct {
			Sources, Notes []json.RawMessage
		}
		Error *struct{}
	}
	if err := json.Unmarshal(text, &got); err != nil || got.Error != nil {
		t.Fatalf("%v: %s", err, text)
	}

	var lines bytes.Buffer
	for _, item := range append(got.Data.Sources, got.Data.Notes...) {
		if err := json.Compact(&lines, item); err != nil {
			t.Fatal(err)
		}
		lines.WriteByte('\n')
	}
	return lines.String()
}

// TestGolden compares reports of captures and logs of a real Asterisk with what was read by eye
// against their truth.
func TestGolden(t *testing.T) {
	for name, file := range map[string]string{
		"01":          "../../../../ami/testdata/captures/01_basic_udp4_steps.ami",
		"03":          "../../../../ami/testdata/captures/03_crlf_injection_real.ami",
		"07":          "../../../../ami/testdata/captures/07_legit_phones_stale_nonce_spoof.ami",
		"19":          "../../../../ami/testdata/captures/19_svcrack_range.ami",
		"chan_sip-16": "../asterisklog/testdata/chan_sip-16.log",
		"security-22": "../asterisklog/testdata/security-22.log",
	} {
		t.Run(name, func(t *testing.T) {
			got := run(t, FormatText, nil, file) + run(t, FormatJSON, nil, file) +
				run(t, FormatCSV, nil, file)
			golden := filepath.Join("testdata", "golden", name+".txt")

			// Written only on demand, and read by a person afterwards.
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}

			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got,
				"\n")); diff != "" {
				t.Errorf("the report differs (-want +got):\n%s", diff)
			}
		})
	}
}

// line is an event as AMI prints it.
func line(second float64, kind, remote, account, session string) string {
	start := time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC)
	at := start.Add(time.Duration(second * float64(time.Second)))

	// The decoder takes only what Asterisk prints with the kind.
	severity, tail := "Error", ""
	switch kind {
	case "SuccessfulAuth":
		severity, tail = "Informational", "UsingPassword: 1\r\n"
	case "ChallengeSent":
		severity, tail = "Informational", "Challenge: \r\n"
	case "ChallengeResponseFailed":
		tail = "Challenge: 1795403290/3265a3337cc1e7557bec84da998354c3\r\nResponse: " +
			"71b0d1e675f23f6d16babf53ceff8d11\r\nExpectedResponse: \r\n"
	}

	return "Event: " + kind + "\r\nPrivilege: security,all\r\nEventTV: " +
		at.Format("2006-01-02T15:04:05.000-0700") + "\r\nSeverity: " + severity +
		"\r\nService: PJSIP\r\nEventVersion: 1\r\nAccountID: " + account + "\r\nSessionID: " +
		session +
		"\r\nLocalAddress: IPV4/UDP/192.0.2.10/5060\r\nRemoteAddress: " + remote + "\r\n" + tail +
		"\r\n"
}

func capture(t testing.TB, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "capture")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	stranger = "IPV4/UDP/203.0.113.5/5060"
	phone    = "IPV4/UDP/10.20.0.101/5060"
	unknown  = "<unknown>"
)

// attempt is a request to an unknown account: without credentials, or with them after a challenge
// (4 events).
func attempt(second float64, remote, account, session string) string {
	return line(second, "InvalidAccountID", remote, account, session) +
		line(second, "ChallengeSent", remote, unknown, session) +
		line(second, "InvalidAccountID", remote, account, session) +
		line(second, "ChallengeResponseFailed", remote, unknown, session)
}

// rows are the report's sources: address, attempts, accounts, verdict.
func rows(t *testing.T, allow []netip.Prefix, content string) string {
	t.Helper()
	var out []string
	for l := range strings.Lines(run(t, FormatJSON, allow, capture(t, content))) {
		var s jsonSource
		if err := json.Unmarshal([]byte(l), &s); err != nil {
			t.Fatal(err)
		}
		if s.Source == "" {
			continue // a note
		}

		// Without the time of the ban, which is not the point.
		verdict, _, _ := strings.Cut(s.Verdict, " 2026")
		out = append(out, fmt.Sprintf("%s %d %d %s", s.Source, s.Attempts, len(s.Accounts),
			verdict))
	}

	return strings.Join(out, "; ")
}

// TestAttempts: attempts are counted, not events, and those behind a ban too.
func TestAttempts(t *testing.T) {
	const end = "IPV4/UDP/203.0.113.99/5060"
	last := line(9e4, "ChallengeSent", end, "1001", "z")
	for name, test := range map[string]struct{ content, want string }{
		"nothing": {"", ""},
		"phones only": {line(0, "ChallengeSent", phone, "1001", "a") +
			line(1, "SuccessfulAuth", phone, "1001", "a"), ""},
		"four events": {attempt(0, stranger, "x", "a"), "203.0.113.5 1 1 not banned"},
		"two of them": {
			attempt(0, stranger, "x", "a") + attempt(1, stranger, "y", "b"),
			"203.0.113.5 2 2 not banned",
		},
		"one that was held": {line(0, "InvalidAccountID", stranger, "x", "a") +
			line(1, "InvalidAccountID", stranger, "x", "a"), "203.0.113.5 2 1 not banned"},
		"without credentials, twice under one Call-ID": {
			strings.Repeat(line(0, "InvalidAccountID", stranger, "x", "a")+line(0, "ChallengeSent",
				stranger, unknown, "a"), 2), "203.0.113.5 2 1 not banned",
		},
		"one Call-ID": {
			line(0, "InvalidAccountID", stranger, "x", "a") + line(1, "InvalidAccountID", stranger,
				"x", "a") + line(2, "InvalidAccountID", stranger, "x", "a"),
			"203.0.113.5 3 1 not banned",
		},
		// x is held, told, and held anew; y, held in between, is due before x is. A phone's event
		// comes when y is due and x is not.
		"held, told and held anew": {
			line(0, "InvalidAccountID", stranger, "x", "a") +
				line(0, "ChallengeSent", stranger, unknown, "a") +
				line(0.1, "InvalidAccountID", "IPV4/UDP/203.0.113.6/5060", "y", "b") +
				line(0.1, "ChallengeSent", "IPV4/UDP/203.0.113.6/5060", unknown, "b") +
				line(0.2, "InvalidAccountID", stranger, "x", "a") +
				line(0.3, "InvalidAccountID", "IPV4/UDP/203.0.113.6/5060", "y", "b") +
				line(0.4, "ChallengeSent", stranger, unknown, "a") +
				line(2, "InvalidAccountID", stranger, "x", "a") +
				line(2.5, "ChallengeResponseFailed", phone, "1001", "c") +
				line(2.6, "ChallengeSent", phone, "1001", "d"),
			"203.0.113.5 3 1 not banned; 203.0.113.6 2 1 not banned; 10.20.0.101 1 1 not banned",
		},
		"behind a ban": {
			attempt(0, stranger, "a", "a") + attempt(1, stranger, "b", "b") +
				attempt(2, stranger, "c", "c") + attempt(3, stranger, "d", "d") +
				attempt(4, stranger, "e", "e") + attempt(5, stranger, "f", "f"),
			"203.0.113.5 6 6 banned",
		},
		"a phone with typos": {
			line(0, "SuccessfulAuth", phone, "1001", "s") + line(1, "ChallengeResponseFailed",
				phone, "1001", "a") + line(2, "ChallengeResponseFailed", phone, "1001", "b"),
			"10.20.0.101 2 1 not banned; it logged in too",
		},
		"a neighbour of a banned one": {
			attempt(0, "IPV6/UDP/2001:db8:bad::1/5060", "a", "a") +
				attempt(1, "IPV6/UDP/2001:db8:bad::2/5060", "b", "b") +
				attempt(2, "IPV6/UDP/2001:db8:bad::1/5060", "c", "c") +
				attempt(3, "IPV6/UDP/2001:db8:bad::2/5060", "d", "d") +
				attempt(4, "IPV6/UDP/2001:db8:bad::3/5060", "e", "e"),
			"2001:db8:bad::1 2 2 banned; 2001:db8:bad::2 2 2 banned; 2001:db8:bad::3 1 1 banned",
		},
	} {
		// A late event of another source lets all windows end.
		if got := rows(t, nil, test.content+last); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}

	// Protected sources are counted like others.
	allow := []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	content := attempt(0, stranger, "x", "a") + last
	if got, want := rows(t, allow, content), "203.0.113.5 1 1 never banned: allowlist ([allow] "+
		"prefixes)"; got != want {
		t.Errorf("allowed: %q, want %q", got, want)
	}
}

// TestLogLinesAreAttempts: each line of chan_sip is a request of its own, whatever the engine would
// fold of events.
func TestLogLinesAreAttempts(t *testing.T) {
	const line = "[2026-11-23 02:49:24] NOTICE[9] chan_sip.c: Registration from '<sip:1001@pbx>' " +
		"failed for '198.51.100.9:5060' - Device does not match ACL\n"
	got := run(t, FormatText, nil, capture(t, strings.Repeat(line, 5)))
	if !strings.HasPrefix(got, "      5  198.51.100.9 ") {
		t.Errorf("got %s, want five attempts", got)
	}
}

func TestNothing(t *testing.T) {
	path := capture(t, line(0, "SuccessfulAuth", phone, "1001", "s"))
	for format, want := range map[Format]string{
		FormatText: "no failed attempts\n", FormatJSON: "",
		FormatCSV: "source,attempts,first,last,accounts,account_names,kinds,verdict\n",
	} {
		if got := run(t, format, nil, path); got != want {
			t.Errorf("%s: %q, want %q", format, got, want)
		}
	}
}

// TestHostileAccounts: no account is a formula in a spreadsheet, a control sequence in a terminal,
// or more than a cell.
func TestHostileAccounts(t *testing.T) {
	for i, account := range []string{
		`=cmd|' /C calc'!A0`, `+1+1`, `-1+1`, `@SUM(A1)`, "\x1b[2J\x1b]0;x\x07", "\ttab", `","=1+1`,
		"\xff\xfe", `"=1+1`, ";=1+1", "a\rb",
	} {
		path := capture(t, line(0, "InvalidAccountID", stranger, account, "a")+line(1,
			"ChallengeSent", phone, "1001", "z"))
		got, err := csv.NewReader(strings.NewReader(run(t, FormatCSV, nil, path))).ReadAll()
		if err != nil || len(got) != 2 {
			t.Fatalf("%d: %v, %v", i, got, err)
		}

		// A spreadsheet decides by the first character of a cell.
		for _, cell := range got[1] {
			if strings.ContainsAny(cell[:1], "=+-@\t\r;") {
				t.Errorf("%q begins like a formula", cell)
			}
		}

		for _, text := range []string{
			run(t, FormatText, nil, path), run(t, FormatJSON, nil, path),
			run(t, FormatCSV, nil, path),
		} {
			if strings.ContainsFunc(text, func(r rune) bool {
				return r < ' ' && r != '\n' || r > '~' && r != '…'
			}) {
				t.Errorf("%q holds bytes that are no text", text)
			}
		}
	}
}

// TestManyAccounts: the accounts of a source are bounded.
func TestManyAccounts(t *testing.T) {
	var b strings.Builder
	for i := range 150 {
		b.WriteString(attempt(float64(i), stranger, fmt.Sprint("u", i), fmt.Sprint("c", i)))
	}

	b.WriteString(line(200, "ChallengeSent", phone, "1001", "z"))
	path := capture(t, b.String())
	if got := run(t, FormatText, nil, path); !strings.Contains(got, "    150  203.0.113.5") ||
		!strings.Contains(got, "more than 100 accounts") {
		t.Errorf("got %s", got)
	}
	if got := run(t, FormatJSON, nil, path); !strings.Contains(got, `"more_accounts":true`) {
		t.Errorf("got %s", got)
	}
}
