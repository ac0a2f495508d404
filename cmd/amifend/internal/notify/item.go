package notify

import (
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// Item is one thing to report: an alert, the summary of an attack, or a test. It is the form of the
// journal and of a webhook's JSON, so its fields keep their names.
type Item struct {
	ID       string    `json:"id,omitempty"` // of a condition: that of amifend alerts
	Kind     string    `json:"kind"`         // of the alert; "attack"; "test"
	Phase    string    `json:"phase"`        // event, begin or resolved
	Severity string    `json:"severity"`     // critical, warning or notice
	Source   string    `json:"source,omitempty"`
	Origin   string    `json:"origin,omitempty"`  // names of the source
	Account  string    `json:"account,omitempty"` // as ami.Quote prints it
	Server   string    `json:"server,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Do       string    `json:"do,omitempty"`
	Since    time.Time `json:"since"`
	Last     time.Time `json:"last"`
	Count    int       `json:"count"`
	Attack   *Attack   `json:"attack,omitempty"`
	// of a weekly report
	Report *control.Report `json:"report,omitempty"`
}

// Message is what one target gets in one go. The journal keeps it until the target has it.
type Message struct {
	ID        string    `json:"id"`
	At        time.Time `json:"at"`
	Observing bool      `json:"observing"` // nobody was banned
	Items     []Item    `json:"items"`
	More      int       `json:"more"` // items that had no room

	// urgent: it goes out in quiet hours, and is the last that is dropped
	Urgent bool `json:"urgent"`

	row string // as the journal has it; "": not made yet
}

// itemOf returns the item of an alert.
func itemOf(phase alerts.Phase, c *alerts.Condition) Item {
	return Item{
		ID: c.ID(), Kind: c.Kind, Phase: string(phase),
		Severity: alerts.KindOf(c.Kind).Severity.String(),
		Source:   c.Source, Account: c.Account, Server: c.Server, Reason: c.Text, Do: c.Do,
		Since: c.Since.Round(0), Last: c.Last.Round(0), Count: c.Count,
	}
}

// way is how an item goes to its targets.
type way int

const (
	wayDigest way = iota // gathered with others
	wayAlone             // by itself, but not in quiet hours
	wayUrgent            // by itself, at any time
)

// wayOf returns how an item goes. Conditions that forged packets can raise in everybody's name must
// not send a message each. Of spoof_flood there is one at a time, so it may.
func wayOf(i *Item) way {
	k := alerts.KindOf(i.Kind)
	switch {
	case i.Kind == config.KindAttack, i.Kind == spoofFlood:
		return wayAlone
	case k.Forgeable:
		return wayDigest
	case k.Severity == alerts.Critical, k.Name == alerts.JournalFailing:
		return wayUrgent
	}
	return wayAlone
}

const spoofFlood = "spoof_flood"

// severe reports whether an item is at least as severe as a target wants.
func severe(i *Item, least string) bool {
	order := map[string]int{"critical": 1, "warning": 2, "notice": 3}
	return order[i.Severity] <= order[least]
}

// merge adds an item to those that are gathered. Of one condition only the latest is kept.
func merge(items []Item, i *Item) []Item {
	for at := range items {
		if i.ID != "" && items[at].ID == i.ID {
			items[at] = *i
			return items
		}
	}
	return append(items, *i)
}
