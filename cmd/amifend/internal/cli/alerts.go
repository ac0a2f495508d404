package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// Alerts is `amifend alerts`.
type Alerts struct {
	List   AlertsList   `cmd:"" default:"withargs" help:"List alerts, the open ones first."`
	Ignore AlertsIgnore `cmd:"" help:"${alertsIgnoreHelp}"`
}

// AlertsList is `amifend alerts`.
type AlertsList struct {
	daemonFlags
	Addr    addrArg `arg:"" optional:"" name:"address" help:"${alertsAddressHelp}"`
	Since   span    `default:"24h" placeholder:"TIME" help:"${alertsSinceHelp}"`
	Kind    string  `complete:"alerts" placeholder:"KIND" help:"Only alerts of this kind, such as compromised_account."`
	Limit   int     `short:"n" default:"100" placeholder:"COUNT" help:"${alertsLimitHelp}"`
	Ignored bool    `help:"List only the alerts that amifend alerts ignore silenced."`
}

// Help returns the detailed help.
func (*AlertsList) Help() string {
	return `Examples:

    amifend alerts                       what is open, and the alerts of the last day
    amifend alerts --since 30d --kind compromised_account
    amifend alerts 203.0.113.5 --since 30d
    amifend alerts --ignored

Open alerts come first, then the worst, then the latest. Each has advice. An alert that lasts has an
id: amifend alerts ignore ID NOTE silences it. docs/operating.md explains each kind.`
}

// Validate is called by kong.
func (c *AlertsList) Validate() error {
	if c.Limit < 1 || c.Limit > control.MostReported {
		return fmt.Errorf("--limit %d: write a number from 1 to %d", c.Limit, control.MostReported)
	}
	return chosen("--kind", c.Kind, "kind of alert", kindNames())
}

// Run asks the daemon, and prints the answer.
func (c *AlertsList) Run(ctx context.Context, on screen.Screen) error {
	client, err := c.client()
	if err != nil {
		return err
	}

	l, err := client.Alerts(ctx, control.AlertQuery{
		Since: time.Duration(c.Since), About: c.Addr.Addr, Kind: c.Kind, Limit: c.Limit,
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(l)
	}

	// One write, so that a reader such as head does not get half an alert.
	text := alertsText(l, time.Now().Add(-time.Duration(c.Since)), time.Local)
	if c.Ignored {
		text = ignoredText(l.Ignored, time.Local)
	}
	_, err = fmt.Print(on.Wrap(text))
	return err
}

// alertsText returns a list of alerts for people, without the ignored ones.
func alertsText(l control.AlertList, since time.Time, zone *time.Location) string {
	shown := slices.DeleteFunc(slices.Clone(l.Alerts), func(a control.Alert) bool {
		return a.Ignored != ""
	})
	sortAlerts(shown)

	var b strings.Builder
	open := 0
	for _, a := range shown {
		if a.Open {
			open++
		}
		b.WriteString(alertText(a, "", zone))
	}

	// The daemon's total includes the ignored ones.
	count := wording.Count(len(shown), "alert")
	if total := l.Total - (len(l.Alerts) - len(shown)); total > len(shown) {
		count = fmt.Sprintf("%d of %s", len(shown), wording.Count(total, "alert"))
	}
	fmt.Fprintf(&b, "%s since %s, %d open\n", count, since.In(zone).Format(minutes), open)
	if n := len(l.Ignored); n > 0 {
		fmt.Fprintf(&b, "%d ignored: amifend alerts --ignored\n", n)
	}
	return b.String()
}

// severities holds the severities of alerts, the worst first.
var severities = []string{"critical", "warning", "notice"}

// sortAlerts sorts alerts for people: the open ones first, then the worst, then the latest.
func sortAlerts(alerts []control.Alert) {
	closed := func(a control.Alert) int {
		if a.Open {
			return 0
		}
		return 1
	}

	slices.SortStableFunc(alerts, func(x, y control.Alert) int {
		return cmp.Or(
			cmp.Compare(closed(x), closed(y)),
			cmp.Compare(slices.Index(severities, x.Severity), slices.Index(severities, y.Severity)),
			y.At.Compare(x.At),
		)
	})
}

// alertText returns an alert for people, in a few lines.
func alertText(a control.Alert, indent string, zone *time.Location) string {
	text := fmt.Sprintf("%s%s  %s  %s\n%s    %s\n", indent, a.At.In(zone).Format(stamp),
		a.Kind, a.Source, indent, a.Reason)
	if a.ID != "" {
		text += fmt.Sprintf("%s    %s\n", indent, lastedText(a, zone))
	}
	if a.Do != "" {
		text += fmt.Sprintf("%s    do: %s\n", indent, a.Do)
	}
	return text
}

// lastedText returns how long a condition has lasted so far, or lasted.
func lastedText(a control.Alert, zone *time.Location) string {
	lasted := a.Last.Sub(a.At).Round(time.Second)
	if a.Open {
		return fmt.Sprintf("open for %s, last seen %s, %s, id %s", lasted,
			a.Last.In(zone).Format(stamp), wording.Count(a.Count, "time"), a.ID)
	}
	return fmt.Sprintf("resolved %s, lasted %s, %s", a.Ended.In(zone).Format(stamp), lasted,
		wording.Count(a.Count, "time"))
}

// ignoredText returns the list of ignored conditions for people.
func ignoredText(ignored []control.IgnoredAlert, zone *time.Location) string {
	var b strings.Builder
	for _, i := range ignored {
		fmt.Fprintf(&b, "%s  %s\n    since %s by %s: %s\n", i.ID, subjectText(i),
			i.At.In(zone).Format(stamp), i.By, i.Note)
	}
	fmt.Fprintf(&b, "%s ignored\n", wording.Count(len(ignored), "alert"))
	return b.String()
}

// subjectText names a condition.
func subjectText(i control.IgnoredAlert) string {
	text := i.Kind
	if i.Source != "" {
		text += " " + i.Source
	}
	if i.Account != "" {
		text += " account " + i.Account
	}
	if i.Server != "" {
		text += " of " + i.Server
	}
	return text
}

// AlertsIgnore is `amifend alerts ignore`.
type AlertsIgnore struct {
	daemonFlags
	ID     string   `arg:"" name:"id" help:"The id of the alert, as amifend alerts shows it."`
	Note   []string `arg:"" optional:"" name:"note" help:"Why, for whoever asks later."`
	Remove bool     `help:"Report it again."`
}

// Help returns the detailed help.
func (*AlertsIgnore) Help() string {
	return `Examples:

    amifend alerts ignore 5f3a9c01 "the old fax, Bob replaces it in May"
    amifend alerts ignore --remove 5f3a9c01
    amifend alerts --ignored

It silences one condition of one endpoint, source, account or server. The condition stays silent
when it comes again, also after a restart. Other alerts about the same subject are reported, and
bans do not change.`
}

// Validate is called by kong.
func (c *AlertsIgnore) Validate() error {
	if !c.Remove && len(c.Note) == 0 {
		return errors.New("write a note: why it is ignored")
	}
	return nil
}

// Run silences an alert, or lets it be reported again.
func (c *AlertsIgnore) Run(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}

	// Both answers have the condition, and may warn that the change is not on the disk yet.
	what := "ignored"
	var done control.IgnoredAlert
	if c.Remove {
		what = "reported again"
		done, err = client.HeedAlert(ctx, c.ID)
	} else {
		done, err = client.IgnoreAlert(ctx, control.IgnoreAlert{
			ID: c.ID, Note: strings.Join(c.Note, " "),
		})
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(done, done.Warning)
	}

	text := fmt.Sprintf("%s is %s", subjectText(done), what)
	if done.Warning != "" {
		text += "; " + done.Warning
	}
	_, err = fmt.Println(text)
	return err
}
