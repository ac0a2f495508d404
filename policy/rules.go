package policy

// The names of the rules. Every verdict bears one; [Rules] lists them all, with their meaning.
const (
	RuleRequests       = "requests"
	RuleProvenScore    = "proven_score"
	RuleScore          = "score"
	RuleLongMemory     = "long_memory"
	RuleSecondOffender = "second_offender"
	RuleSpreadScore    = "spread_score"
	RuleInjection      = "injection"
	RuleCanary         = "canary_account"
	RuleUnanswered     = "unanswered_challenges"
	RuleAdopted        = "adopted"
	RuleProtected      = "protected"
	RuleProved         = "proved"
	RuleOperator       = "operator"

	// The kinds of alerts. This list is closed.
	RuleBansFull        = "bans_full"
	RuleSpoofFlood      = "spoof_flood"
	RuleCompromised     = "compromised_account" // also of the ban that comes with the alert
	RuleSpoofSuspected  = "spoof_suspected"
	RuleSuspectLogin    = "suspect_login"
	RuleMisconfigured   = "misconfigured_endpoint"
	RuleProvedGuessing  = "proved_source_guessing" // also of the ban that ban_proved_guessers makes of it
	RuleAccountAttacked = "account_attacked"
	RuleServerAttacked  = "server_attacked"
)

// ruleID is a rule's index in the table of rules.
type ruleID uint8

const (
	ruleNone ruleID = iota
	ruleProvenScore
	ruleScore
	ruleLongMemory
	ruleSecondOffender
	ruleSpreadScore
	ruleInjection
	ruleCanary
	ruleUnanswered
	ruleAdopted
	ruleProtected
	ruleProved
	ruleOperator
	ruleBansFull
	ruleSpoofFlood
	ruleCompromised
	ruleSpoofSuspected
	ruleSuspectLogin
	ruleMisconfigured
	ruleProvedGuessing
	ruleAccountAttacked
	ruleServerAttacked
	// These give no verdict by themselves: they change what the others see.
	ruleRequests
	ruleEnumeration
	ruleAccountAttack
	ruleServerAttack
	ruleTrust
	ruleStrikes
	ruleBudget
	ruleAMI
	ruleCount
)

// RuleInfo describes a rule.
type RuleInfo struct {
	Name    string
	Meaning string // one line
	Alert   bool   // gives alerts of that kind
	Fixed   bool   // cannot be switched off: the promises rest on it
}

var rules = [ruleCount]RuleInfo{
	ruleProvenScore:     {Name: RuleProvenScore, Meaning: "bans, scope all: the score of a source's proven evidence is above the threshold"},
	ruleScore:           {Name: RuleScore, Meaning: "bans, scope sip: the score of all evidence is above the threshold and the source is not proved"},
	ruleLongMemory:      {Name: RuleLongMemory, Meaning: "bans: the score that halves in a week only is above twice the threshold"},
	ruleSecondOffender:  {Name: RuleSecondOffender, Meaning: "bans a prefix: several of its addresses earned a ban"},
	ruleSpreadScore:     {Name: RuleSpreadScore, Meaning: "bans a prefix: attempts of several of its addresses add up"},
	ruleInjection:       {Name: RuleInjection, Meaning: "bans at once who sends text that is made to look like an event"},
	ruleCanary:          {Name: RuleCanary, Meaning: "bans at once who touches one of canary_accounts"},
	ruleUnanswered:      {Name: RuleUnanswered, Meaning: "accounts beyond five that were challenged at a source that never succeeds weigh a quarter each"},
	ruleAdopted:         {Name: RuleAdopted, Meaning: "takes over a ban that was found in the kernel", Fixed: true},
	ruleProtected:       {Name: RuleProtected, Meaning: "lifts a ban: its prefix holds an address that must never be banned", Fixed: true},
	ruleProved:          {Name: RuleProved, Meaning: "lifts the ban of a prefix: an address of it that never failed has proved itself", Fixed: true},
	ruleOperator:        {Name: RuleOperator, Meaning: "a ban or its lifting that an operator asked for", Fixed: true},
	ruleBansFull:        {Name: RuleBansFull, Meaning: "a ban was due, but max_bans run already, or half as many of scope sip", Alert: true, Fixed: true},
	ruleSpoofFlood:      {Name: RuleSpoofFlood, Meaning: "more new bans on forgeable evidence were due than forgeable_bans_per_minute", Alert: true},
	ruleCompromised:     {Name: RuleCompromised, Meaning: "a success after failures that were no typos: bans the source", Alert: true},
	ruleSpoofSuspected:  {Name: RuleSpoofSuspected, Meaning: "failures amid the successes of a source that owned the account before, or an account that logs in from ever new addresses: somebody forges addresses", Alert: true},
	ruleSuspectLogin:    {Name: RuleSuspectLogin, Meaning: "a stranger's first success on an account that many sources guess", Alert: true},
	ruleMisconfigured:   {Name: RuleMisconfigured, Meaning: "one account fails where others succeed, or where it succeeded before: told, not banned", Alert: true},
	ruleProvedGuessing:  {Name: RuleProvedGuessing, Meaning: "a proved source seems to guess over UDP, or its address is forged: told, not banned", Alert: true},
	ruleAccountAttacked: {Name: RuleAccountAttacked, Meaning: "one account is guessed from ever new sources: told, nobody is banned for it", Alert: true},
	ruleServerAttacked:  {Name: RuleServerAttacked, Meaning: "one server is attacked from ever new sources: told, nobody is banned for it", Alert: true},
	ruleRequests:        {Name: RuleRequests, Meaning: "the events of one request count once"},
	ruleEnumeration:     {Name: "enumeration", Meaning: "an attempt on another account weighs more than one on the same"},
	ruleAccountAttack:   {Name: "account_under_attack", Meaning: "a stranger's attempts on an account that many strangers try weigh more"},
	ruleServerAttack:    {Name: "server_under_attack", Meaning: "a stranger's attempts on unknown accounts weigh more while many strangers try the same server"},
	ruleTrust:           {Name: "trust", Meaning: "successes over days and on several accounts let more of a source's accounts fail unpunished"},
	ruleStrikes:         {Name: "strikes", Meaning: "each further ban of a source is longer"},
	ruleBudget:          {Name: "forgeable_budget", Meaning: "new bans on forgeable evidence are limited, and the first is short"},
	ruleAMI:             {Name: "ami_guessing", Meaning: "failures at the Manager Interface count"},
}

// String returns the rule's name.
func (r ruleID) String() string {
	if r >= ruleCount {
		return "unknown"
	}
	return rules[r].Name
}

// Rules returns every rule, in the order of policy/README.md.
func Rules() []RuleInfo { return append([]RuleInfo(nil), rules[1:]...) }

// RuleSet is a set of rules.
type RuleSet uint64

// With returns the set with the rule of that name. False means that there is no such rule, or that it cannot be switched.
func (s RuleSet) With(name string) (RuleSet, bool) {
	r := parseRule(name)
	if r == ruleNone || rules[r].Fixed {
		return s, false
	}
	return s | 1<<r, true
}

// Has says whether the rule of that name is in the set.
func (s RuleSet) Has(name string) bool { return s&(1<<parseRule(name)) != 0 }

func parseRule(name string) ruleID {
	for r := ruleNone + 1; r < ruleCount; r++ {
		if rules[r].Name == name {
			return r
		}
	}
	return ruleNone
}

// on says whether a rule is switched on.
func (e *Engine) on(r ruleID) bool { return e.opt.Off&(1<<r) == 0 }
