package notify

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/overview"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// webhookBody is the JSON of a webhook.
type webhookBody struct {
	Version int    `json:"version"`
	Host    string `json:"host"`
	Subject string `json:"subject"`
	Text    string `json:"text"`
	*Message
}

// subject returns the subject of a message. Names that an attacker chose are not in it.
func (m *Message) subject(host string) string {
	text := fmt.Sprintf("%d notifications", len(m.Items)+m.More)
	if len(m.Items) == 1 && m.More == 0 {
		text = m.Items[0].subject(m.Observing)
	}
	return "[amifend " + host + "] " + text
}

func (i *Item) subject(observing bool) string {
	switch {
	case i.Kind == config.KindTest:
		return "test"
	case i.Attack != nil:
		a := i.Attack
		what := "attack: "
		if observing {
			what = "attack (observed): "
		}
		return what + wording.Count(a.Bans, "ban") + " after " +
			wording.Count(a.Attempts, "attempt")
	}

	if i.Report != nil {
		what := "weekly report: "
		if observing {
			what = "weekly report (observed): "
		}
		return what + overview.Headline(*i.Report)
	}

	what := i.Severity
	if i.Phase == "resolved" {
		what = "resolved"
	}
	what += ": " + i.Kind
	if i.Server != "" {
		what += " at " + i.Server
	}
	if i.Source != "" {
		what += " from " + i.Source
	}
	return what
}

// text returns a message for people: lines of plain text.
func (m *Message) text(host string) string {
	var b strings.Builder
	for n := range m.Items {
		if n > 0 {
			b.WriteString("\n")
		}
		if r := m.Items[n].Report; r != nil {
			b.WriteString(overview.Text(*r, m.overview(host)))
			continue
		}
		m.Items[n].write(&b, m.Observing)
	}
	if m.More > 0 {
		fmt.Fprintf(&b, "\nand %d more: amifend alerts\n", m.More)
	}
	if m.Observing {
		b.WriteString("\namifend only observes here: nobody was banned.\n")
	}
	return b.String()
}

// overview returns how a report is shown.
func (m *Message) overview(host string) overview.Options {
	return overview.Options{Host: host, Location: time.Local, Dry: m.Observing, At: m.At}
}

func (i *Item) write(b *strings.Builder, observing bool) {
	switch {
	case i.Kind == config.KindTest:
		b.WriteString(i.Reason + "\n")
		return
	case i.Attack != nil:
		i.Attack.write(b, observing)
		return
	case i.Phase == "resolved":
		fmt.Fprintf(b, "%s is over. It began at %s and lasted %s.\n", i.Kind, clock(i.Since),
			lasted(i.Since, i.Last))
	case i.Phase == "begin":
		fmt.Fprintf(b, "%s (%s) began at %s.\n", i.Kind, i.Severity, clock(i.Since))
	default:
		fmt.Fprintf(b, "%s (%s) at %s.\n", i.Kind, i.Severity, clock(i.Last))
	}

	line(b, "server", i.Server)
	line(b, "source", i.Source)
	line(b, "origin", i.Origin)
	line(b, "account", i.Account)
	line(b, "why", i.Reason)
	if i.Phase != "resolved" {
		line(b, "do", i.Do)
	}
}

// line writes a field, if it has a value.
func line(b *strings.Builder, name, value string) {
	if value != "" {
		fmt.Fprintf(b, "  %s: %s\n", name, strings.ReplaceAll(value, "\n", " "))
	}
}

func (a *Attack) write(b *strings.Builder, observing bool) {
	verb := "made"
	if observing {
		verb = "that would have been made"
	}

	goesOn := ""
	if a.Began.Before(a.From) {
		goesOn = " The attack goes on since " + clock(a.Began) + "."
	}
	fmt.Fprintf(b, "%s %s after %s, from %s to %s (%s).%s\n",
		wording.Count(a.Bans, "ban"), verb, wording.Count(a.Attempts, "attempt"), clock(a.From),
		clock(a.To), lasted(a.From, a.To), goesOn)

	line(b, "servers", list(a.Servers))
	line(b, "networks", list(a.Networks))
	line(b, "accounts tried", list(a.Accounts))
	line(b, "rules", list(a.Rules))
	dropped := "dropped"
	if observing {
		dropped = "would be dropped"
	}
	line(b, dropped, list(a.Scopes))

	// The sources come last, since they are what a short message may lose.
	b.WriteString("  sources:\n")
	for _, s := range a.Sources {
		origin := ""
		if s.Origin != "" {
			origin = " (" + s.Origin + ")"
		}
		fmt.Fprintf(b, "    %s: %s, %s, until %s%s\n", s.Source,
			wording.Count(s.Attempts, "attempt"), s.Rule, clock(s.Until), origin)
	}
	if more := a.Bans - len(a.Sources); more > 0 {
		fmt.Fprintf(b, "    and %d more\n", more)
	}
	b.WriteString("  more: amifend report, amifend explain ADDRESS\n")
}

// list returns names with their counts.
func list(names []Count) string {
	out := make([]string, len(names))
	for i, c := range names {
		out[i] = fmt.Sprintf("%s (%d)", c.Name, c.Bans)
	}
	return strings.Join(out, ", ")
}

// clock returns a time for people, with its zone.
func clock(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05 MST") }

// lasted returns the time between two times, for people.
func lasted(from, to time.Time) string { return to.Sub(from).Round(time.Second).String() }

// body returns a message as a webhook gets it.
func (m *Message) body(host string) []byte {
	out, _ := json.Marshal(webhookBody{
		Version: 1, Host: host, Subject: m.subject(host), Text: m.text(host), Message: m,
	}) // texts, numbers and times: it cannot fail
	return out
}
