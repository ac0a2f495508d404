// Package overview shows a report of the daemon as text, and as a page of HTML with charts: what
// happened in a time, and what changed against the time before.
//
// The page has no script and needs nothing else: styles and charts (SVG) are part of it. Beside each
// chart stand its numbers as a table, for readers who cannot see it and for programs that show no
// SVG. Attackers choose names of accounts, and write the reverse DNS of their addresses: html/template
// escapes them, and no client finds a link or a mention in them.
package overview

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// Options say how a report is shown.
type Options struct {
	Host     string         // whose report it is
	Location *time.Location // of times
	Dry      bool           // the daemon only observes
	At       time.Time      // when the page is made
}

// most is the length of a list in the overview.
const most = 10

// times of a report, for people.
const (
	minutes = "2006-01-02 15:04 MST"
	day     = "Mon 2006-01-02"
	hour    = "02 15:04"
)

// Headline returns a report in a few words, without a name that an attacker chose.
func Headline(r control.Report) string {
	if r.Trend == nil {
		return wording.Count(r.Bans.Made, "ban")
	}
	return wording.Count(r.Bans.Made, "ban") + ", " +
		wording.Count(int(r.Trend.Now.Failures), "failed event") + " from " +
		wording.Count(r.Trend.Now.Sources, "source")
}

// view is a report in the order in which it is read.
type view struct {
	Title    string
	Host     string
	From, To string
	Before   string // the time before
	Made     string // when the page was made
	Headline string
	Dry      bool
	Quiet    bool // nobody attacked

	Changes   []change
	Failures  chart
	Bans      chart
	Countries chart
	Networks  chart
	Sources   []row
	Accounts  []row
	Attacked  []control.Alert // open conditions about accounts and servers
	Phones    []phone
	Rules     []count
	Alerts    []count
	Audit     *control.Audit // what an attacker would find; nil: nobody looked
}

// change is a number, and the same of the time before.
type change struct {
	Name          string
	Now, Before   string
	By            string // such as "+12 %", "new"
	Worse, Better bool
}

// row is a source or an account.
type row struct {
	Name, Origin, Last string
	Failures, Logins   string
	Banned             bool
}

// phone is a phone to mend.
type phone struct {
	Account, Server, Source, Since, Do string
	Count                              int
	Open                               bool
}

// count is a name and a number.
type count struct {
	Name string
	N    int
}

// newView returns the view of a report.
func newView(r control.Report, o Options) view {
	local := func(t time.Time) string { return t.In(o.Location).Format(minutes) }
	v := view{
		Title: "amifend report", Host: o.Host, From: local(r.From), To: local(r.To),
		Made: local(o.At), Headline: Headline(r), Dry: o.Dry,
		Rules: counts(r.Bans.ByRule), Alerts: counts(r.AlertCounts),
		Audit: r.Audit,
	}
	for _, s := range failed(r.Sources) {
		v.Sources = append(v.Sources, row{
			Name: s.Name, Origin: s.Origin.String(), Last: local(s.Last), Banned: s.Banned,
			Failures: number(s.Failures), Logins: number(s.Logins),
		})
	}
	for _, s := range failed(r.Accounts) {
		v.Accounts = append(v.Accounts, row{
			Name: s.Name, Origin: s.Server, Last: local(s.Last), Failures: number(s.Failures),
			Logins: number(s.Logins),
		})
	}
	v.Quiet = len(v.Sources) == 0 && r.Bans.Made == 0
	for _, a := range r.Alerts {
		if a.Open && (a.Kind == "account_attacked" || a.Kind == "server_attacked") {
			v.Attacked = append(v.Attacked, a)
		}
	}

	if t := r.Trend; t != nil {
		v.Before = "from " + local(t.BeforeFrom)
		v.trend(t, o)
	}
	return v
}

// trend adds what needs the time before, or the hours and days.
func (v *view) trend(t *control.Trend, o Options) {
	bansName := "bans"
	if o.Dry {
		bansName = "bans that would have been made"
	}
	v.Changes = []change{
		changed("failed events", t.Now.Failures, t.Before.Failures, true),
		changed("attacking sources", uint64(t.Now.Sources), uint64(t.Before.Sources), true),
		changed("accounts tried", uint64(t.Now.Accounts), uint64(t.Before.Accounts), true),
		changed(bansName, uint64(t.Now.Bans), uint64(t.Before.Bans), false),
		changed("alerts", uint64(t.Now.Alerts), uint64(t.Before.Alerts), true),
		changed("logins", t.Now.Logins, t.Before.Logins, false),
	}

	form := day
	if len(t.Steps) > 1 && t.Steps[1].At.Sub(t.Steps[0].At) <= time.Hour {
		form = hour
	}
	var failures, made []bar
	for _, s := range t.Steps {
		name := s.At.In(o.Location).Format(form)
		failures = append(failures, bar{Name: name, Value: s.Failures})
		made = append(made, bar{Name: name, Value: uint64(s.Bans)})
	}
	v.Failures = columns("failures", "Failed events", failures)
	v.Bans = columns("bans", strings.ToUpper(bansName[:1])+bansName[1:], made)
	v.Countries = bars("countries", "Failed events by country", shares(t.Countries))
	v.Networks = bars("networks", "Failed events by network", shares(t.Networks))

	for _, a := range t.Phones[:min(len(t.Phones), most)] {
		v.Phones = append(v.Phones, phone{
			Account: a.Account, Server: a.Server, Source: a.Source, Count: a.Count, Open: a.Open,
			Since: a.At.In(o.Location).Format(minutes), Do: a.Do,
		})
	}
}

// changed compares a number with the one before. up means that more is worse.
func changed(name string, now, before uint64, up bool) change {
	c := change{Name: name, Now: number(now), Before: number(before)}
	switch {
	case now == before:
		c.By = "the same"
	case before == 0:
		c.By = "new"
	default:
		c.By = fmt.Sprintf("%+.0f %%", (float64(now)/float64(before)-1)*100)
	}
	c.Worse, c.Better = up && now > before, up && now < before
	return c
}

// number returns a number with a thin gap between thousands, which every reader understands.
func number(n uint64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "\u202f" + text[i:]
	}
	return text
}

// failed returns at most ten sums with failures.
func failed(sums []control.Sum) []control.Sum {
	sums = slices.DeleteFunc(slices.Clone(sums), func(s control.Sum) bool { return s.Failures == 0 })
	return sums[:min(len(sums), most)]
}

// counts returns names with numbers, the largest first.
func counts(of map[string]int) (out []count) {
	for _, name := range slices.Sorted(maps.Keys(of)) {
		out = append(out, count{name, of[name]})
	}
	slices.SortStableFunc(out, func(a, b count) int { return cmp.Compare(b.N, a.N) })
	return out
}

func shares(of []control.Share) (out []bar) {
	for _, s := range of {
		out = append(out, bar{Name: s.Name, Value: s.Failures})
	}
	return out
}

// Text returns a report as lines of plain text.
func Text(r control.Report, o Options) string {
	v := newView(r, o)
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nfrom %s to %s\n", v.Headline, v.From, v.To)
	if v.Quiet {
		b.WriteString("nobody attacked\n")
	}

	if len(v.Changes) > 0 {
		b.WriteString("\nwhat changed against the time before (" + v.Before + ")\n")
	}
	for _, c := range v.Changes {
		fmt.Fprintf(&b, "  %s: %s, before %s (%s)\n", c.Name, plainNumber(c.Now),
			plainNumber(c.Before), c.By)
	}

	v.writeAudit(&b)
	v.writeLists(&b)
	v.Failures.write(&b)
	v.Bans.write(&b)
	v.Countries.write(&b)
	v.Networks.write(&b)
	b.WriteString("\nmore: amifend report --since 7d, amifend explain ADDRESS, amifend alerts\n")
	return b.String()
}

// writeAudit writes what an attacker would find, and what nobody looked at.
func (v *view) writeAudit(b *strings.Builder) {
	if v.Audit == nil {
		return
	}
	b.WriteString("\nwhat an attacker would find: " + v.Audit.Verdict + "\n")
	for _, line := range v.Audit.Worst {
		b.WriteString("  " + line + "\n")
	}
	if more := v.Audit.Serious - len(v.Audit.Worst); more > 0 {
		fmt.Fprintf(b, "  and %d more\n", more)
	}
	for _, line := range v.Audit.Missed {
		b.WriteString("  not looked at: " + line + "\n")
	}
	b.WriteString("  all of it: amifend audit, on the PBX as root\n")
}

// writeLists writes the lists of a report as text.
func (v *view) writeLists(b *strings.Builder) {
	if len(v.Phones) > 0 {
		b.WriteString("\nphones to mend\n")
	}
	for _, p := range v.Phones {
		fmt.Fprintf(b, "  %s of %s from %s: %s since %s\n    do: %s\n", p.Account, p.Server, p.Source,
			wording.Count(p.Count, "failure"), p.Since, p.Do)
	}

	if len(v.Attacked) > 0 {
		b.WriteString("\nunder attack now\n")
	}
	for _, a := range v.Attacked {
		fmt.Fprintf(b, "  %s: %s\n", a.Kind, strings.Join(strings.Fields(a.Reason), " "))
	}

	// The sources come last of all lists, since they are what a short message may lose.
	for _, list := range []struct {
		title string
		rows  []row
	}{{"accounts tried most", v.Accounts}, {"sources with the most failures", v.Sources}} {
		if len(list.rows) > 0 {
			b.WriteString("\n" + list.title + "\n")
		}
		for _, r := range list.rows {
			text := "  " + r.Name + ": " + plainNumber(r.Failures) + " failed, last at " + r.Last
			if r.Origin != "" {
				text += " (" + r.Origin + ")"
			}
			if r.Banned && v.Dry {
				text += ", would be banned"
			} else if r.Banned {
				text += ", banned"
			}
			b.WriteString(text + "\n")
		}
	}
}

// plainNumber returns a number without gaps.
func plainNumber(text string) string { return strings.ReplaceAll(text, "\u202f", "") }
