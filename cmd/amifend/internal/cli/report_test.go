package cli

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
)

func TestWriteReport(t *testing.T) {
	hour := time.Date(2026, 11, 22, 3, 0, 0, 0, time.Local)
	past := func(addr, rule string, at time.Time) control.PastBan {
		return control.PastBan{
			Prefix: netip.MustParsePrefix(addr), Scope: "all", Rule: rule,
			From: at, Until: at.Add(time.Hour),
		}
	}

	// One ban of each kind: it runs, was replaced, was lifted, was only observed, or is over.
	running := past("203.0.113.5/32", "operator", time.Now().Truncate(time.Hour))
	running.Until = time.Now().Truncate(time.Hour).Add(50 * time.Hour)
	replaced := past("203.0.113.5/32", "proven_score", running.From)
	replaced.Until = replaced.From.Add(3 * time.Hour)
	lifted := past("203.0.113.6/32", "score", hour)
	lifted.Lifted, lifted.By = hour.Add(5*time.Minute), "root"
	observed := past("2001:db8::/64", "spread_score", hour)
	observed.Observed = true
	r := control.Report{
		From: hour, To: hour.Add(24 * time.Hour),
		Bans: control.BanCounts{
			Made:   12,
			ByRule: map[string]int{"score": 2, "proven_score": 8, "operator": 1, "spread_score": 1},
			Lifted: 1, Observed: 1,
		},
		Latest: []control.PastBan{
			running, replaced, lifted, observed,
			past("203.0.113.7/32", "score", hour),
		},
		Alerts: []control.Alert{{
			At: hour.Add(time.Minute), Kind: "compromised_account", Source: "203.0.113.7",
			Account: `"100"`, Server: "office",
			Reason: `account "100" of office was guessed`, Do: "change its password",
		}},
		AlertCounts: map[string]int{"compromised_account": 1, "misconfigured_endpoint": 30},
		Operations: []control.Operation{{
			At: hour, UID: 4000003, What: "ban",
			Object: "203.0.113.5 all", Reason: `"calls Cuba"`,
		}, {At: hour, Says: "alice", What: "unban", Object: "203.0.113.9"}},
		Servers: []control.Sum{{Name: "office", Failures: 40, Logins: 7, Last: hour}},
		Sources: []control.Sum{
			{Name: "203.0.113.5", Failures: 30, Last: hour, Banned: true},
			{Name: "198.51.100.7", Logins: 7, Last: hour},
		},
		Accounts: []control.Sum{{Name: `"100"`, Server: "office", Failures: 10, Last: hour}},
	}

	var b strings.Builder
	if err := writeReport(&b, screen.Screen{}, r, false); err != nil {
		t.Fatal(err)
	}

	// The width of the columns depends on the name of the zone.
	now := running.From.Format(minutes)
	at := hour.Format(minutes)
	gap := strings.Repeat(" ", len(at)+2-len("LAST SEEN"))
	want := `from ` + at + ` to ` + hour.Add(24*time.Hour).Format(minutes) + `

bans: 12 (8 proven_score, 2 score, 1 operator, 1 spread_score); 1 lifted early; ` +
		`1 of them would-be bans, which dropped nothing
  ` + now + `  203.0.113.5    all  operator      for 2d2h, in force
  ` + now + `  203.0.113.5    all  proven_score  for 3h0m, replaced
  ` + at + `  203.0.113.6    all  score         lifted after 5m0s by root
  ` + at + `  2001:db8::/64  all  spread_score  would be for 1h0m
  ` + at + `  203.0.113.7    all  score         for 1h0m
  7 more (amifend report -n COUNT)

alerts: 31 (30 misconfigured_endpoint, 1 compromised_account)
  ` + hour.Add(time.Minute).Format(stamp) + `  compromised_account  203.0.113.7
      account "100" of office was guessed
      do: change its password
  30 more (amifend report -n COUNT)

operators
  ` + at + `  uid 4000003   ban 203.0.113.5 all "calls Cuba"
  ` + at + `  root (alice)  unban 203.0.113.9

FAILED  LOGINS  LAST SEEN` + gap + `SERVER
40      7       ` + at + `  office

FAILED  LOGINS  LAST SEEN` + gap + `SOURCE
30      0       ` + at + `  203.0.113.5 (banned)

FAILED  LOGINS  LAST SEEN` + gap + `ACCOUNT
10      0       ` + at + `  "100" of office
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &b, want)
	}
}

func TestAgainText(t *testing.T) {
	seen := time.Date(2026, 11, 22, 3, 0, 0, 0, time.Local)
	for want, a := range map[string]control.Again{
		"it still sends: 14 dropped packets in the last 1m12s, 400 while it was banned\nbanned " +
			"again after 4 attempts on unknown accounts, or 7 wrong passwords": {
			Dropped: 400, Lately: 14, LatelySpan: 72.4, MoreUnknown: 4, MoreKnown: 7,
		},
		"1 dropped packet while it was banned, none in the last 1s": {
			Dropped: 1, LatelySpan: 0.2,
		},
		"2 dropped packets while it was banned; whether it still sends is not known": {Dropped: 2},
		"a PBX reported it at " + seen.Format(stamp) + ", while it was banned":       {Seen: seen},
		"no packet of it was dropped\nbanned again after 1 attempt on unknown accounts, or 2 " +
			"wrong passwords": {MoreUnknown: 1, MoreKnown: 2},
	} {
		want += "\nto let it in for good: amifend allow 203.0.113.5"
		if got := againText(a, "203.0.113.5", false); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}

	// A daemon that only observes has banned nobody.
	got := againText(control.Again{Seen: seen, MoreUnknown: 1, MoreKnown: 2}, "203.0.113.5", true)
	if !strings.Contains(got, ", while it would have been banned\nwould be banned again after ") {
		t.Errorf("observing: %q", got)
	}
}
