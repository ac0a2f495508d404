package explain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/wording"
	"github.com/amifend/amifend/policy"
)

// folded is one attempt, or several that follow each other and are alike.
type folded struct {
	policy.Evidence // the first one
	accounts        []policy.Label
	last            int64
	n               int
}

// fold joins attempts that follow each other and are alike.
func fold(evidence []policy.Evidence) (out []folded) {
	for _, e := range evidence {
		if i := len(out) - 1; i >= 0 && alike(out[i].Evidence, e) {
			out[i].n++
			out[i].last = e.At
			if !slices.Contains(out[i].accounts, e.Account) {
				out[i].accounts = append(out[i].accounts, e.Account)
			}
			continue
		}
		out = append(out, folded{e, []policy.Label{e.Account}, e.At, 1})
	}
	return out
}

// alike reports whether two attempts differ only in their times, ports and accounts. Each connection
// has a port of its own, and a scanner tries one account after the other.
func alike(x, y policy.Evidence) bool {
	x.At, x.Port, x.Account = y.At, y.Port, y.Account
	return x == y
}

// evidence writes attempts that are alike: what happened, and below it what follows from it.
func (t *teller) evidence(e folded) {
	// The first line has the terms of a person, the second one Asterisk's.
	t.line("    %s  %s", t.stamp(e.At), e.text())
	var about []string
	if int(e.Server) < len(t.o.Servers) {
		about = append(about, t.o.Servers[e.Server])
	}

	weight := fmt.Sprintf("weight %.3g", e.Weight)
	if e.n > 1 {
		weight += " each"
	}
	about = append(about, e.Kind.String(), weight)

	// Evidence that could be forged always names who could have forged it.
	if e.Chooser == policy.ChooserRoundTrip {
		about = append(about, "the address is certain, by the nonce")
	} else if e.Proven() {
		about = append(about, "the address is certain")
	} else {
		about = append(about, "forgeable by "+e.Chooser.String())
	}
	t.line("      %s", strings.Join(about, ", "))
}

// mostNamed is how many accounts of attempts that are alike are named.
const mostNamed = 8

// text returns attempts that are alike in words, such as `7× wrong password for "1001" within 2 s`.
func (e folded) text() string {
	shown := e.accounts[:min(len(e.accounts), mostNamed)]
	text := wording.Failures(e.Kind, shown, len(e.accounts))
	if e.n > 1 {
		text = fmt.Sprintf("%d× %s within %s", e.n, text, within(e.last-e.At))
	}
	return text
}

// within returns a time in nanoseconds in words, rounded up to whole seconds.
func within(ns int64) string {
	d := time.Duration(ns)
	switch {
	case d <= time.Minute:
		return fmt.Sprintf("%d s", max(1, int64((d+time.Second-1)/time.Second)))
	case d <= time.Hour:
		return fmt.Sprintf("%d min", int64((d+time.Minute-1)/time.Minute))
	case d <= 48*time.Hour:
		return fmt.Sprintf("%d h", int64((d+time.Hour-1)/time.Hour))
	default:
		return fmt.Sprintf("%d days", int64((d+24*time.Hour-1)/(24*time.Hour)))
	}
}

// named is how many accounts a summary names.
const named = 3

// summarize returns all evidence in one line, such as `4× unknown account ("100", "101", "102" and
// 1 more) within 2 s`. Attempts of other kinds than the most frequent one are only counted.
func summarize(evidence []policy.Evidence) string {
	// The most frequent kind is the reason. The first of equally frequent ones counts.
	counts := map[policy.Kind]int{}
	for _, e := range evidence {
		counts[e.Kind]++
	}
	most := evidence[0]
	for _, e := range evidence {
		if counts[e.Kind] > counts[most.Kind] {
			most = e
		}
	}

	// Each account is named once.
	var accounts []policy.Label
	seen := map[policy.Label]bool{}
	var last int64
	for _, e := range evidence {
		if e.Kind != most.Kind {
			continue
		}
		last = e.At
		if !seen[e.Account] {
			seen[e.Account] = true
			accounts = append(accounts, e.Account)
		}
	}

	n := counts[most.Kind]
	text := wording.Failures(most.Kind, accounts[:min(named, len(accounts))], len(accounts))
	if n > 1 {
		text = fmt.Sprintf("%d× %s within %s", n, text, within(last-most.At))
	}
	if others := len(evidence) - n; others > 0 {
		text += ", and " + wording.Count(others, "other attempt")
	}
	return text
}
