package policy

// Rule is a rule, or RuleNone. Every verdict names one.
type Rule uint8

// The rules. A number is never used for another rule, since [Engine.Changes] saves it.
const (
	RuleNone Rule = iota
	RuleProvenScore
	RuleScore
	RuleLongMemory
	RuleSecondOffender
	RuleSpreadScore
	RuleInjection
	RuleCanary
	RuleUnanswered
	RuleAdopted
	RuleProtected
	RuleProved
	RuleOperator
	RuleBansFull
	RuleSpoofFlood
	RuleCompromised // also of the ban that comes with the alert
	RuleSpoofSuspected
	RuleSuspectLogin
	RuleMisconfigured
	RuleProvedGuessing // also of the ban that ban_proved_guessers makes of it
	RuleAccountAttacked
	RuleServerAttacked

	// These give no verdict by themselves: they change what the others see.
	RuleRequests
	RuleEnumeration
	RuleAccountUnderAttack
	RuleServerUnderAttack
	RuleTrust
	RuleStrikes
	RuleForgeableBudget
	RuleAMIGuessing

	RuleSharedGuessing // also of the ban that ban_shared_sources makes of it
	RuleUnseen

	ruleCount
)

// RuleInfo describes a rule.
type RuleInfo struct {
	Rule    Rule
	Name    string
	Meaning string // one line
	Alert   bool   // it gives alerts; these are all kinds of alerts there are
	Fixed   bool   // it cannot be switched off: the promises rest on it
	Lasts   bool   // its alerts are conditions, see [Phase]; the others are events
}

var rules = [ruleCount]RuleInfo{
	RuleProvenScore: {
		Name:    "proven_score",
		Meaning: "bans, scope all: the score of a source's proven evidence is above the threshold",
	},
	RuleScore: {
		Name: "score",
		Meaning: "bans, scope sip: the score of all evidence is above the threshold " +
			"and the source is not proved",
	},
	RuleLongMemory: {
		Name:    "long_memory",
		Meaning: "bans: the score that halves in a week only is above twice the threshold",
	},
	RuleSecondOffender: {
		Name:    "second_offender",
		Meaning: "bans a prefix: several of its addresses earned a ban",
	},
	RuleSpreadScore: {
		Name:    "spread_score",
		Meaning: "bans a prefix: attempts of several of its addresses add up",
	},
	RuleInjection: {
		Name:    "injection",
		Meaning: "bans at once who sends text that is made to look like an event",
	},
	RuleUnseen: {
		Name: "unseen_request",
		Meaning: "bans at once who sends a request that Asterisk raises no event of, as the kernel " +
			"sensor saw",
	},
	RuleCanary: {
		Name:    "canary_account",
		Meaning: "bans at once who touches one of canary_accounts",
	},
	RuleUnanswered: {
		Name: "unanswered_challenges",
		Meaning: "accounts beyond five that were challenged at a source that never succeeds " +
			"weigh a quarter each",
	},
	RuleAdopted: {
		Name:    "adopted",
		Meaning: "takes over a ban that was found in the kernel",
		Fixed:   true,
	},
	RuleProtected: {
		Name:    "protected",
		Meaning: "lifts a ban: its prefix holds an address that must never be banned",
		Fixed:   true,
	},
	RuleProved: {
		Name:    "proved",
		Meaning: "lifts the ban of a prefix: an address in it, which never failed, proved itself",
		Fixed:   true,
	},
	RuleOperator: {
		Name:    "operator",
		Meaning: "a ban or its lifting that an operator asked for",
		Fixed:   true,
	},
	RuleBansFull: {
		Name:    "bans_full",
		Meaning: "a ban was due, but max_bans run already, or half as many of scope sip",
		Alert:   true,
		Fixed:   true,
	},
	RuleSpoofFlood: {
		Name:    "spoof_flood",
		Meaning: "more new bans on forgeable evidence were due than forgeable_bans_per_minute",
		Alert:   true,
	},
	RuleCompromised: {
		Name:    "compromised_account",
		Meaning: "a success after failures that were not typos: bans the source",
		Alert:   true,
	},
	RuleSpoofSuspected: {
		Name: "spoof_suspected",
		Meaning: "failures amid the successes of an account's owner, or an account that logs in " +
			"from ever new addresses: somebody forges addresses",
		Alert: true,
	},
	RuleSuspectLogin: {
		Name:    "suspect_login",
		Meaning: "a stranger's first success on an account that many sources guess",
		Alert:   true,
	},
	RuleMisconfigured: {
		Name:    "misconfigured_endpoint",
		Meaning: "one account fails where others succeed, or where it succeeded before: alerted, not banned",
		Alert:   true,
	},
	RuleProvedGuessing: {
		Name: "proved_source_guessing",
		Meaning: "a proved source seems to guess over UDP, or its address is forged: alerted, not banned; " +
			"or it guesses over TCP, and is banned from that",
		Alert: true,
	},
	RuleAccountAttacked: {
		Name:    "account_attacked",
		Meaning: "one account is guessed from ever new sources: nobody is banned for it",
		Alert:   true,
	},
	RuleServerAttacked: {
		Name:    "server_attacked",
		Meaning: "one server is attacked from ever new sources: nobody is banned for it",
		Alert:   true,
	},
	RuleSharedGuessing: {
		Name:    "shared_source_guessing",
		Meaning: "somebody guesses over TCP through an address that many users share: alerted, not banned",
		Alert:   true,
	},
	RuleRequests: {
		Name:    "requests",
		Meaning: "the events of one request count once",
	},
	RuleEnumeration: {
		Name:    "enumeration",
		Meaning: "an attempt on another account weighs more than one on the same",
	},
	RuleAccountUnderAttack: {
		Name:    "account_under_attack",
		Meaning: "a stranger's attempts on an account that many strangers try weigh more",
	},
	RuleServerUnderAttack: {
		Name: "server_under_attack",
		Meaning: "a stranger's attempts on unknown accounts weigh more " +
			"while many strangers try the same server",
	},
	RuleTrust: {
		Name: "trust",
		Meaning: "successes over days and on several accounts " +
			"let more of a source's accounts fail unpunished",
	},
	RuleStrikes: {
		Name:    "strikes",
		Meaning: "each further ban of a source is longer",
	},
	RuleForgeableBudget: {
		Name:    "forgeable_budget",
		Meaning: "new bans on forgeable evidence are limited, and the first is short",
	},
	RuleAMIGuessing: {
		Name:    "ami_guessing",
		Meaning: "failures at the Manager Interface count",
	},
}

// String returns the rule's name, such as "proven_score". It is "" for RuleNone and "unknown" for a
// number that is not a rule.
func (r Rule) String() string {
	if r >= ruleCount {
		return "unknown"
	}
	return rules[r].Name
}

// ParseRule returns the rule of a name. It reports whether there is one.
func ParseRule(name string) (Rule, bool) {
	for r := RuleNone + 1; r < ruleCount; r++ {
		if rules[r].Name == name {
			return r, true
		}
	}
	return RuleNone, false
}

// Rules returns all rules.
func Rules() []RuleInfo {
	out := make([]RuleInfo, 0, ruleCount-1)
	for r := RuleNone + 1; r < ruleCount; r++ {
		info := rules[r]
		info.Rule, info.Lasts = r, kindOfCondition(r) >= 0
		out = append(out, info)
	}
	return out
}

// RuleSet is a set of rules.
type RuleSet uint64

// With returns the set with a rule. It reports whether the rule can be switched off; if it cannot,
// the set is the same.
func (s RuleSet) With(r Rule) (RuleSet, bool) {
	if r == RuleNone || r >= ruleCount || rules[r].Fixed {
		return s, false
	}
	return s | 1<<r, true
}

// Has reports whether a rule is in the set.
func (s RuleSet) Has(r Rule) bool { return s&(1<<r) != 0 }

// on reports whether a rule is switched on.
func (e *Engine) on(r Rule) bool { return !e.opt.Off.Has(r) }
