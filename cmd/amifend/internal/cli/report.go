package cli

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/overview"
	"github.com/amifend/amifend/cmd/amifend/internal/report"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
)

// Report is `amifend report`.
type Report struct {
	daemonFlags
	Since    span     `default:"24h" placeholder:"TIME" help:"${alertsSinceHelp}"`
	Limit    int      `short:"n" default:"10" placeholder:"COUNT" help:"${reportLimitHelp}"`
	Format   string   `enum:"text,json,csv,html" default:"text" help:"The output: text, json, csv or html."`
	Timezone string   `placeholder:"ZONE" help:"${pastTimezoneHelp}"`
	Files    []string `arg:"" optional:"" name:"file" type:"path" help:"${reportFilesHelp}"`
}

// Help returns the detailed help.
func (*Report) Help() string {
	return `Examples:

    amifend report                 what happened since yesterday
    amifend report --since 7d --format csv -n 1000 > week.csv
    amifend report --since 7d --format html > week.html
    amifend report /var/log/asterisk/security*

It shows bans, alerts, commands of operators, and who failed how often.

Without files the answer comes from the daemon's journal. Its totals are those of whole hours.
FAILED counts failed events. One attempt may raise several.

With files it counts attempts, also those under a ban. The verdict is what the daemon would have
decided. --config names the config with the policy and the allowlist. --since has no effect.

The journal has the whole past. Query a copy: amifend backup copy.db; sqlite3 copy.db`
}

// Validate is called by kong.
func (r *Report) Validate() error {
	switch {
	case len(r.Files) > 0 && r.Format == "html":
		return errors.New("--format html is for the daemon's report: write no files")
	case len(r.Files) > 0 && r.Socket != "":
		return errors.New("--socket is for the daemon's report: write no files")
	case r.Limit < 1 || r.Limit > control.MostReported && len(r.Files) == 0:
		return fmt.Errorf("--limit %d: write a number from 1 to %d", r.Limit, control.MostReported)
	}
	return nil
}

// Run reports.
func (r *Report) Run(ctx context.Context, on screen.Screen) error {
	// --json works as in all other commands.
	if r.JSON {
		r.Format = "json"
	}
	if len(r.Files) > 0 {
		return r.recordings(ctx)
	}

	// Without files the past comes from the daemon's journal.
	client, err := r.client()
	if err != nil {
		return err
	}

	answer, err := client.Report(ctx,
		control.ReportQuery{
			Since: time.Duration(r.Since), Limit: r.Limit, Trend: r.Format == "html",
		})
	if err != nil {
		return err
	}

	switch r.Format {
	case "json":
		return printJSON(answer)
	case "csv":
		return writeReportCSV(os.Stdout, answer)
	case "html":
		return r.page(ctx, client, answer)
	default:
		dry, err := isDry(ctx, client)
		if err != nil {
			return err
		}

		// One write, so that a reader such as head does not get half a table.
		var text strings.Builder
		if err := writeReport(&text, on, answer, dry); err != nil {
			return err
		}
		_, err = fmt.Print(text.String())
		return err
	}
}

// page writes a report as a page of HTML.
func (r *Report) page(ctx context.Context, client *control.Client, answer control.Report) error {
	dry, err := isDry(ctx, client)
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}

	_, err = os.Stdout.Write(overview.HTML(answer, overview.Options{
		Host: host, Location: zone(client.Zone), Dry: dry, At: time.Now(),
	}))
	return err
}

// recordings counts the failed attempts in recordings by their source.
func (r *Report) recordings(ctx context.Context) error {
	past := pastFlags{r.Config, r.Timezone}
	o := report.Options{
		Files: r.Files, Format: report.Format(r.Format), Limit: r.Limit, Notes: os.Stderr,
		Progress: terminal(os.Stderr),
	}
	var err error
	if o.Config, _, err = past.load(); err != nil {
		return err
	}

	if o.Location, err = past.location(); err != nil {
		return err
	}

	err = report.Run(ctx, o, os.Stdout)
	if _, ok := errors.AsType[*report.PartError](err); ok && r.Format == "json" {
		return toldError{err}
	}
	return err
}

// writeReport writes a report for people. dry means that the daemon bans nobody.
func writeReport(to io.Writer, on screen.Screen, r control.Report, dry bool) error {
	w := bufio.NewWriter(to)
	fmt.Fprintf(w, "from %s to %s\n", r.From.Local().Format(minutes), r.To.Local().Format(minutes))
	fmt.Fprint(w, "\n", on.Wrap(banCounts(r.Bans)), "\n")

	// The latest ban of a prefix comes first, so a repeated key means a ban that was replaced.
	var lines []string
	newer := make(map[string]bool)
	for _, b := range r.Latest {
		key := b.Prefix.String() + b.Scope
		lines = append(lines, "  "+strings.Join([]string{
			b.From.Local().Format(minutes), bans.Source(b.Prefix), b.Scope, b.Rule,
			pastEnd(b, newer[key]),
		}, "\t"))
		newer[key] = true
	}

	if err := columns(w, on, lines); err != nil {
		return err
	}

	more(w, r.Bans.Made, len(r.Latest))

	// The counts are those of all alerts, the list has some of them.
	alerts, kinds := byCount(r.AlertCounts)
	fmt.Fprint(w, "\n", on.Wrap("alerts: "+kinds), "\n")
	sortAlerts(r.Alerts)
	for _, a := range r.Alerts {
		fmt.Fprint(w, on.Wrap(alertText(a, "  ", time.Local)))
	}

	more(w, alerts, len(r.Alerts))

	// The actions of operators explain some bans and lifts above.
	if len(r.Operations) > 0 {
		fmt.Fprintln(w, "\noperators")
	}
	lines = nil
	for _, o := range r.Operations {
		lines = append(lines, "  "+strings.Join([]string{
			o.At.Local().Format(minutes), control.Operator(uint32(o.UID), o.Says),
			strings.Join(nonempty(commandName(o.What), o.Object, o.Reason), " "),
		}, "\t"))
	}
	if err := columns(w, on, lines); err != nil {
		return err
	}

	// The tables go from the general to the detail.
	for _, t := range []struct {
		title string
		sums  []control.Sum
	}{{"SERVER", r.Servers}, {"SOURCE", failed(r.Sources)}, {"ACCOUNT", failed(r.Accounts)}} {
		if len(t.sums) == 0 {
			continue
		}
		fmt.Fprintln(w)
		if err := writeSums(w, on, t.title, t.sums, dry); err != nil {
			return err
		}
	}

	if len(failed(r.Sources)) == 0 {
		fmt.Fprintln(w, "\nno failed attempts")
	}

	return w.Flush()
}

// more writes the number of rows that are left out.
func more(w io.Writer, all, shown int) {
	if all > shown {
		fmt.Fprintf(w, "  %d more (amifend report -n COUNT)\n", all-shown)
	}
}

// byCount returns the sum of counts, and a text such as "12 (9 proven_score, 3 score)".
func byCount(counts map[string]int) (all int, text string) {
	names := slices.Sorted(maps.Keys(counts))
	slices.SortStableFunc(names, func(a, b string) int { return counts[b] - counts[a] })
	for i, name := range names {
		all += counts[name]
		names[i] = fmt.Sprintf("%d %s", counts[name], name)
	}

	if all == 0 {
		return 0, "none"
	}
	return all, fmt.Sprintf("%d (%s)", all, strings.Join(names, ", "))
}

// banCounts returns a text such as "bans: 12 (9 proven_score, 3 score); 2 lifted early".
func banCounts(c control.BanCounts) string {
	all, text := byCount(c.ByRule)
	label := "bans: "
	if all > 0 && c.Observed >= c.Made {
		label = "would-be bans (nobody was banned): " // all of them
	}

	if c.Lifted > 0 {
		text += fmt.Sprintf("; %d lifted early", c.Lifted)
	}
	if c.Observed > 0 && c.Observed < c.Made {
		text += fmt.Sprintf("; %d of them would-be bans, which dropped nothing", c.Observed)
	}
	return label + text
}

// pastEnd returns how a ban ended or will end. replaced means that a newer ban took its place.
func pastEnd(b control.PastBan, replaced bool) string {
	switch {
	case !b.Lifted.IsZero() && b.Observed:
		return "would-be, lifted after " + rough(b.Lifted.Sub(b.From)) + " by " + b.By
	case !b.Lifted.IsZero():
		return "lifted after " + rough(b.Lifted.Sub(b.From)) + " by " + b.By
	case b.Observed:
		return "would be for " + rough(b.Until.Sub(b.From))

	// Only a ban that was neither lifted nor only observed can still run.
	case b.Until.After(time.Now()) && replaced:
		return "for " + rough(b.Until.Sub(b.From)) + ", replaced"
	case b.Until.After(time.Now()):
		return "for " + rough(b.Until.Sub(b.From)) + ", in force"
	default:
		return "for " + rough(b.Until.Sub(b.From))
	}
}

// failed returns the sums with failures. People do not look for those with logins only.
func failed(sums []control.Sum) []control.Sum {
	return slices.DeleteFunc(slices.Clone(sums), func(s control.Sum) bool {
		return s.Failures == 0
	})
}

// writeSums writes a table of sums. dry means that the daemon bans nobody.
func writeSums(
	w io.Writer, on screen.Screen, title string, sums []control.Sum, dry bool,
) error {
	// What was only observed must not be reported as if it had happened.
	banned := " (banned)"
	if dry {
		banned = " (would be banned)"
	}

	lines := []string{"FAILED\tLOGINS\tLAST SEEN\t" + title}
	for _, s := range sums {
		name := s.Name
		switch {
		case s.Server != "":
			name += " of " + s.Server
		case s.Banned:
			name += banned
		}
		if origin := s.Origin.Short(originWidth); origin != "" {
			name += "  " + origin
		}

		lines = append(lines, fmt.Sprintf("%d\t%d\t%s\t%s", s.Failures, s.Logins,
			s.Last.Local().Format(minutes), name))
	}

	return columns(w, on, lines)
}

// writeReportCSV writes the totals as one table for spreadsheets. A cell with text of an attacker
// begins with the quotation mark of ami.Quote, so no spreadsheet takes it for a formula.
func writeReportCSV(to io.Writer, r control.Report) error {
	w := csv.NewWriter(to)
	row := func(cells ...string) { _ = w.Write(cells) } // the writer keeps the error for Error
	row("what", "name", "server", "failures", "logins", "first_hour", "last_hour", "banned")

	for _, t := range []struct {
		what string
		sums []control.Sum
	}{{"server", r.Servers}, {"source", r.Sources}, {"account", r.Accounts}} {
		for _, s := range t.sums {
			row(t.what, s.Name, s.Server, strconv.FormatUint(s.Failures, 10),
				strconv.FormatUint(s.Logins, 10),
				s.First.UTC().Format(time.RFC3339), s.Last.UTC().Format(time.RFC3339),
				strconv.FormatBool(s.Banned))
		}
	}

	w.Flush()
	return w.Error()
}

// nonempty returns the texts that are not empty.
func nonempty(texts ...string) []string {
	return slices.DeleteFunc(texts, func(s string) bool { return s == "" })
}
