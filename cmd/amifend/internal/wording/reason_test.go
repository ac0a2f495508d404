package wording

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/amifend/amifend/policy"
)

// hostile is a name that would make lines and colours of its own, were it not quoted.
const (
	hostile       = "10\r\n\x1b[31m\"1"
	hostileQuoted = `"10\r\n\x1b[31m\"1"`
)

// verdict is one of a rule with all that any rule may say.
func verdict(action policy.Action, rule policy.Rule) policy.Verdict {
	h := policy.NewHasher(1)
	return policy.Verdict{
		Action: action, Rule: rule, Prefix: netip.MustParsePrefix("203.0.113.5/32"), Score: 7.25,
		Attempts: 9, Strike: 2, Rate: 4.5,
		Account: h.Label([]byte(hostile)), Owned: h.Label([]byte("204" + hostile)), Owns: 3,
		Guessed: 5, Chooser: policy.ChooserSpooferWithAccount,
		Evidence: []policy.Evidence{{
			Kind:    policy.KindInvalidPassword,
			Chooser: policy.ChooserSpoofer, Account: h.Label([]byte(hostile)),
		}},
	}
}

// banReasons returns the words that must precede the evidence of a ban, by rule.
func banReasons() map[policy.Rule]string {
	return map[policy.Rule]string{
		policy.RuleProvenScore:    "score 7.25 is above 3",
		policy.RuleScore:          "score 7.25 is above 3",
		policy.RuleLongMemory:     "score 7.25 over weeks is above 6",
		policy.RuleSecondOffender: "other addresses of it were banned before",
		policy.RuleSpreadScore:    "several of its addresses failed, score 7.25 together",
		policy.RuleInjection:      "its text is made to look like an event",
		policy.RuleUnseen:         "its Call-ID hides its requests from Asterisk's log",
		policy.RuleCanary:         "nobody legitimate uses this account",
		policy.RuleUnanswered: "challenged for one account after another without ever " +
			"answering, score 7.25",
		policy.RuleCompromised:    "a success after failures that were not typos",
		policy.RuleProvedGuessing: "a proved source that seems to guess",
		policy.RuleSharedGuessing: "guesses through a shared source, score 7.25",
	}
}

func TestReasonOfABan(t *testing.T) {
	for rule, why := range banReasons() {
		want := why + ", 9 attempts, ban number 2: pbx: InvalidPassword (forgeable by a spoofer) " +
			hostileQuoted
		if got := Reason(verdict(policy.ActionBan, rule), 3, []string{"pbx"}); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", rule, got, want)
		}
	}

	// Bans that are not the engine's own have no evidence.
	for rule, want := range map[policy.Rule]string{
		policy.RuleAdopted: "found in the kernel", policy.RuleOperator: "an operator asked for it",
	} {
		if got := Reason(verdict(policy.ActionBan, rule), 3, nil); got != want {
			t.Errorf("%s: %s", rule, got)
		}
	}
}

func TestReasonOfALifting(t *testing.T) {
	for rule, want := range map[policy.Rule]string{
		policy.RuleProtected: "it holds an address that is never banned",
		policy.RuleProved:    "one of its addresses, which never failed, has proved itself",
		policy.RuleOperator:  "an operator asked for it",
	} {
		if got := Reason(verdict(policy.ActionUnban, rule), 3, nil); got != want {
			t.Errorf("%s: %s", rule, got)
		}
	}
}

// alertTexts returns the words and the advice of an alert, by rule.
func alertTexts() map[policy.Rule][2]string {
	account := "account " + hostileQuoted + " of pbx"
	return map[policy.Rule][2]string{
		policy.RuleBansFull: {
			"a ban was due, but there is no room for more",
			"raise [firewall] max_bans",
		},
		policy.RuleSpoofFlood: {"more bans on evidence that could be forged were due than " +
			"forgeable_bans_per_minute", "put trunks that never log in into [allow]"},
		policy.RuleCompromised: {
			account +
				" was guessed after 9 attempts, ban number 2: somebody knows its password; from " +
				"where is not certain, since a spoofer with an account could have chosen",
			"look for calls that it placed",
		},
		policy.RuleAccountAttacked: {account +
			" is guessed from no sources within hours, 4.5 failures a minute; a spoofer with an " +
			"account could", "use passwords of 20 random characters"},
		policy.RuleServerAttacked: {"server pbx is attacked from no sources within hours, 4.5 " +
			"failures a minute", "move to PJSIP"},
		policy.RuleSpoofSuspected: {
			"9 failures of " + account + " between two successes",
			"nothing at once: nobody is banned for it",
		},
		policy.RuleSuspectLogin: {"a stranger logged in to " + account +
			", which many sources guess", "ask the account's user"},
		policy.RuleMisconfigured: {
			account + " fails 4.5 times a minute where others work",
			"correct the password or the account in the phone",
		},
		policy.RuleSharedGuessing: {
			"4.5 failures a minute, the last on " + account + ", come through an address that 3 " +
				"accounts share: nobody is banned, since all of them would be cut off",
			"let the PBX see real sources",
		},
		policy.RuleProvedGuessing: {
			"4.5 failures a minute on " + account +
				" and others on 4 more from a source that logged in before as " +
				`"204` + strings.TrimPrefix(hostileQuoted, `"`) +
				" and 2 more: its user guesses, or somebody forges its address",
			"ban_proved_guessers = true",
		},
	}
}

// Every kind of alert has words of its own, and advice.
func TestReasonAndAdviceOfAnAlert(t *testing.T) {
	texts := alertTexts()
	for _, rule := range policy.Rules() {
		v := verdict(policy.ActionAlert, rule.Rule)
		if !rule.Alert {
			if advice := Advice(v); advice != "" {
				t.Errorf("%s is no alert, and has the advice %q", rule.Rule, advice)
			}
			continue
		}

		// A new rule needs a case here, so that its words are read by somebody.
		want, ok := texts[rule.Rule]
		if !ok {
			t.Errorf("%s has no case", rule.Rule)
			continue
		}
		if got := Reason(v, 3, []string{"pbx"}); !strings.Contains(got, want[0]) {
			t.Errorf("%s:\ngot  %s\nwant %s", rule.Rule, got, want[0])
		}
		if got := Advice(v); !strings.Contains(got, want[1]) {
			t.Errorf("%s advises %q, want %q", rule.Rule, got, want[1])
		}

		// What remains at the end is not a rule any more.
		delete(texts, rule.Rule)
	}

	if len(texts) > 0 {
		t.Errorf("no alerts: %v", texts)
	}
}

// Further words of some kinds: for attacks that are not reported one by one, and for an account
// that logs in from many addresses.
func TestReasonOfManyAttacks(t *testing.T) {
	// The attacks and conditions beyond the first ones are a number.
	v := verdict(policy.ActionAlert, policy.RuleAccountAttacked)
	v.More = 12
	if got := Reason(v, 3, nil); !strings.HasPrefix(got, "12 accounts more are attacked") {
		t.Errorf("got %s", got)
	}

	v = verdict(policy.ActionAlert, policy.RuleMisconfigured)
	v.About, v.More = policy.AboutMore, 3412
	if got := Reason(v, 3, nil); got != "and 3,412 more that are not reported one by one" {
		t.Errorf("got %s", got)
	}

	// Many addresses mean a known password, so the advice differs.
	v = verdict(policy.ActionAlert, policy.RuleSpoofSuspected)
	v.Sources = 16
	got := Reason(v, 3, nil)
	if !strings.Contains(got, "logged in from 16 new addresses within a day") {
		t.Errorf("got %s", got)
	}
	if got := Advice(v); !strings.HasPrefix(got, "change the account's password") {
		t.Errorf("advice: %s", got)
	}

	// Over a connection the address is certain, and the text may say so.
	v = verdict(policy.ActionAlert, policy.RuleCompromised)
	v.Chooser = policy.ChooserNobody
	got = Reason(v, 3, nil)
	if !strings.HasSuffix(got, "somebody knows its password, at this address") {
		t.Errorf("got %s", got)
	}
}

// Whatever the verdict, the words are words: every rule has some for each action that it can take,
// the attacker's bytes are quoted, and a server without a name is not named.
func TestReasonIsPrintable(t *testing.T) {
	for _, rule := range policy.Rules() {
		for _, action := range []policy.Action{
			policy.ActionBan, policy.ActionAlert, policy.ActionUnban,
		} {
			// No names are given, so no server may be named.
			got := Reason(verdict(action, rule.Rule), 3, nil)
			if got == "" || strings.ContainsAny(got, "\r\n\x1b") || strings.Contains(got, "pbx") {
				t.Errorf("%s, %s: %q", rule.Rule, action, got)
			}
		}
	}

	if got := Reason(verdict(policy.ActionNone, policy.RuleScore), 3, nil); got != "" {
		t.Errorf("nothing decided, and said %q", got)
	}
}

// A ban is described by its score only where its rule compares one, so a new rule needs a case.
func TestEveryRuleHasWords(t *testing.T) {
	known := banReasons()
	for _, rule := range []policy.Rule{
		// These ban and lift, or only change what the others see.
		policy.RuleAdopted, policy.RuleOperator, policy.RuleProtected, policy.RuleProved,
		policy.RuleRequests, policy.RuleEnumeration, policy.RuleAccountUnderAttack,
		policy.RuleServerUnderAttack, policy.RuleTrust, policy.RuleStrikes,
		policy.RuleForgeableBudget, policy.RuleAMIGuessing,
	} {
		known[rule] = ""
	}

	// Alerts have words in their own table.
	for rule := range alertTexts() {
		known[rule] = ""
	}
	for _, rule := range policy.Rules() {
		if _, ok := known[rule.Rule]; !ok {
			t.Errorf("%s has no case: %s", rule.Rule, rule.Meaning)
		}
	}
}

func TestAttempts(t *testing.T) {
	for want, v := range map[string]policy.Verdict{
		"1 attempt":                {Attempts: 1, Strike: 1},
		"4 attempts":               {Attempts: 4, Strike: 1},
		"4 attempts, ban number 3": {Attempts: 4, Strike: 3},
		"no attempts":              {},
	} {
		if got := Attempts(v); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestPerMinute(t *testing.T) {
	for rate, want := range map[float64]string{
		1:     "1 failure a minute",
		0.999: "0.999 failures a minute", 4.5: "4.5 failures a minute",
	} {
		if got := perMinute(rate, "failure"); got != want {
			t.Errorf("%v: %s", rate, got)
		}
	}
}

// Who is cut off, or fails, is named; what is left out is counted.
func TestUsersAreNamed(t *testing.T) {
	h := policy.NewHasher(1)
	users := []policy.Label{h.Label([]byte("201")), h.Label([]byte(hostile))}
	named := `"201", ` + hostileQuoted + " and 1 more"

	// A ban of a proved source names the users that it cuts off.
	v := verdict(policy.ActionAlert, policy.RuleProvedGuessing)
	v.Scope, v.Users = policy.ScopeStream, users
	got := Reason(v, 3, nil)
	if !strings.Contains(got, "("+named+"): it is banned from TCP") ||
		!strings.Contains(got, "UDP passes") {
		t.Errorf("a proved source: %s", got)
	}
	if !strings.Contains(Advice(v), "amifend allow") {
		t.Errorf("advice: %s", Advice(v))
	}

	// Users that fail through a shared source are named, and so are those that share it.
	v = verdict(policy.ActionAlert, policy.RuleSharedGuessing)
	v.Attempts, v.Users, v.Failing = 0, users, users
	want := "accounts that log in through an address that 3 accounts share (" + named + ") fail: " +
		`"201", ` + hostileQuoted + ": nobody is banned"
	if got := Reason(v, 3, nil); !strings.HasPrefix(got, want) {
		t.Errorf("failing users:\ngot  %s\nwant %s", got, want)
	}
}

// TestHiddenGuesses: an account that fails where it also logs in. Forged packets may make it fail,
// unless nobody could have chosen the address.
func TestHiddenGuesses(t *testing.T) {
	v := policy.Verdict{
		Action: policy.ActionAlert, Rule: policy.RuleProvedGuessing, About: policy.AboutEndpoint,
		Account: policy.NewHasher(0).Label([]byte("201")), Rate: 3, Owns: 1, Guessed: 1,
		Chooser: policy.ChooserNobody,
	}
	const want = `3 failures a minute on account "201" from a source where it also logs in: ` +
		`a second phone has an old password, or somebody guesses it`
	if got := Reason(v, 3, nil); got != want {
		t.Error(got)
	}
	v.Chooser = policy.ChooserSpoofer
	if got := Reason(v, 3, nil); got != want+", or forges the address" {
		t.Error(got)
	}
}
