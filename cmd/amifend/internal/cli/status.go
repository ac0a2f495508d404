package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// Status is `amifend status`.
type Status struct {
	daemonFlags
	Acknowledge bool `xor:"status" help:"${statusAcknowledgeHelp}"`
	Quiet       bool `short:"q" xor:"status" help:"${statusQuietHelp}"`
}

// Help returns the detailed help.
func (*Status) Help() string {
	return `Shows each server's session, the firewall, the journal, and what needs attention, with
advice.

LAG is the delay of the last event. CLOCK is how far the PBX's clock is ahead of ours. GAPS counts
how often the connection was lost: events of that time are missing. The exit code is 0 when the
daemon answers. Scripts read health in --json, which is empty when all is well.

With --quiet, status is a plugin of Nagios or Icinga. The exit code is 0 (OK) when all is well,
1 (WARNING) when something needs attention, 2 (CRITICAL) when attackers are not stopped: no daemon
answers, no server is connected, or the firewall fails. It is 3 (UNKNOWN) when the state cannot be
read.`
}

// Run asks the daemon, and prints the answer.
func (c *Status) Run(ctx context.Context, on screen.Screen) error {
	if c.Quiet {
		return c.quiet(ctx)
	}

	client, err := c.client()
	if err != nil {
		return err
	}

	if c.Acknowledge {
		return c.acknowledge(ctx, client)
	}

	s, err := client.Status(ctx)
	if err != nil {
		return err
	}
	today := todayOf(ctx, client, dryStatus(s), time.Now())
	if c.JSON {
		return printJSON(struct {
			control.Status
			Today *day `json:"today,omitempty"` // absent: the journal did not answer
		}{s, today}, warnings(s.Health)...)
	}

	// One write, so that a reader such as head does not get half a table.
	var text strings.Builder
	if err := writeStatus(&text, s, today, on, time.Now()); err != nil {
		return err
	}
	_, err = fmt.Print(text.String())
	return err
}

// warnings returns what needs attention, one text for each.
func warnings(health []control.Warning) []string {
	out := make([]string, len(health))
	for i, h := range health {
		out[i] = h.About + ": " + h.What
		if h.Do != "" {
			out[i] += "; do: " + h.Do
		}
	}
	return out
}

// acknowledge ends the report of a lost journal.
func (c *Status) acknowledge(ctx context.Context, client *control.Client) error {
	done, err := client.Acknowledge(ctx)
	switch {
	case err != nil:
		return err
	case c.JSON:
		return printJSON(done)
	}

	text := "nothing is to be acknowledged"
	if done.Journal {
		text = "the loss of the journal is acknowledged"
	}
	_, err = fmt.Println(text)
	return err
}

// writeStatus writes the status for people: first whether all is well, then the details.
func writeStatus(
	w io.Writer, s control.Status, today *day, on screen.Screen, now time.Time,
) error {
	fmt.Fprint(w, on.Wrap(healthText(s, on)), "\n")
	fmt.Fprintf(w, "amifend %s runs since %s (%s)\n\n", s.Version,
		s.Since.Local().Format(stamp), rough(now.Sub(s.Since)))

	// One row for each server.
	lines := []string{"SERVER\tLINK\tEVENTS/S\tLAG\tCLOCK\tGAPS\tTLS"}
	for _, one := range s.Servers {
		lines = append(lines, serverLine(one, now))
	}

	if err := columns(w, on, lines); err != nil {
		return err
	}

	_, err := fmt.Fprint(w, on.Wrap(detailsText(s, today)))
	return err
}

// detailsText returns the state of what is not a server.
func detailsText(s control.Status, today *day) string {
	var b strings.Builder
	f := s.Firewall
	banWord := "ban"
	if dryStatus(s) {
		banWord = "would-be ban" // nothing is dropped
	}

	fmt.Fprintf(&b, "\nfirewall  %s, %s: %s", f.Name, f.State, wording.Count(f.Bans, banWord))
	for _, more := range []struct {
		n    int
		what string
	}{{f.Pending, "not in the kernel yet"}, {f.Waiting, "waiting for room"}} {
		if more.n > 0 {
			fmt.Fprintf(&b, ", %d %s", more.n, more.what)
		}
	}

	if today != nil {
		fmt.Fprintf(&b, "\n          %s", today.text(banWord))
	}

	// The firewall also holds the lists that take precedence over bans.
	fmt.Fprintf(&b, "\n          never banned: %s (amifend allow --list)\n",
		wording.Count(s.Protected, "prefix"))
	if d := f.Denied; d != nil {
		fmt.Fprintf(&b, "          %s\n", deniedLine(*d))
	}
	for _, one := range f.Feeds {
		fmt.Fprintf(&b, "          %s\n", feedLine(one))
	}

	// Without [state] there is no journal.
	if j := s.Journal; j != nil {
		state := "ok"
		if j.Problem != "" {
			state = "FAILING: " + j.Problem
		}
		if j.Waiting > 0 {
			state += ", " + wording.Count(j.Waiting, "change") + " of bans not written yet"
		}

		fmt.Fprintf(&b, "journal   %s, %.1f MB: %s\n", j.Path, float64(j.Size)/1e6, state)
	}

	if s.Sensor != nil {
		fmt.Fprintf(&b, "sensor    %s\n", sensorText(*s.Sensor))
	}
	if s.Limiter != nil {
		fmt.Fprintf(&b, "limiter   %s (amifend limited)\n", limiterText(*s.Limiter))
	}
	if s.Confined != nil {
		fmt.Fprintf(&b, "confined  %s\n", confinedText(*s.Confined))
	}

	// The attempts that were left out explain why somebody is not banned.
	e := s.Engine
	fmt.Fprintf(&b, "events    %d since the start: %d attempts counted\n", e.Observed, e.Counted)
	if e.Protected+e.Shielded+e.Covered > 0 {
		banned := "banned"
		if dryStatus(s) {
			banned = "would-be banned"
		}
		fmt.Fprintf(&b, "          not counted: %d of protected sources, %d in the name of proved "+
			"ones, %d of %s ones\n", e.Protected, e.Shielded, e.Covered, banned)
	}

	for i, shared := range s.SharedSources {
		head := "          "
		if i == 0 {
			head = "shared by "
		}
		fmt.Fprintf(&b, "%s%s: %s\n", head, wording.Count(shared.Accounts, "account"), shared.Source)
	}
	if s.SharedMore > 0 {
		fmt.Fprintf(&b, "          and %d more addresses\n", s.SharedMore)
	}

	return b.String()
}

// confinedText returns what the daemon's process may still do.
func confinedText(c control.Confined) string {
	text := "without Landlock: this kernel has none in force"
	switch {
	case c.Landlock > 0 && len(c.Writes) == 0:
		text = "it executes nothing and writes nowhere"
	case c.Landlock > 0:
		text = "it executes nothing, and writes below " + strings.Join(c.Writes, " and ") + " only"
	}

	if len(c.Capabilities) > 0 {
		text += "; capabilities: " + strings.Join(c.Capabilities, ", ")
	} else {
		text += "; no capabilities"
	}
	if c.Seccomp {
		text += "; seccomp"
	}
	if c.Error != "" {
		text += "\n          FAILING: " + c.Error
	}
	return text
}

// deniedLine returns the state of the deny lists.
func deniedLine(d control.Denied) string {
	text := "always dropped: " + wording.Count(d.Listed, "listed prefix")
	switch {
	case d.State == control.StateDry:
		text = "would be " + text
	case d.State == control.StateTrial:
		text += ", not in the trial: after amifend keep"
	case d.State != control.StateInKernel:
		text += ", " + d.State
	case d.Dropped != nil:
		text += ", " + wording.Count(*d.Dropped, "packet")
	}

	if d.Spared > 0 {
		text += fmt.Sprintf("; %d spared (amifend check)", d.Spared)
	}
	return text
}

// healthText returns whether all is well, and the warnings, each with its advice.
func healthText(s control.Status, on screen.Screen) string {
	var b strings.Builder
	style, verdict := verdictText(s)
	b.WriteString(on.Style(style, verdict) + "\n")

	for _, h := range s.Health {
		fmt.Fprintf(&b, "  %s: %s\n", on.Style(screen.Bold, h.About), h.What)
		if h.Do != "" {
			fmt.Fprintf(&b, "    do: %s\n", h.Do)
		}
	}
	return b.String()
}

// verdictText returns whether all is well, in one line.
func verdictText(s control.Status) (screen.Style, string) {
	style, text := screen.Good, "all is well"
	switch n := len(s.Health); {
	case n == 1:
		style, text = screen.Warn, "1 thing needs attention"
	case n > 1:
		style, text = screen.Warn, fmt.Sprintf("%d things need attention", n)
	}
	if severe(s) {
		style = screen.Bad
	}

	// A reader must not take an observing daemon for one that protects.
	if dryStatus(s) {
		text += "; amifend only observes, and bans nobody"
	}
	return style, text
}

// serverLine returns the row of a server.
func serverLine(s control.ServerStatus, now time.Time) string {
	if !s.Connected {
		state := "DOWN " + rough(now.Sub(s.Down))
		if s.Problem == "" {
			state = "connecting" // for the first time, without a problem so far
		}
		if s.NextTry.After(now) {
			state += ", next try in " + rough(s.NextTry.Sub(now))
		}
		return s.Name + "\t" + state
	}

	// The column TLS shows the version, and whether the certificate was verified.
	link := "no"
	switch {
	case s.TLS != "" && s.Verified:
		link = strings.TrimPrefix(s.TLS, "TLS ")
	case s.TLS != "":
		link = strings.TrimPrefix(s.TLS, "TLS ") + ", not verified"
	}

	gaps := "none"
	if s.Gaps > 0 {
		gaps = fmt.Sprintf("%d, last %s", s.Gaps, rough(seconds(s.LastGap)))
	}

	return strings.Join([]string{
		s.Name, "up " + rough(now.Sub(s.Since)), fmt.Sprintf("%.1f", s.EventsRate),
		seconds(s.Lag).Round(time.Millisecond).String(),
		clockText(s.ClockError), gaps, link,
	}, "\t")
}

// clockText returns how far a PBX's clock is ahead of ours.
func clockText(ahead float64) string {
	text := fmt.Sprintf("%+.1fs", ahead)
	if text == "-0.0s" || text == "+0.0s" {
		return "0.0s"
	}
	return text
}
