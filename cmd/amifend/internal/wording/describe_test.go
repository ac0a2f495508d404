package wording

import (
	"slices"
	"strings"
	"testing"

	"github.com/amifend/amifend/policy"
)

func TestDescribe(t *testing.T) {
	h := policy.NewHasher(1)
	ev := func(server uint16, kind policy.Kind, chooser policy.Chooser,
		account string,
	) policy.Evidence {
		return policy.Evidence{
			Kind: kind, Chooser: chooser, Server: server,
			Account: h.Label([]byte(account)),
		}
	}

	// Server 9 has no name, and names may hold what breaks a line.
	for want, evidence := range map[string][]policy.Evidence{
		"": nil,
		`office: InvalidAccountID (forgeable by a spoofer) "100" "101"; InvalidPassword "1001"`: {
			ev(0, policy.KindInvalidAccountID, policy.ChooserSpoofer, "100"),
			ev(0, policy.KindInvalidAccountID, policy.ChooserSpoofer, "101"),
			ev(9, policy.KindInvalidPassword, policy.ChooserNobody, "1001"),
		},
		`office: InvalidAccountID "a\r\nEvent: x"; branch: InvalidAccountID "\x1b[2J\""`: {
			ev(0, policy.KindInvalidAccountID, policy.ChooserNobody, "a\r\nEvent: x"),
			ev(1, policy.KindInvalidAccountID, policy.ChooserNobody, "\x1b[2J\""),
		},
	} {
		if got := Describe(evidence, []string{"office", "branch"}); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestServers(t *testing.T) {
	of := func(servers ...uint16) (out []policy.Evidence) {
		for _, s := range servers {
			out = append(out, policy.Evidence{Server: s})
		}
		return out
	}

	got := Servers(of(1, 2, 0, 1, 9), []string{"office", "branch"})
	if !slices.Equal(got, []string{"branch", "office"}) {
		t.Errorf("got %q", got)
	}
}

func TestDescriptionIsBounded(t *testing.T) {
	h := policy.NewHasher(1)
	evidence := make([]policy.Evidence, 8)
	for i := range evidence {
		evidence[i] = policy.Evidence{
			Kind:    policy.KindInvalidAccountID,
			Account: h.Label([]byte(strings.Repeat("\x00", 1000))),
		}
	}

	// The one that passes the limit is still whole, so there is some slack.
	got := Describe(evidence, []string{"office"})
	if len(got) > longest+300 || !strings.HasSuffix(got, "(and 5 more)") {
		t.Errorf("%d bytes: %s", len(got), got)
	}
}

func TestFailures(t *testing.T) {
	h := policy.NewHasher(1)
	label := func(s string) policy.Label { return h.Label([]byte(s)) }
	for want, got := range map[string]string{
		`wrong password for "1001"`:        Failure(policy.KindChallengeResponseFailed, label("1001")),
		"wrong password":                   Failure(policy.KindInvalidPassword, label("")),
		"unknown account " + hostileQuoted: Failure(policy.KindInvalidAccountID, label(hostile)),
		`refused by an ACL for "1"`:        Failure(policy.KindFailedACL, label("1")),
		`unknown account "1", "2" and 3 more`: Failures(policy.KindInvalidAccountID,
			[]policy.Label{label("1"), label("2")}, 5),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
