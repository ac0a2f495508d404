package explain

import (
	"testing"
	"time"

	"github.com/amifend/amifend/policy"
)

// guesses returns attempts on accounts, a quarter of a second apart.
func guesses(kind policy.Kind, accounts ...string) (out []policy.Evidence) {
	h := policy.NewHasher(1)
	for i, a := range accounts {
		out = append(out, policy.Evidence{
			At: at(time.Duration(i) * 250 * time.Millisecond), Kind: kind, Port: uint16(i),
			Chooser: policy.ChooserSpoofer, Weight: 0.5, Account: h.Label([]byte(a)),
		})
	}
	return out
}

// Attempts that are alike are one line, whatever their ports and accounts are.
func TestEqualAttemptsAreFolded(t *testing.T) {
	evidence := append(guesses(policy.KindInvalidPassword, "1001", "1001", "1001", "1002", "1001"),
		guesses(policy.KindChallengeResponseFailed, "1001")...)

	tell := &teller{o: Options{Servers: []string{"office"}, Location: time.UTC}}
	for _, e := range fold(evidence) {
		tell.evidence(e)
	}

	const want = `    2026-11-23 06:00:00 UTC  5× wrong password for "1001", "1002" within 1 s
      office, InvalidPassword, weight 0.5 each, forgeable by a spoofer
    2026-11-23 06:00:00 UTC  wrong password for "1001"
      office, ChallengeResponseFailed, weight 0.5, forgeable by a spoofer
`
	if got := tell.b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestSummarize(t *testing.T) {
	for want, evidence := range map[string][]policy.Evidence{
		`unknown account "100"`: guesses(policy.KindInvalidAccountID, "100"),
		`7× wrong password for "1001" within 2 s`: guesses(policy.KindInvalidPassword,
			"1001", "1001", "1001", "1001", "1001", "1001", "1001"),
		`4× unknown account "100", "101", "102" and 1 more within 1 s`: guesses(
			policy.KindInvalidAccountID, "100", "101", "102", "103"),
		`2× unknown account "100" within 1 s, and 1 other attempt`: append(
			guesses(policy.KindInvalidPassword, "1001"),
			guesses(policy.KindInvalidAccountID, "100", "100")...),
		"RequestNotSupported": guesses(policy.KindRequestNotSupported, ""),
	} {
		if got := summarize(evidence); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestWithin(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "1 s", 1100 * time.Millisecond: "2 s", 61 * time.Second: "2 min", 3 * time.Hour: "3 h",
		72 * time.Hour: "3 days",
	} {
		if got := within(int64(d)); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
