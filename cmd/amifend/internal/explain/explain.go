// Package explain tells people how things stand with an address: what is held against it, what speaks for it, and what
// would ban or free it. The replay and the daemon's clients share it.
package explain

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/observe"
	"github.com/amifend/amifend/policy"
)

// Options say how to tell it.
type Options struct {
	Servers  []string       // names of the servers, by index; those without are not named
	Location *time.Location // of times
	Dry      bool           // nobody is banned: say "would be"
}

// Text writes an explanation for people. Its lines are an API only as far as a person reads them.
func Text(w io.Writer, x policy.Explanation, o Options) error {
	t := &teller{o: o}
	t.verdict(&x)
	if x.Known {
		t.source(&x)
	}
	t.accounts(x.Accounts)
	t.prefixes(x.Prefixes)
	t.next(&x)
	_, err := io.WriteString(w, t.b.String())
	return err
}

type teller struct {
	o Options
	b strings.Builder
}

func (t *teller) line(format string, args ...any) { fmt.Fprintf(&t.b, format+"\n", args...) }

func (t *teller) stamp(at int64) string {
	return time.Unix(0, at).In(t.o.Location).Format("2006-01-02 15:04:05 MST")
}

func (t *teller) verdict(x *policy.Explanation) {
	switch {
	case x.Banned:
		is := "is"
		if t.o.Dry {
			is = "would be"
		}
		t.line("%s %s banned as %s, scope %s, from %s until %s", x.Addr, is, x.Ban.Prefix, x.Ban.Scope, t.stamp(x.Ban.From), t.stamp(x.Ban.Until))
		switch {
		case x.Ban.Strike == 0 && x.Ban.Attempts > 0:
			t.line("  rule:      %s (score %.2f, %s; no strike, and never longer than ten minutes)", x.Ban.Rule, x.Ban.Score, observe.Count(x.Ban.Attempts, "attempt"))
		case x.Ban.Strike > 0:
			t.line("  rule:      %s (score %.2f, %s, ban number %d)", x.Ban.Rule, x.Ban.Score, observe.Count(x.Ban.Attempts, "attempt"), x.Ban.Strike)
		default: // an operator's, or one that was found in the kernel
			t.line("  rule:      %s", x.Ban.Rule)
		}
		if x.Ban.Seen > 0 {
			t.line("  since:     %s, the last at %s", observe.Count(x.Ban.Seen, "event"), t.stamp(x.Ban.LastSeen))
		}
	case x.Protected != "":
		t.line("%s is never banned: %s", x.Addr, x.Protected)
	case !x.Known:
		t.line("%s is not banned, and nothing is held against it", x.Addr)
	default:
		t.line("%s is not banned", x.Addr)
	}
}

func (t *teller) source(x *policy.Explanation) {
	for _, s := range x.Scores {
		t.line("  %-10s %.2f of %g (%.2f proven, %.2f that could be forged)", s.Rule.String()+":", s.Proven+s.Forgeable, s.Limit, s.Proven, s.Forgeable)
	}
	if x.Attempts > 0 {
		t.line("  attempts:  %d since %s", x.Attempts, t.stamp(x.Since))
	}
	for _, e := range x.Evidence {
		t.line("    %s  %s  weight %.3g%s", t.stamp(e.At), observe.Describe([]policy.Evidence{e}, t.o.Servers), e.Weight, certain(e.Chooser))
	}
	switch {
	case x.Proved && x.Washed:
		t.line("  proof:     %s, good until %s; it failed from the same port before: one of the two may be forged", t.stamp(x.ProofAt), t.stamp(x.ProofEnds))
	case x.Proved:
		t.line("  proof:     %s, good until %s: packets that could be forged are not held against it", t.stamp(x.ProofAt), t.stamp(x.ProofEnds))
	case x.ProofAt != 0:
		t.line("  proof:     %s, too long ago", t.stamp(x.ProofAt))
	}
	if x.Owns > 0 {
		t.line("  trust:     %.1f, %s", x.Trust, observe.Count(x.Owns, "account")+" of its own")
	}
	if x.Strikes > 0 {
		t.line("  strikes:   %d, one less at %s", x.Strikes, t.stamp(x.StrikeEnds))
	}
}

// certain says so of an attempt whose address nobody could have chosen. Of the others, Describe says who
// could.
func certain(c policy.Chooser) string {
	if c.Proven() {
		return ", the address is certain"
	}
	return ""
}

func (t *teller) accounts(accounts []policy.AccountPart) {
	for _, a := range accounts {
		name := ami.Quote(a.Account.Bytes())
		if int(a.Server) < len(t.o.Servers) {
			name += " of " + t.o.Servers[a.Server]
		}
		var said []string
		if a.OKAt != 0 {
			said = append(said, "last success "+t.stamp(a.OKAt))
		}
		if a.Fails > 0 {
			said = append(said, fmt.Sprintf("%s since %s", observe.Count(a.Fails, "failure"), t.stamp(a.FailedAt)))
		}
		if a.Shielded > 0 {
			said = append(said, observe.Count(a.Shielded, "failure")+" (may be forged: not held against it)")
		}
		if a.Excused > 0 {
			said = append(said, observe.Count(a.Excused, "failure")+" of a misconfigured phone")
		}
		if len(said) > 0 {
			t.line("  account:   %s: %s", name, strings.Join(said, ", "))
		}
	}
}

func (t *teller) prefixes(prefixes []policy.PrefixPart) {
	for _, p := range prefixes {
		if p.Proven+p.Forgeable == 0 && p.Offenders == 0 {
			continue
		}
		s := fmt.Sprintf("  %-10s score %.2f of %g from about %.0f of its parts, %d of them banned before", p.Prefix.String()+":", p.Proven+p.Forgeable, p.Limit,
			p.Suspects, p.Offenders)
		if p.Proved {
			s += "; it holds a proved address, so only single addresses are banned"
		}
		t.line("%s", s)
	}
}

// next says what would ban or free it.
func (t *teller) next(x *policy.Explanation) {
	switch {
	case x.Banned:
		t.line("  next:      the ban ends by itself; put the address in [allow] prefixes to lift it for good")
	case x.Protected != "":
	case x.Proved:
		t.line("  next:      attempts over TCP, TLS or WebSocket would ban it; packets over UDP, and all of chan_sip, would not")
	case x.Known && x.MoreUnknown > 0 && x.MoreKnown > 0:
		t.line("  next:      %s on an unknown account would ban it, or %s", observe.Count(x.MoreUnknown, "more attempt"), observe.Count(x.MoreKnown, "wrong password"))
	case x.Known && x.MoreUnknown > 0: // the others weigh nothing, by [policy.weights]
		t.line("  next:      %s on an unknown account would ban it", observe.Count(x.MoreUnknown, "more attempt"))
	case x.Known && x.MoreKnown > 0:
		t.line("  next:      %s would ban it", observe.Count(x.MoreKnown, "wrong password"))
	}
	if x.CalmAt != 0 && x.Attempts > 0 {
		t.line("  forgotten: at %s, if nothing comes until then", t.stamp(x.CalmAt))
	}
}
