package observe

import (
	"fmt"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/policy"
)

// Reason says in words why a verdict was made. limit is the policy's threshold; a server without a name in servers is not
// named.
func Reason(v policy.Verdict, limit float64, servers []string) string {
	evidence := Describe(v.Evidence, servers)
	switch v.Action {
	case policy.ActionUnban:
		return lifted(v.Rule)
	case policy.ActionAlert:
		return alert(v, servers)
	case policy.ActionNone:
		return ""
	case policy.ActionBan:
	}
	why := fmt.Sprintf("score %.2f is above %g", v.Score, limit)
	switch v.Rule {
	case policy.RuleLongMemory:
		why = fmt.Sprintf("score %.2f over weeks is above %g", v.Score, 2*limit)
	case policy.RuleSecondOffender:
		why = "others of it were banned before"
	case policy.RuleSpreadScore:
		why = fmt.Sprintf("several of its addresses failed, score %.2f together", v.Score)
	case policy.RuleInjection:
		why = "its text is made to look like an event"
	case policy.RuleCanary:
		why = "nobody legitimate uses this account"
	case policy.RuleUnanswered:
		why = fmt.Sprintf("challenged for one account after another without ever answering, score %.2f", v.Score)
	case policy.RuleCompromised:
		why = "a success after failures that were no typos"
	case policy.RuleProvedGuessing:
		why = "a proved source that seems to guess"
	case policy.RuleAdopted:
		return "found in the kernel"
	case policy.RuleOperator:
		return "an operator asked for it"
	}
	return fmt.Sprintf("%s, %s: %s", why, Attempts(v), evidence)
}

func lifted(rule policy.Rule) string {
	switch rule {
	case policy.RuleProtected:
		return "it holds an address that is never banned"
	case policy.RuleProved:
		return "an address of it that never failed has proved itself"
	case policy.RuleOperator:
		return "an operator asked for it"
	default:
		return rule.String()
	}
}

// Attempts says how many attempts a ban answers, and which ban of its source it is.
func Attempts(v policy.Verdict) string {
	s := Count(v.Attempts, "attempt")
	if v.Strike > 1 {
		s += fmt.Sprintf(", ban number %d", v.Strike)
	}
	return s
}

// alert says in words what an alert is about.
func alert(v policy.Verdict, servers []string) string {
	account := "account " + ami.Quote(v.Account.Bytes())
	if int(v.Server) < len(servers) {
		account += " of " + servers[v.Server]
	}
	switch v.Rule {
	case policy.RuleBansFull:
		return "a ban was due, but there is no room for more"
	case policy.RuleSpoofFlood:
		return "more bans on evidence that could be forged were due than forgeable_bans_per_minute: most sources of such packets may be forged"
	case policy.RuleCompromised:
		return compromised(v, account)
	case policy.RuleAccountAttacked, policy.RuleServerAttacked:
		return attacked(v, account, servers)
	case policy.RuleSpoofSuspected:
		if v.Sources > 0 {
			if v.Account == (policy.Label{}) {
				account = "an account of chan_sip that places calls"
			}
			return fmt.Sprintf("%s logged in from %d new addresses within a day, and now from one more: "+
				"somebody who knows its password forges addresses, or its user's address changes all the time", account, v.Sources)
		}
		return fmt.Sprintf("%d failures of %s between two successes: somebody forges packets in its name", v.Attempts, account)
	case policy.RuleSuspectLogin:
		return fmt.Sprintf("a stranger logged in to %s, which many sources guess: is it its user?", account)
	case policy.RuleMisconfigured:
		return account + " fails " + perMinute(v.Rate, "time") + " where others work: look at the phone's password"
	case policy.RuleProvedGuessing:
		s := perMinute(v.Rate, "failure") + " on " + account
		if v.Guessed > 1 {
			s += fmt.Sprintf(" and others on %d more", v.Guessed-1)
		}
		s += " from a source that logged in before"
		if v.Owns > 0 {
			s += " as " + ami.Quote(v.Owned.Bytes())
		}
		if v.Owns > 1 {
			s += fmt.Sprintf(" and %d more", v.Owns-1)
		}
		return s + ": its user guesses, or somebody forges its address"
	}
	return v.Rule.String()
}

// compromised says what is certain of a guessed account, and what is not.
func compromised(v policy.Verdict, account string) string {
	s := fmt.Sprintf("%s was guessed after %s: somebody knows its password", account, Attempts(v))
	if v.Chooser.Proven() {
		return s + ", at this address"
	}
	return s + "; from where is not certain, since " + v.Chooser.String() + " could have chosen this address"
}

// attacked says how many sources attack an account or a server.
func attacked(v policy.Verdict, account string, servers []string) string {
	what := account + " is guessed"
	thing := "account"
	if v.Rule == policy.RuleServerAttacked {
		thing = "server"
		what = "a server is attacked"
		if int(v.Server) < len(servers) {
			what = "server " + servers[v.Server] + " is attacked"
		}
	}
	if v.More > 0 {
		return fmt.Sprintf("%s more are attacked like those that were told, from fewer sources each", Count(v.More, thing))
	}

	s := fmt.Sprintf("%s from %s within hours, %s", what, Count(v.Sources, "source"), perMinute(v.Rate, "failure"))
	if !v.Chooser.Proven() {
		s += "; " + v.Chooser.String() + " could have chosen their addresses, so bans may not reach the attacker"
	}
	return s
}

// Advice says what to do about an alert.
func Advice(v policy.Verdict) string {
	switch v.Rule {
	case policy.RuleBansFull:
		return "raise [firewall] max_bans and restart amifend"
	case policy.RuleSpoofFlood:
		return "nothing at once: phones that logged in are safe; put trunks that never log in into [allow] prefixes"
	case policy.RuleCompromised:
		return "change the account's password, and look for calls that it placed"
	case policy.RuleSpoofSuspected:
		if v.Sources > 0 {
			return "change the account's password, unless its user travels; SIP over TLS cannot be forged"
		}
		return "nothing at once: nobody is banned for it; SIP over TLS cannot be forged"
	case policy.RuleAccountAttacked, policy.RuleServerAttacked:
		return "use passwords of 20 random characters, SIP over TLS only, and an ACL of the networks that phones come from; " +
			"chan_sip believes the sender's address: move to PJSIP"
	case policy.RuleSuspectLogin:
		return "ask the account's user; if it was somebody else, change its password"
	case policy.RuleMisconfigured:
		return "correct the password or the account in the phone; nobody is banned for it"
	case policy.RuleProvedGuessing:
		return "look at what is behind the address; [policy] ban_proved_guessers = true bans such sources"
	}
	return ""
}

// perMinute is "1 failure a minute", "4.5 failures a minute".
func perMinute(rate float64, thing string) string {
	number := fmt.Sprintf("%.3g", rate)
	if number != "1" {
		thing += "s"
	}
	return number + " " + thing + " a minute"
}
