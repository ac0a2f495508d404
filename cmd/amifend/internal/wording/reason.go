package wording

import (
	"fmt"
	"strings"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/policy"
)

// Reason returns the reason of a verdict in words. limit is the policy's threshold. servers holds
// the names of the servers. A server without one is left out.
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

	// The engine did not decide these two, so they have no evidence.
	why := Why(v.Rule, v.Score, limit)
	if v.Rule == policy.RuleAdopted || v.Rule == policy.RuleOperator {
		return why
	}

	// The evidence comes last, since its length varies.
	return fmt.Sprintf("%s, %s: %s", why, Attempts(v), evidence)
}

// Why returns the reason of a ban without its evidence. score is that of the ban, limit the
// policy's threshold.
func Why(rule policy.Rule, score, limit float64) string {
	switch rule {
	// Most rules compare a score, so the score is the reason.
	default:
		return fmt.Sprintf("score %.2f is above %g", score, limit)
	case policy.RuleLongMemory:
		return fmt.Sprintf("score %.2f over weeks is above %g", score, 2*limit)

	// These have a score of their own, and what it is for is the reason.
	case policy.RuleSpreadScore:
		return fmt.Sprintf("several of its addresses failed, score %.2f together", score)
	case policy.RuleUnanswered:
		return fmt.Sprintf("challenged for one account after another without ever "+
			"answering, score %.2f", score)
	case policy.RuleSharedGuessing:
		return fmt.Sprintf("guesses through a shared source, score %.2f", score)

	// The text of any other rule describes what happened.
	case policy.RuleSecondOffender:
		return "other addresses of it were banned before"
	case policy.RuleInjection:
		return "its text is made to look like an event"
	case policy.RuleUnseen:
		return "its Call-ID hides its requests from Asterisk's log"
	case policy.RuleCanary:
		return "nobody legitimate uses this account"
	case policy.RuleCompromised:
		return "a success after failures that were not typos"
	case policy.RuleProvedGuessing:
		return "a proved source that seems to guess"

	// The engine did not decide these.
	case policy.RuleAdopted:
		return "found in the kernel"
	case policy.RuleOperator:
		return "an operator asked for it"
	}
}

// lifted returns the reason of a lift in words.
func lifted(rule policy.Rule) string {
	switch rule {
	case policy.RuleProtected:
		return "it holds an address that is never banned"
	case policy.RuleProved:
		return "one of its addresses, which never failed, has proved itself"
	case policy.RuleOperator:
		return "an operator asked for it"
	default:
		return rule.String()
	}
}

// Attempts returns the number of attempts that led to a ban. From the second ban of a source on, it
// adds the number of the ban.
func Attempts(v policy.Verdict) string {
	s := Count(v.Attempts, "attempt")
	if v.Strike > 1 {
		s += fmt.Sprintf(", ban number %d", v.Strike)
	}
	return s
}

// alert returns the reason of an alert in words.
func alert(v policy.Verdict, servers []string) string {
	// The account may be an attacker's text, so it is quoted.
	account := "account " + ami.Quote(v.Account.Bytes())
	if int(v.Server) < len(servers) {
		account += " of " + servers[v.Server]
	}

	// A hundred conditions of a kind are reported one by one. One alert counts the others, so that
	// they do not flood the reader. The two kinds of attack have their own words for it.
	if v.About == policy.AboutMore && v.Rule != policy.RuleAccountAttacked &&
		v.Rule != policy.RuleServerAttacked {
		return fmt.Sprintf("and %s more that are not reported one by one", thousands(v.More))
	}

	// Each text describes what happened. If the cause is uncertain, it names the possible causes.
	switch v.Rule {
	case policy.RuleBansFull:
		return "a ban was due, but there is no room for more"
	case policy.RuleSpoofFlood:
		return "more bans on evidence that could be forged were due than " +
			"forgeable_bans_per_minute: most sources of such packets may be forged"
	case policy.RuleCompromised:
		return compromised(v, account)
	case policy.RuleAccountAttacked, policy.RuleServerAttacked:
		return attacked(v, account, servers)
	case policy.RuleSpoofSuspected:
		// There are two signs: ever new addresses, or failures between successes.
		if v.Sources > 0 {
			if v.Account == (policy.Label{}) {
				// An alert about calls of chan_sip names no account.
				account = "an account of chan_sip that places calls"
			}
			return fmt.Sprintf("%s logged in from %d new addresses within a day, and now from one "+
				"more: somebody who knows its password forges addresses, or its user's address "+
				"changes all the time", account, v.Sources)
		}

		return fmt.Sprintf("%d failures of %s between two successes: somebody forges "+
			"packets in its name", v.Attempts, account)
	case policy.RuleSuspectLogin:
		return fmt.Sprintf("a stranger logged in to %s, which many sources guess: it may not be "+
			"the account's user", account)
	case policy.RuleMisconfigured:
		return account + " fails " + perMinute(v.Rate, "time") +
			" where others work: look at the phone's password"
	case policy.RuleSharedGuessing:
		return sharedGuessing(v, account)
	case policy.RuleProvedGuessing:
		if v.Scope != policy.ScopeNone {
			return provedBanned(v, account)
		}

		// The source is not banned. Its phone may be misconfigured, or its address forged.
		s := perMinute(v.Rate, "failure") + " on " + account
		if v.About == policy.AboutEndpoint {
			s += " from a source where it also logs in: a second phone has an old password, or " +
				"somebody guesses it"
			if !v.Chooser.Proven() {
				s += ", or forges the address"
			}
			return s
		}

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
	default: // no other rule alerts
		return v.Rule.String()
	}
}

// provedBanned describes the ban of a source where accounts log in.
func provedBanned(v policy.Verdict, account string) string {
	over := "TCP"
	if v.Chooser == policy.ChooserRoundTrip {
		over = "UDP"
	}
	s := fmt.Sprintf("%s over %s, the last on %s, from an address where accounts log in",
		Count(v.Attempts, "failure"), over, account)
	if len(v.Users) > 0 {
		s += " (" + Names(v.Users, v.Owns) + ")"
	}
	if over == "UDP" {
		return s + ": they answer nonces that went to that address alone, so nobody forged them; it is " +
			"banned from the SIP ports for ten minutes"
	}
	return s + ": it is banned from TCP to the SIP, WebSocket and AMI ports, since others may " +
		"send from there; UDP passes"
}

// sharedGuessing describes attempts through a source that many users share.
func sharedGuessing(v policy.Verdict, account string) string {
	users := fmt.Sprintf("an address that %s share", Count(v.Owns, "account"))
	if len(v.Users) > 0 {
		users += " (" + Names(v.Users, v.Owns) + ")"
	}

	// One alert may report guesses of strangers, users that fail, or both.
	var said []string
	if v.Attempts > 0 {
		said = append(said, fmt.Sprintf("%s, the last on %s, come through %s",
			perMinute(v.Rate, "failure"), account, users))
		users = "it"
	}
	if len(v.Failing) > 0 {
		said = append(said, fmt.Sprintf("accounts that log in through %s fail: %s", users,
			Names(v.Failing, len(v.Failing))))
	}
	return strings.Join(said, "; ") + ": nobody is banned, since all of them would be cut off"
}

// NameAll returns the name of each account in the form of [Name].
func NameAll(labels []policy.Label) []string {
	out := make([]string, len(labels)) // JSON wants an array, not null
	for i, l := range labels {
		out[i] = Name(l)
	}
	return out
}

// Names returns the quoted names of accounts. all is the number of all accounts: those without a
// label are counted at the end.
func Names(labels []policy.Label, all int) string {
	quoted := make([]string, len(labels))
	for i := range labels {
		quoted[i] = ami.Quote(labels[i].Bytes())
	}

	s := strings.Join(quoted, ", ")
	if more := all - len(labels); more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

// compromised describes a guessed account, and how certain the attacker's address is.
func compromised(v policy.Verdict, account string) string {
	s := fmt.Sprintf("%s was guessed after %s: somebody knows its password", account, Attempts(v))
	if len(v.Evidence) == 1 && v.Evidence[0].Kind == policy.KindUnseenRequest {
		s = account + " was used by a request that hides from Asterisk's log: somebody who attacks knows " +
			"its password"
	}

	// Only a proven address is certainly that of the attacker.
	if v.Chooser.Proven() {
		return s + ", at this address"
	}
	return s + "; from where is not certain, since " + v.Chooser.String() +
		" could have chosen this address"
}

// attacked describes an attack on an account or a server by many sources.
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

	// This alert counts the attacks that are not reported one by one.
	if v.More > 0 {
		return fmt.Sprintf("%s more are attacked like those that were reported, from fewer "+
			"sources each", Count(v.More, thing))
	}

	s := fmt.Sprintf("%s from %s within hours, %s", what, Count(v.Sources, "source"),
		perMinute(v.Rate, "failure"))

	// A ban of a forged address does not stop the attacker, so the reader must know.
	if !v.Chooser.Proven() {
		s += "; " + v.Chooser.String() +
			" could have chosen their addresses, so bans may not reach the attacker"
	}

	return s
}

// Advice returns what to do about an alert, or "" if there is nothing.
func Advice(v policy.Verdict) string {
	// Each alert has one advice: the step that helps at once.
	switch v.Rule {
	// A limit of amifend is reached.
	case policy.RuleBansFull:
		return "raise [firewall] max_bans and restart amifend"
	case policy.RuleSpoofFlood:
		return "nothing at once: phones that logged in are safe; put trunks that never log in " +
			"into [allow] prefixes"

	// An attacker knows a password, or may soon.
	case policy.RuleCompromised:
		return "change the account's password, and look for calls that it placed"
	case policy.RuleSpoofSuspected:
		// New addresses mean that the password is known. Failures alone do not.
		if v.Sources > 0 {
			return "change the account's password, unless its user travels; SIP over TLS " +
				"cannot be forged"
		}
		return "nothing at once: nobody is banned for it; SIP over TLS cannot be forged"
	case policy.RuleAccountAttacked, policy.RuleServerAttacked:
		return "use passwords of 20 random characters, SIP over TLS only, and an ACL of the " +
			"networks that phones come from; " +
			"chan_sip believes the sender's address: move to PJSIP"
	case policy.RuleSuspectLogin:
		return "ask the account's user; if it was somebody else, change its password"

	// The phone of a legitimate user fails.
	case policy.RuleMisconfigured:
		return "correct the password or the account in the phone; nobody is banned for it"

	// The source has legitimate users, so only the operator can tell them from the attacker.
	case policy.RuleSharedGuessing:
		return "let the PBX see real sources (PROXY protocol, X-Forwarded-For, no masquerading), or " +
			"add the address to [allow] prefixes and limit guesses there"
	case policy.RuleProvedGuessing:
		if v.Scope != policy.ScopeNone {
			return "look at what sends from there: a browser's web page, an open proxy; " +
				"amifend allow frees it"
		}
		if v.About == policy.AboutEndpoint {
			return "look at what is behind the address: correct the second phone, or change the " +
				"password and stop the guesser there; nobody is banned for it"
		}
		return "look at what is behind the address; [policy] ban_proved_guessers = true bans " +
			"such sources"
	default:
		return ""
	}
}

// thousands returns a number with commas between its thousands.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// perMinute returns a rate in words: "1 failure a minute", "4.5 failures a minute".
func perMinute(rate float64, thing string) string {
	number := fmt.Sprintf("%.3g", rate)
	if number != "1" {
		thing += "s"
	}
	return number + " " + thing + " a minute"
}
