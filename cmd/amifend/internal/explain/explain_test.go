package explain

import (
	"encoding/json"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/policy"
)

// hostile is a name that would make lines and colours of its own, were it not quoted.
const (
	hostile       = "10\r\n\x1b[31m\"1"
	hostileQuoted = `"10\r\n\x1b[31m\"1"`
)

// at is some moment, d after 2026-11-23 06:00 UTC.
func at(d time.Duration) int64 {
	return time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC).Add(d).UnixNano()
}

// everything is an explanation with a value in every field. No address is all of this at once.
func everything() policy.Explanation {
	h := policy.NewHasher(1)
	return policy.Explanation{
		Addr: netip.MustParseAddr("203.0.113.5"), At: at(0), Protected: "", Banned: true,
		Ban: policy.Ban{
			Prefix: netip.MustParsePrefix("203.0.113.0/24"), Scope: policy.ScopeSIP,
			From: at(-time.Minute), Until: at(9 * time.Minute),
			Rule: policy.RuleSecondOffender, Score: 3.5, Attempts: 7, Strike: 2, Seen: 12,
			LastSeen: at(-time.Second),
		},
		Known: true, Attempts: 4, Since: at(-2 * time.Minute),
		Scores: []policy.ScorePart{
			{Rule: policy.RuleScore, Proven: 1.5, Forgeable: 2.25, Limit: 3},
			{Rule: policy.RuleLongMemory, Proven: 1.5, Forgeable: 2.5, Limit: 6},
		},
		Evidence: []policy.Evidence{
			{
				At: at(-2 * time.Minute), Kind: policy.KindInvalidPassword,
				Chooser: policy.ChooserNobody, Weight: 0.5, Account: h.Label([]byte("1001")),
			},
			{
				At: at(-time.Minute), Kind: policy.KindInvalidAccountID,
				Chooser: policy.ChooserSpoofer, Server: 1, Weight: 1.25,
				Account: h.Label([]byte(hostile)),
			},
		},
		Accounts: []policy.AccountPart{
			{
				Account: h.Label([]byte(hostile)), Server: 1, OKAt: at(-time.Hour), Fails: 3,
				Excused: 2, FailedAt: at(-time.Minute),
			},
			{Account: h.Label([]byte("touched")), Server: 0},
		},
		MoreUnknown: 1, MoreKnown: 2, CalmAt: at(24 * time.Hour),
		Proved: true, ProofAt: at(-time.Hour), ProofEnds: at(23 * time.Hour), Washed: true, Owns: 2,
		Shared: 7, Users: []policy.Label{h.Label([]byte("204")), h.Label([]byte(hostile))},
		Trust:   3.25,
		Strikes: 1, StrikeEnds: at(720 * time.Hour),
		Prefixes: []policy.PrefixPart{
			{
				Prefix: netip.MustParsePrefix("203.0.113.0/24"), Proven: 1, Forgeable: 2, Limit: 9,
				Suspects: 4.75, Offenders: 3, Proved: true,
			},
		},
	}
}

func text(t *testing.T, x policy.Explanation) string {
	t.Helper()
	var b strings.Builder
	if err := Text(&b, x, Options{
		Servers:  []string{"office", "branch"},
		Location: time.UTC,
	}); err != nil {
		t.Fatal(err)
	}

	return b.String()
}

func TestText(t *testing.T) {
	const want = `203.0.113.5 is banned until 2026-11-23 06:09:00 UTC: other addresses of ` +
		`203.0.113.0/24 were banned before
  ban:          203.0.113.0/24, scope sip, from 2026-11-23 05:59:00 UTC
  rule:         second_offender (score 3.50, 7 attempts, ban number 2)
  still sends:  12 events since the ban, the last at 2026-11-23 05:59:59 UTC
  score:        3.75 of 3 (1.50 proven, 2.25 that could be forged)
  long_memory:  4.00 of 6 (1.50 proven, 2.50 that could be forged)
  attempts:     4 since 2026-11-23 05:58:00 UTC
    2026-11-23 05:58:00 UTC  wrong password for "1001"
      office, InvalidPassword, weight 0.5, the address is certain
    2026-11-23 05:59:00 UTC  unknown account ` + hostileQuoted + `
      branch, InvalidAccountID, weight 1.25, forgeable by a spoofer
  proof:        2026-11-23 05:00:00 UTC, good until 2026-11-24 05:00:00 UTC; it failed from the ` +
		`same port before: one of the two may be forged
  shared:       7 accounts logged in from here lately: "204", ` + hostileQuoted + ` and 5 more
  trust:        3.2, 2 accounts of its own
  strikes:      1, one less at 2026-12-23 06:00:00 UTC
  account:      ` + hostileQuoted + ` of branch: last success 2026-11-23 05:00:00 UTC, 3 failures ` +
		`since 2026-11-23 05:59:00 UTC, 2 failures of a misconfigured phone
  network:      203.0.113.0/24: score 3.00 of 9 from about 5 of its parts, 3 of them banned ` +
		`before; it holds a proved address, so only single addresses are banned
  next:         the ban ends by itself
  forgotten:    at 2026-11-24 06:00:00 UTC, if nothing comes until then
`

	if got := text(t, everything()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// What people most want to know is in the first line, and what would change it under next.
func TestTextOfEachState(t *testing.T) {
	addr := netip.MustParseAddr("203.0.113.5")
	for name, tc := range map[string]struct {
		x    policy.Explanation
		want []string
		not  []string
	}{
		"a stranger": {
			policy.Explanation{Addr: addr},
			[]string{"203.0.113.5 is not banned, and nothing is held against it\n"},
			[]string{"next:", "\n  "},
		},

		// The engine did not decide these, so there is no score to show.
		"banned by hand": {
			policy.Explanation{
				Addr: addr, Banned: true,
				Ban: policy.Ban{Prefix: netip.PrefixFrom(addr, 32), Rule: policy.RuleOperator},
			},
			[]string{"  rule:         operator\n"},
			[]string{"score", "number"},
		},
		"allowlisted": {
			policy.Explanation{Addr: addr, Protected: "allowlist"},
			[]string{"203.0.113.5 is never banned: allowlist\n"},
			[]string{"next:", "not banned"},
		},
		"a suspect": {
			policy.Explanation{
				Addr: addr, Known: true, Attempts: 1, Since: at(0), MoreUnknown: 3,
				MoreKnown: 5, CalmAt: at(time.Hour),
			},
			[]string{
				"203.0.113.5 is not banned\n",
				"next:         3 more attempts on an unknown account would ban it, or 5 " +
					"wrong passwords\n", "forgotten:    at 2026-11-23 07:00:00 UTC",
			},
			[]string{"proof:", "trust:", "strikes:"},
		},
		"a suspect at the edge": {
			policy.Explanation{Addr: addr, Known: true, Attempts: 3, MoreUnknown: 1, MoreKnown: 1},
			[]string{"1 more attempt on an unknown account would ban it, or 1 wrong password\n"},
			nil,
		},

		// With a weight of 0, no number of such attempts leads to a ban.
		"wrong passwords weigh nothing": {
			policy.Explanation{Addr: addr, Known: true, MoreUnknown: 3},
			[]string{"next:         3 more attempts on an unknown account would ban it\n"},
			[]string{"password"},
		},
		"unknown accounts weigh nothing": {
			policy.Explanation{Addr: addr, Known: true, MoreKnown: 5},
			[]string{"next:         5 wrong passwords would ban it\n"},
			[]string{"unknown account"},
		},
		"forged in its name": {
			policy.Explanation{
				Addr: addr, Known: true,
				Accounts: []policy.AccountPart{{Shielded: 3}, {Shielded: 1}},
			},
			[]string{
				": 3 failures (may be forged: not held against it)\n",
				": 1 failure (may be forged: not held against it)\n",
			},
			nil,
		},

		// A counter beyond 32 bits.
		"a flood": {
			policy.Explanation{
				Addr: addr, Banned: true,
				Ban: policy.Ban{
					Prefix: netip.MustParsePrefix("203.0.113.5/32"),
					Seen:   5_000_000_000, LastSeen: at(0),
				},
			},
			[]string{"still sends:  5000000000 events since the ban, the last at"},
			nil,
		},
		"a phone": {
			policy.Explanation{
				Addr: addr, Known: true, Proved: true, ProofAt: at(0),
				ProofEnds: at(24 * time.Hour), Owns: 1, Trust: 1,
			},
			[]string{
				"203.0.113.5 is not banned\n",
				"proof:        2026-11-23 06:00:00 UTC, good until 2026-11-24 06:00:00 UTC",
				"trust:        1.0, 1 account of its own",
				"next:         attempts over TCP, TLS or WebSocket would ban it from " +
					"that transport; packets over UDP, and all of chan_sip, would not",
			},
			[]string{"attempts:     ", "strikes:"},
		},
		"a phone of last week": {
			policy.Explanation{Addr: addr, Known: true, ProofAt: at(0)},
			[]string{"proof:        2026-11-23 06:00:00 UTC, too long ago"},
			[]string{"good until"},
		},

		// Networks without a score would fill the screen.
		"a calm prefix": {
			policy.Explanation{
				Addr: addr, Known: true,
				Prefixes: []policy.PrefixPart{{
					Prefix: netip.MustParsePrefix("203.0.113.0/24"),
					Limit:  9, Proved: true,
				}},
			},
			[]string{"203.0.113.5 is not banned\n"},
			[]string{"203.0.113.0/24"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := text(t, tc.x)

			// A line that does not fit the state misleads as much as a missing one.
			for _, w := range tc.want {
				if !strings.Contains(got, w) {
					t.Errorf("does not say %q:\n%s", w, got)
				}
			}

			for _, n := range tc.not {
				if strings.Contains(got, n) {
					t.Errorf("says %q:\n%s", n, got)
				}
			}
		})
	}
}

// An engine's own account of a scanner and of a phone, in words and as JSON.
func TestOfAnEngine(t *testing.T) {
	e, err := policy.New(policy.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}

	h := e.Hasher()
	scanner := netip.MustParseAddrPort("203.0.113.5:5060")
	phone := netip.MustParseAddrPort("198.51.100.7:5060")
	o := policy.Observation{
		Service: policy.ServicePJSIP, Kind: policy.KindInvalidAccountID,
		Source: scanner, Stream: true,
	}

	// A real engine, so that the fields are filled as they are live.
	for i, account := range []string{"100", "101", hostile} {
		o.At = at(time.Duration(i) * time.Second)
		o.Account = h.Label([]byte(account))
		o.Session = uint64(i)
		e.Observe(o)
	}

	e.Observe(policy.Observation{
		At: o.At, Service: policy.ServicePJSIP, Kind: policy.KindSuccessfulAuth, Password: true,
		Source: phone, Account: h.Label([]byte("1001")),
	})
	e.Advance(at(10 * time.Second))

	// One attempt short of a ban: the text must say how short.
	got := text(t, e.Explain(scanner.Addr()))

	for _, w := range []string{
		"203.0.113.5 is not banned\n", "attempts:     3 since",
		hostileQuoted + " within 2 s", `office, InvalidAccountID, weight 1 each, `,
		"account:      " + hostileQuoted + " of office: 1 failure since",
		"1 more attempt on an unknown account would ban it, or 1 wrong password\n",
	} {
		if !strings.Contains(got, w) {
			t.Errorf("does not say %q:\n%s", w, got)
		}
	}

	printable(t, got)

	// The phone proved itself, and nothing is held against it.
	got = text(t, e.Explain(phone.Addr()))
	if !strings.Contains(got, "good until 2026-11-24 06:00:02 UTC") ||
		!strings.Contains(got, `account:      "1001" of office: last success`) {
		t.Errorf("of the phone it says\n%s", got)
	}
}

// printable fails the test if an attacker's bytes are in a text as they are.
func printable(t *testing.T, s string) {
	t.Helper()
	if strings.ContainsAny(s, "\r\x1b") || strings.Contains(s, "10\n") {
		t.Errorf("an attacker's bytes as they are: %q", s)
	}
}

func TestTextTellsThatItCannotBeWritten(t *testing.T) {
	full := errors.New("no space left")
	err := Text(failing{full}, everything(), Options{Location: time.UTC})
	if !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// The keys are an API, and so is what they mean.
func TestJSON(t *testing.T) {
	const want = `{"action":"explain","source":"203.0.113.5","time":"2026-11-23T06:00:00Z",` +
		`"banned":true,"prefix":"203.0.113.0/24","scope":"sip",` +
		`"from":"2026-11-23T05:59:00Z","until":"2026-11-23T06:09:00Z","rule":"second_offender",` +
		`"ban_score":3.5,"ban_attempts":7,"strike":2,` +
		`"attempts":4,"since":"2026-11-23T05:58:00Z",` +
		`"scores":[{"rule":"score","proven":1.5,"forgeable":2.25,"limit":3},` +
		`{"rule":"long_memory","proven":1.5,"forgeable":2.5,"limit":6}],` +
		`"evidence":[{"time":"2026-11-23T05:58:00Z","what":"office: InvalidPassword \"1001\"",` +
		`"weight":0.5},` +
		`{"time":"2026-11-23T05:59:00Z","what":"branch: InvalidAccountID (forgeable by a ` +
		`spoofer) \"10\\r\\n\\x1b[31m\\\"1\"","weight":1.25,"forgeable_by":"a spoofer"}],` +
		`"accounts":[{"account":"10\\r\\n\\x1b[31m\\\"1","server":"branch",` +
		`"success_at":"2026-11-23T05:00:00Z","failures":3,"excused":2},` +
		`{"account":"touched","server":"office"}],` +
		`"prefixes":[{"prefix":"203.0.113.0/24","proven":1,"forgeable":2,"limit":9,` +
		`"suspects":4.75,"offenders":3,"proved":true}],` +
		`"proved":true,"proof_at":"2026-11-23T05:00:00Z","washed":true,"owns":2,` +
		`"shared_by":7,"users":["204","10\\r\\n\\x1b[31m\\\"1"],"trust":3.25,` +
		`"strikes":1,"more_unknown":1,"more_known":2,` +
		`"forgotten_at":"2026-11-24T06:00:00Z"}`

	// Every key, in its order.
	b, err := json.Marshal(New(everything(), []string{"office", "branch"}))
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != want {
		t.Errorf("got\n%s\nwant\n%s", b, want)
	}

	// Without a value, an optional key is left out.
	x := policy.Explanation{
		Addr: netip.MustParseAddr("192.0.2.1"), At: at(0), Protected: "allowlist",
	}
	b, err = json.Marshal(New(x, nil))
	if err != nil {
		t.Fatal(err)
	}
	const bare = `{"action":"explain","source":"192.0.2.1","time":"2026-11-23T06:00:00Z",` +
		`"protected":"allowlist","banned":false,"attempts":0,"proved":false}`
	if string(b) != bare {
		t.Errorf("got\n%s\nwant\n%s", b, bare)
	}
}

// Whatever an explanation has is in its JSON: a field that is added must not be forgotten.
func TestJSONLeavesNothingEmpty(t *testing.T) {
	j := reflect.ValueOf(New(everything(), []string{"office", "branch"}))

	// Protected and banned exclude each other.
	for i := range j.NumField() {
		if name := j.Type().Field(i).Name; j.Field(i).IsZero() && name != "Protected" {
			t.Errorf("%s is empty", name)
		}
	}
}

// TestDryText: an observing daemon bans nobody, so no line claims a ban.
func TestDryText(t *testing.T) {
	var b strings.Builder
	if err := Text(&b, everything(), Options{Location: time.UTC, Dry: true}); err != nil {
		t.Fatal(err)
	}
	for _, claim := range []string{"is banned", "them banned before", "the ban ends"} {
		if strings.Contains(b.String(), claim) {
			t.Errorf("%q is in:\n%s", claim, &b)
		}
	}
}
