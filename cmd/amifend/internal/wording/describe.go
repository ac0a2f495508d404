// Package wording puts the engine's decisions and evidence into words for people.
package wording

import (
	"fmt"
	"slices"
	"strings"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/policy"
)

// longest is the length of a description in bytes from which on further evidence is only counted.
// Attackers choose the names, so without it they would choose the length too.
const longest = 512

// Name returns an account's name as ami.Quote prints it, without the quotes. A label is too short
// for Quote to cut it.
func Name(l policy.Label) string {
	return strings.TrimSuffix(strings.TrimPrefix(ami.Quote(l.Bytes()), `"`), `"`)
}

// Describe returns evidence in one line, such as `office: InvalidAccountID (forgeable by a spoofer)
// "100" "101"; InvalidPassword "1001"`. Forgeable evidence names who could have chosen the address.
// servers holds the names of the servers. A server without one is left out.
func Describe(evidence []policy.Evidence, servers []string) string {
	var b strings.Builder
	for i, e := range evidence {
		// Without a bound, an attacker could flood the log with names.
		if b.Len() > longest {
			fmt.Fprintf(&b, " (and %d more)", len(evidence)-i)
			break
		}

		// Evidence of the same kind, server and chooser shares a heading.
		same := i > 0 && evidence[i-1].Kind == e.Kind && evidence[i-1].Server == e.Server &&
			evidence[i-1].Chooser == e.Chooser
		if !same {
			if i > 0 {
				b.WriteString("; ")
			}
			if int(e.Server) < len(servers) {
				b.WriteString(servers[e.Server] + ": ")
			}

			// Evidence that could be forged always names who could have forged it.
			b.WriteString(e.Kind.String())
			if !e.Proven() {
				b.WriteString(" (forgeable by " + e.Chooser.String() + ")")
			}
		}

		b.WriteString(" " + ami.Quote(e.Account.Bytes()))
	}

	return b.String()
}

// Servers returns the names of the servers in evidence, each once, in the order of appearance. A
// server without a name is left out.
func Servers(evidence []policy.Evidence, servers []string) (names []string) {
	for _, e := range evidence {
		if int(e.Server) < len(servers) && !slices.Contains(names, servers[e.Server]) {
			names = append(names, servers[e.Server])
		}
	}
	return names
}

// Failure returns a failed attempt in words, such as `wrong password for "1001"`.
func Failure(k policy.Kind, account policy.Label) string {
	return Failures(k, []policy.Label{account}, 1)
}

// Failures returns failed attempts of one kind in words, with the names of some of its accounts.
// all is the number of accounts.
func Failures(k policy.Kind, accounts []policy.Label, all int) string {
	var names []string
	for _, a := range accounts {
		if len(a.Bytes()) > 0 {
			names = append(names, ami.Quote(a.Bytes()))
		}
	}

	what := failureText(k)
	if len(names) == 0 {
		return what
	}

	// An account that does not exist has no password.
	if k != policy.KindInvalidAccountID {
		what += " for"
	}
	what += " " + strings.Join(names, ", ")
	if more := all - len(accounts); more > 0 {
		what += fmt.Sprintf(" and %d more", more)
	}
	return what
}

// failureText returns a kind of failed attempts in the terms of a person. The kinds that have none
// keep Asterisk's name.
func failureText(k policy.Kind) string {
	switch k {
	case policy.KindInvalidPassword, policy.KindChallengeResponseFailed:
		return "wrong password"
	case policy.KindInvalidAccountID:
		return "unknown account"
	case policy.KindFailedACL:
		return "refused by an ACL"
	case policy.KindInjection:
		return "injected text"
	case policy.KindUnseenRequest:
		return "request hidden from Asterisk's log"
	default:
		return k.String()
	}
}

// mostAccounts bounds the accounts that a ban names.
const mostAccounts = 8

// Accounts returns the accounts of evidence, each once and quoted. It returns 8 at most.
func Accounts(evidence []policy.Evidence) (names []string) {
	for _, e := range evidence {
		name := ami.Quote(e.Account.Bytes())
		if len(e.Account.Bytes()) > 0 && !slices.Contains(names, name) {
			names = append(names, name)
		}
		if len(names) == mostAccounts {
			break
		}
	}
	return names
}
