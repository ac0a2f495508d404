package replay

import (
	"bufio"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/recording"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
	"github.com/amifend/amifend/policy"
)

// stampLayout is the form of a time in the text format.
const stampLayout = "2006-01-02 15:04:05.000"

type textWriter struct {
	out      *bufio.Writer
	location *time.Location
	servers  []string
	limit    float64
}

func newTextWriter(o Options, names []string, out io.Writer) *textWriter {
	return &textWriter{
		out: bufio.NewWriter(out), location: o.Location, servers: serverNames(names),
		limit: o.Config.Policy.Threshold,
	}
}

// serverNames returns the names of the files for evidence, or nil if there is only one.
func serverNames(files []string) []string {
	if len(files) < 2 {
		return nil
	}
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = filepath.Base(f)
	}

	return names
}

func (w *textWriter) decision(v policy.Verdict) {
	if v.Action == policy.ActionAlert && v.Phase == policy.PhaseEnd {
		w.resolved(v)
		return
	}

	// Fixed columns make the bans easy to find.
	what := fmt.Sprintf("%-5s  %-18s", v.Action, subject(v))
	if v.Action == policy.ActionBan {
		what += fmt.Sprintf("  %-6s  %-6s", v.Scope, duration(v.Duration))
	}

	if v.Action != policy.ActionNone {
		fmt.Fprintf(w.out, "%s  %s  %s: %s\n", stamp(v.At, w.location), what, v.Rule,
			wording.Reason(v, w.limit, w.servers))
	}
}

// subject returns the prefix of a verdict, or - for an alert about an account or a server.
func subject(v policy.Verdict) string {
	if !v.Prefix.IsValid() {
		return "-"
	}
	return v.Prefix.Masked().String()
}

// resolved writes the end of a condition. What happened is in the line of its beginning.
func (w *textWriter) resolved(v policy.Verdict) {
	about := ""
	if account := v.Account.Bytes(); len(account) > 0 {
		about = "account " + ami.Quote(account) + ", "
	}
	fmt.Fprintf(w.out, "%s  %s  %-18s  %s: %safter %s\n", stamp(v.At, w.location), actionResolved,
		subject(v), v.Rule, about, duration(lasted(v)))
}

// lasted returns how long a condition went on: from its beginning to the last failure of it.
func lasted(v policy.Verdict) time.Duration { return time.Duration(v.Last - v.Since) }

func stamp(at int64, l *time.Location) string { return time.Unix(0, at).In(l).Format(stampLayout) }

// duration formats d as in the config: 90s, 20m, 12h, 30d.
func duration(d time.Duration) string {
	for _, unit := range []struct {
		d    time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		// A unit must fit exactly, so that no duration is rounded.
		if d >= unit.d && d%unit.d == 0 {
			return fmt.Sprintf("%d%s", d/unit.d, unit.name)
		}
	}

	return d.Round(time.Second).String()
}

func (w *textWriter) end(s summary) error {
	fmt.Fprintf(w.out, "--\n%s, %s",
		wording.Count(len(s.files), "file"), wording.Count(s.events, "event"))
	if s.events > 0 {
		zone := time.Unix(0, s.last).In(s.location).Format("MST")
		fmt.Fprintf(w.out, ", %s to %s %s", stamp(s.first, s.location), stamp(s.last, s.location),
			zone)
	}

	fmt.Fprintf(w.out, "\npolicy: %s\n", s.config)
	stream := s.bans[policy.ScopeStream]
	bans := s.bans[policy.ScopeAll] + s.bans[policy.ScopeSIP] + stream
	fmt.Fprintf(w.out, "%8d %s decided: %d of all traffic, %d of the SIP ports",
		bans, plural(uint64(bans), "ban"), s.bans[policy.ScopeAll], s.bans[policy.ScopeSIP])

	// From here on zeros are left out, so that the rest is easy to see.
	if stream > 0 {
		fmt.Fprintf(w.out, ", %d of TCP only", stream)
	}
	fmt.Fprintln(w.out)
	w.count(uint64(s.unbans), "ban", " lifted early")
	w.count(uint64(s.alerts), "alert", "")
	w.count(s.engine.Counted, "failed attempt", " counted")
	w.count(s.leftOut, "event", " left out: the source was banned at that moment, the kernel "+
		"would have dropped the packet")
	w.spared(s.spared)

	// Failures that did not count are listed too, because a reader may expect a ban for them.
	w.count(s.engine.Excused, "failed attempt", " of misconfigured phones: one account fails "+
		"where others work")
	w.count(s.engine.Shielded, "failed attempt", " that could have been forged in the name of a "+
		"source that proved itself: not counted")

	w.count(s.injections(), "injection attempt", "")
	w.count(s.dropped(), "record", " dropped (AMI packets or security lines): an attacker may "+
		"have written them, and it is not known who")
	w.count(s.reported, "failed request", " that NOTICE and WARNING lines reported")
	if s.twice > 0 {
		fmt.Fprintf(w.out, "%8d of them left out: the security channel reports the same "+
			"requests\n", s.twice)
	}
	w.count(s.copies, "event", " left out: another file holds the same")
	w.count(s.traced, "line", " of printed SIP messages skipped")

	// Notes come last, because a reader looks there first.
	for _, n := range s.notes {
		fmt.Fprintln(w.out, NoteText(n))
	}

	// Some requests are known from NOTICE and WARNING lines alone.
	if s.reported > s.twice {
		fmt.Fprintf(w.out, "note: NOTICE and WARNING lines report failures only, so no phone has "+
			"proved itself by them as it would live:\n"+
			"      users with a wrong password may be banned above whom the daemon would not ban. "+
			"Log the security channel too.\n")
	}

	return w.out.Flush()
}

// count writes a line of the summary, unless it counts nothing.
func (w *textWriter) count(n uint64, thing, about string) {
	if n > 0 {
		fmt.Fprintf(w.out, "%8d %s%s\n", n, plural(n, thing), about)
	}
}

// plural returns the plural of a thing, unless there is one of it.
func plural(n uint64, thing string) string {
	if n == 1 {
		return thing
	}
	return thing + "s"
}

// spared writes the addresses that fail and are never banned: the worst few, and the number of the
// others.
func (w *textWriter) spared(all []Spared) {
	const most = 5
	for i, s := range all {
		if i == most {
			fmt.Fprintf(w.out, "%8d more that fail and are never banned\n", len(all)-most)
			return
		}
		fmt.Fprintf(w.out, "%8d %s of %s, which is never banned (%s): %s\n", s.Failures,
			plural(s.Failures, "failure"), s.Addr, s.Why, s.Do())
	}
}

// NoteText returns a note as text, of one line or two.
func NoteText(n recording.Note) string {
	text := fmt.Sprintf("note: %s: %s", n.File, n.Why)

	// The subject depends on the kind: a file, or a number of lines.
	if n.Kind == recording.NoteSkipped {
		text = fmt.Sprintf("note: %s is skipped: %s", n.File, n.Why)
	}
	if n.Kind == recording.NoteUnread {
		text = fmt.Sprintf("note: %s that look like failed requests were not read: %s",
			wording.Count(n.Lines, "line"), n.Why)
		if n.Lines == 1 {
			text = "note: 1 line that looks like a failed request was not read: " + n.Why
		}
	}

	if n.Do != "" {
		text += "\n      do: " + n.Do
	}
	return text
}
