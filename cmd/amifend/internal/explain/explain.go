// Package explain writes the state of an address, as text and as JSON: the evidence against it,
// its proofs, and what would ban it or lift its ban. The replay and the daemon's clients share it.
package explain

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
	"github.com/amifend/amifend/policy"
)

// Options control the text.
type Options struct {
	Servers  []string       // names of the servers, by index; those without are not named
	Location *time.Location // of times
	Dry      bool           // the daemon only observes: write "would be banned"
}

// Text writes an explanation as text to w. Its form may change: programs use [JSON].
func Text(w io.Writer, x policy.Explanation, o Options) error {
	t := &teller{o: o}

	// First the verdict, then its reasons, then what would change it.
	t.verdict(&x)
	if x.Known {
		t.source(&x)
	}

	t.accounts(x.Accounts, x.Shared > 0)
	t.prefixes(&x)
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
		// An observing daemon bans nobody, and the text must not claim a ban.
		is := "is"
		if t.o.Dry {
			is = "would be"
		}

		t.line("%s %s banned as %s, scope %s, from %s until %s", x.Addr, is, x.Ban.Prefix,
			x.Ban.Scope, t.stamp(x.Ban.From), t.stamp(x.Ban.Until))

		// A ban without a strike is on evidence that could be forged, or the engine did not decide
		// it.
		switch {
		case x.Ban.Strike == 0 && x.Ban.Attempts > 0:
			t.line("  rule:      %s (score %.2f, %s; no strike, and never longer than ten minutes)",
				x.Ban.Rule, x.Ban.Score, wording.Count(x.Ban.Attempts, "attempt"))
		case x.Ban.Strike > 0:
			t.line("  rule:      %s (score %.2f, %s, ban number %d)", x.Ban.Rule, x.Ban.Score,
				wording.Count(x.Ban.Attempts, "attempt"), x.Ban.Strike)
		default: // an operator's, or one that was found in the kernel
			t.line("  rule:      %s", x.Ban.Rule)
		}

		// Events behind a ban show that the attacker is still there.
		if x.Ban.Seen > 0 {
			t.line("  since:     %s, the last at %s", wording.Count(x.Ban.Seen, "event"),
				t.stamp(x.Ban.LastSeen))
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
		t.line("  %-10s %.2f of %g (%.2f proven, %.2f that could be forged)", s.Rule.String()+":",
			s.Proven+s.Forgeable, s.Limit, s.Proven, s.Forgeable)
	}

	// The count of attempts precedes the evidence, which holds only the latest of them.
	if x.Attempts > 0 {
		t.line("  attempts:  %d since %s", x.Attempts, t.stamp(x.Since))
	}
	for _, e := range x.Evidence {
		t.line("    %s  %s  weight %.3g%s", t.stamp(e.At),
			wording.Describe([]policy.Evidence{e}, t.o.Servers), e.Weight, certain(e.Chooser))
	}

	// A proof keeps forged packets from banning a phone, so the text shows its limits.
	switch {
	case x.Proved && x.Washed:
		t.line("  proof:     %s, good until %s; it failed from the same port before: one of the "+
			"two may be forged", t.stamp(x.ProofAt), t.stamp(x.ProofEnds))
	case x.Proved:
		t.line("  proof:     %s, good until %s: packets that could be forged are not "+
			"held against it", t.stamp(x.ProofAt), t.stamp(x.ProofEnds))
	case x.ProofAt != 0:
		t.line("  proof:     %s, too long ago", t.stamp(x.ProofAt))
	}

	if x.Shared > 0 {
		t.line("  shared:    %s logged in from here lately: %s", wording.Count(x.Shared, "account"),
			wording.Names(x.Users, x.Shared))
	}

	// Trust makes the next ban less likely, and strikes make it longer.
	if x.Owns > 0 {
		t.line("  trust:     %.1f, %s", x.Trust, wording.Count(x.Owns, "account")+" of its own")
	}
	if x.Strikes > 0 {
		t.line("  strikes:   %d, one less at %s", x.Strikes, t.stamp(x.StrikeEnds))
	}
}

// certain returns a remark for an attempt whose address nobody could have chosen. For the others,
// Describe names who could.
func certain(c policy.Chooser) string {
	if c.Proven() {
		return ", the address is certain"
	}
	return ""
}

// accounts writes what is known of the accounts at the address. shared reports whether many users
// share it.
func (t *teller) accounts(accounts []policy.AccountPart, shared bool) {
	for _, a := range accounts {
		// The name may be an attacker's text, so it is quoted.
		name := ami.Quote(a.Account.Bytes())
		if int(a.Server) < len(t.o.Servers) {
			name += " of " + t.o.Servers[a.Server]
		}

		// Most accounts have only failed, so zeros are left out.
		var said []string
		if a.OKAt != 0 {
			said = append(said, "last success "+t.stamp(a.OKAt))
		}

		if a.Fails > 0 {
			said = append(said, fmt.Sprintf("%s since %s", wording.Count(a.Fails, "failure"),
				t.stamp(a.FailedAt)))
		}

		switch {
		case a.Shielded > 0 && shared:
			said = append(said, wording.Count(a.Shielded, "failure")+" (not held against it)")
		case a.Shielded > 0:
			said = append(said, wording.Count(a.Shielded, "failure")+
				" (may be forged: not held against it)")
		}

		if a.Excused > 0 {
			said = append(said, wording.Count(a.Excused, "failure")+" of a misconfigured phone")
		}
		if len(said) > 0 {
			t.line("  account:   %s: %s", name, strings.Join(said, ", "))
		}
	}
}

func (t *teller) prefixes(x *policy.Explanation) {
	for _, p := range x.Prefixes {
		if p.Proven+p.Forgeable == 0 && p.Offenders == 0 {
			continue
		}

		// A Teredo or NAT64 address holds the IPv4 address of its host.
		if p.Prefix.Addr().Is4() && x.Addr.Is6() {
			t.line("  %-10s score %.2f of %g from about %.0f IPv6 addresses that hold this IPv4 "+
				"address", p.Prefix.Addr().String()+":", p.Proven+p.Forgeable, p.Limit, p.Suspects)
			continue
		}

		// The number of parts is an estimate, so it is rounded.
		before := "banned before"
		if t.o.Dry {
			before = "would have been banned before"
		}
		s := fmt.Sprintf("  %-10s score %.2f of %g from about %.0f of its parts, %d of them %s",
			p.Prefix.String()+":", p.Proven+p.Forgeable, p.Limit, p.Suspects, p.Offenders, before)
		if p.Proved {
			s += "; it holds a proved address, so only single addresses are banned"
		}

		t.line("%s", s)
	}
}

// next writes what would ban the address or lift its ban.
func (t *teller) next(x *policy.Explanation) {
	// Readers ask how a ban ends, or how far the address is from one.
	switch {
	case x.Banned && t.o.Dry:
		t.line("  next:      the ban would end by itself; put the address in [allow] prefixes so " +
			"that it is never banned")
	case x.Banned:
		t.line("  next:      the ban ends by itself; put the address in [allow] prefixes to " +
			"lift it for good")
	case x.Protected != "":
	case x.Shared > 0:
		t.line("  next:      nothing bans it unless [policy] ban_shared_sources is true: many users " +
			"share it")
	case x.Proved:
		t.line("  next:      attempts over TCP, TLS or WebSocket would ban it from that transport; " +
			"packets over UDP, and all of chan_sip, would not")
	case x.Known && x.MoreUnknown > 0 && x.MoreKnown > 0:
		t.line("  next:      %s on an unknown account would ban it, or %s",
			wording.Count(x.MoreUnknown, "more attempt"),
			wording.Count(x.MoreKnown, "wrong password"))
	case x.Known && x.MoreUnknown > 0:
		// Wrong passwords weigh nothing, by [policy.weights].
		t.line("  next:      %s on an unknown account would ban it",
			wording.Count(x.MoreUnknown, "more attempt"))
	case x.Known && x.MoreKnown > 0:
		t.line("  next:      %s would ban it", wording.Count(x.MoreKnown, "wrong password"))
	}

	if x.CalmAt != 0 && x.Attempts > 0 {
		t.line("  forgotten: at %s, if nothing comes until then", t.stamp(x.CalmAt))
	}
}
