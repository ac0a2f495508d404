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
	Origin   string         // names of the address, ready to be printed; "": none is known
}

// Text writes an explanation as text to w. Its form may change: programs use [JSON].
func Text(w io.Writer, x policy.Explanation, o Options) error {
	t := &teller{o: o}

	// First the verdict, then its reasons, then what would change it.
	t.verdict(&x)
	if o.Origin != "" {
		t.item("origin", "%s", o.Origin)
	}
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

// item writes a line with a label.
func (t *teller) item(label, format string, args ...any) {
	t.line("%s", Item(label, fmt.Sprintf(format, args...)))
}

// Item returns a line of an explanation, without a line break. The texts of all labels begin in the
// same column.
func Item(label, text string) string { return fmt.Sprintf("  %-13s %s", label+":", text) }

// verdict writes the first line, which answers the reader's question, and the ban's own lines.
func (t *teller) verdict(x *policy.Explanation) {
	switch {
	case x.Banned:
		// An observing daemon bans nobody, and the text must not claim a ban.
		is := "is"
		if t.o.Dry {
			is = "would be"
		}

		t.line("%s %s banned until %s: %s", x.Addr, is, t.stamp(x.Ban.Until), t.why(x))
		t.ban(&x.Ban)
	case x.Protected != "":
		t.line("%s is never banned: %s", x.Addr, x.Protected)
	case !x.Known:
		t.line("%s is not banned, and nothing is held against it", x.Addr)
	default:
		t.line("%s is not banned", x.Addr)
	}
}

// why returns the reason of a ban in a few words: the attempts if the rule counts those, otherwise
// what the rule is about.
func (t *teller) why(x *policy.Explanation) string {
	switch x.Ban.Rule {
	case policy.RuleProvenScore, policy.RuleScore, policy.RuleLongMemory:
		// An engine that started after the ban has no evidence of it.
		if len(x.Evidence) > 0 {
			return summarize(x.Evidence)
		}
		return wording.Count(x.Ban.Attempts, "failed attempt")
	case policy.RuleSecondOffender:
		return "other addresses of " + x.Ban.Prefix.String() + " were banned before"
	case policy.RuleSpreadScore:
		return "several addresses of " + x.Ban.Prefix.String() + " failed"
	default:
		return wording.Why(x.Ban.Rule, x.Ban.Score, 0)
	}
}

// ban writes the details of a ban.
func (t *teller) ban(b *policy.Ban) {
	label := "ban"
	if t.o.Dry {
		label = "would-be ban"
	}
	t.item(label, "%s, scope %s, from %s", b.Prefix, b.Scope, t.stamp(b.From))

	// A ban without a strike is on evidence that could be forged, or the engine did not decide it.
	switch {
	case b.Strike == 0 && b.Attempts > 0:
		t.item("rule", "%s (score %.2f, %s; no strike, and never longer than ten minutes)", b.Rule,
			b.Score, wording.Count(b.Attempts, "attempt"))
	case b.Strike > 0:
		t.item("rule", "%s (score %.2f, %s, ban number %d)", b.Rule, b.Score,
			wording.Count(b.Attempts, "attempt"), b.Strike)
	default: // an operator's, or one that was found in the kernel
		t.item("rule", "%s", b.Rule)
	}

	// Events behind a ban show that the attacker is still there.
	if b.Seen > 0 {
		since := "since the ban"
		if t.o.Dry {
			since = "since it would be banned" // nothing was dropped
		}
		t.item("still sends", "%s %s, the last at %s", wording.Count(b.Seen, "event"), since,
			t.stamp(b.LastSeen))
	}
}

func (t *teller) source(x *policy.Explanation) {
	for _, s := range x.Scores {
		t.item(s.Rule.String(), "%.2f of %g (%.2f proven, %.2f that could be forged)",
			s.Proven+s.Forgeable, s.Limit, s.Proven, s.Forgeable)
	}

	// The count of attempts precedes the evidence, which holds only the latest of them.
	if x.Attempts > 0 {
		t.item("attempts", "%d since %s", x.Attempts, t.stamp(x.Since))
	}
	for _, e := range fold(x.Evidence) {
		t.evidence(e)
	}

	// A proof keeps forged packets from banning a phone, so the text shows its limits.
	switch {
	case x.Proved && x.Washed:
		t.item("proof", "%s, good until %s; it failed from the same port before: one of the "+
			"two may be forged", t.stamp(x.ProofAt), t.stamp(x.ProofEnds))
	case x.Proved:
		t.item("proof", "%s, good until %s: packets that could be forged are not "+
			"held against it", t.stamp(x.ProofAt), t.stamp(x.ProofEnds))
	case x.ProofAt != 0:
		t.item("proof", "%s, too long ago", t.stamp(x.ProofAt))
	}

	if x.Shared > 0 {
		t.item("shared", "%s logged in from here lately: %s", wording.Count(x.Shared, "account"),
			wording.Names(x.Users, x.Shared))
	}

	// Trust makes the next ban less likely, and strikes make it longer.
	if x.Owns > 0 {
		t.item("trust", "%.1f, %s", x.Trust, wording.Count(x.Owns, "account")+" of its own")
	}
	if x.Strikes > 0 {
		t.item("strikes", "%d, one less at %s", x.Strikes, t.stamp(x.StrikeEnds))
	}
}

// accounts writes what is known of the accounts at the address. shared reports whether many users
// share it.
func (t *teller) accounts(accounts []policy.AccountPart, shared bool) {
	var names []string // of accounts that follow each other, of which the same is known
	var known, owner string
	write := func() {
		if len(names) == 0 {
			return
		}
		text := strings.Join(names, ", ") + owner
		if len(names) > 1 {
			text += ", each"
		}
		t.item("account", "%s: %s", text, known)
	}

	for _, a := range accounts {
		said := t.account(a, shared)
		if said == "" {
			continue
		}
		of := ""
		if int(a.Server) < len(t.o.Servers) {
			of = " of " + t.o.Servers[a.Server]
		}
		if said != known || of != owner {
			write()
			names, known, owner = nil, said, of
		}

		// The name may be an attacker's text, so it is quoted.
		names = append(names, ami.Quote(a.Account.Bytes()))
	}
	write()
}

// account returns what is known of an account at the address. Most accounts have only failed, so zeros
// are left out.
func (t *teller) account(a policy.AccountPart, shared bool) string {
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
	return strings.Join(said, ", ")
}

func (t *teller) prefixes(x *policy.Explanation) {
	for _, p := range x.Prefixes {
		if p.Proven+p.Forgeable == 0 && p.Offenders == 0 {
			continue
		}

		// A Teredo or NAT64 address holds the IPv4 address of its host.
		if p.Prefix.Addr().Is4() && x.Addr.Is6() {
			t.item("IPv4 address", "%s: score %.2f of %g from about %.0f IPv6 addresses that "+
				"hold it", p.Prefix.Addr(), p.Proven+p.Forgeable, p.Limit, p.Suspects)
			continue
		}

		// The number of parts is an estimate, so it is rounded.
		before := "banned before"
		if t.o.Dry {
			before = "would have been banned before"
		}
		s := fmt.Sprintf("%s: score %.2f of %g from about %.0f of its parts, %d of them %s",
			p.Prefix, p.Proven+p.Forgeable, p.Limit, p.Suspects, p.Offenders, before)
		if p.Proved {
			s += "; it holds a proved address, so only single addresses are banned"
		}

		t.item("network", "%s", s)
	}
}

// next writes what would ban the address or lift its ban.
func (t *teller) next(x *policy.Explanation) {
	// Readers ask how a ban ends, or how far the address is from one.
	switch {
	case x.Banned && t.o.Dry:
		t.item("next", "the ban would end by itself")
	case x.Banned:
		t.item("next", "the ban ends by itself")
	case x.Protected != "":
	case x.Shared > 0:
		t.item("next", "nothing bans it unless [policy] ban_shared_sources is true: many users "+
			"share it")
	case x.Proved:
		t.item("next", "attempts over TCP, TLS or WebSocket would ban it from that transport; "+
			"packets over UDP, and all of chan_sip, would not")
	case x.Known && x.MoreUnknown > 0 && x.MoreKnown > 0:
		t.item("next", "%s on an unknown account would ban it, or %s",
			wording.Count(x.MoreUnknown, "more attempt"),
			wording.Count(x.MoreKnown, "wrong password"))
	case x.Known && x.MoreUnknown > 0:
		// Wrong passwords weigh nothing, by [policy.weights].
		t.item("next", "%s on an unknown account would ban it",
			wording.Count(x.MoreUnknown, "more attempt"))
	case x.Known && x.MoreKnown > 0:
		t.item("next", "%s would ban it", wording.Count(x.MoreKnown, "wrong password"))
	}

	if x.CalmAt != 0 && x.Attempts > 0 {
		t.item("forgotten", "at %s, if nothing comes until then", t.stamp(x.CalmAt))
	}
}
