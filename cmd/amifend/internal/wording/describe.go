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
