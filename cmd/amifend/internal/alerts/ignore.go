package alerts

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/journal"
)

// mostIgnored bounds the conditions that operators silence.
const mostIgnored = 1000

// Errors of [Book.Ignore] and [Book.Heed].
var (
	ErrUnknown = errors.New("no such condition")
	ErrFull    = errors.New("too many conditions are ignored")
)

// ignoredKey begins the keys of the journal's rows of what is ignored.
const ignoredKey = "ignore/"

// ignoredRows is the part of the journal that keeps what is ignored.
type ignoredRows interface {
	State(ctx context.Context, visit func(journal.Row) error) error
	// Save takes all of some rows or none, and does not wait.
	Save(rows []journal.Row) bool
	// OpenAlerts returns the conditions that were open when amifend stopped.
	OpenAlerts(ctx context.Context) ([]journal.Alert, error)
}

// Ignored is a condition that an operator silenced: it is not reported, neither now nor when it
// comes again.
type Ignored struct {
	Key     string    `json:"-"`
	Kind    string    `json:"kind"`
	Source  string    `json:"source,omitempty"`
	Account string    `json:"account,omitempty"` // as ami.Quote prints it
	Server  string    `json:"server,omitempty"`
	At      time.Time `json:"at"`
	By      string    `json:"by"`
	Note    string    `json:"note"` // fit to be printed
}

// ID returns the short name of the condition.
func (i *Ignored) ID() string { return ID(i.Key) }

// newIgnored returns what operators silenced, by the keys of the conditions.
func newIgnored() *journal.Records[string, Ignored] {
	return journal.NewRecords[string, Ignored](func(key string) string { return ignoredKey + key })
}

// Ignore silences the open condition of an ID. The caller calls Save.
func (b *Book) Ignore(id, by, note string) (Ignored, error) {
	b.mu.Lock()
	defer b.mu.Unlock()

	for key, t := range b.open {
		if ID(key) != id {
			continue
		}
		if b.ignored.Len() >= mostIgnored && !b.ignored.Has(key) {
			return Ignored{}, ErrFull
		}

		i := Ignored{
			Key: key, Kind: t.Kind, Source: t.Source, Account: t.Account, Server: t.Server,
			At: time.Now().Truncate(time.Second), By: by, Note: note,
		}
		b.ignored.Put(key, i)
		return i, nil
	}
	return Ignored{}, ErrUnknown
}

// Heed undoes Ignore. The condition is reported again, at once if it is open. The caller calls
// Save.
func (b *Book) Heed(id string) (Ignored, error) {
	b.mu.Lock()
	defer b.mu.Unlock()

	for key, i := range b.ignored.All() {
		if ID(key) != id {
			continue
		}
		b.ignored.Delete(key)
		if t := b.open[key]; t != nil {
			t.at = time.Now()
			b.tell(t, false)
		}
		return i, nil
	}
	return Ignored{}, ErrUnknown
}

// Ignored returns what operators silenced, the latest first.
func (b *Book) Ignored() []Ignored {
	b.mu.Lock()
	defer b.mu.Unlock()

	out := make([]Ignored, 0, b.ignored.Len())
	for _, i := range b.ignored.All() {
		out = append(out, i)
	}
	slices.SortFunc(out, func(x, y Ignored) int {
		return cmp.Or(y.At.Compare(x.At), cmp.Compare(x.Key, y.Key))
	})
	return out
}

// Save hands to the journal what it has not got of what is ignored. It does not wait.
func (b *Book) Save() {
	b.mu.Lock()
	defer b.mu.Unlock()

	if b.journal != nil {
		b.ignored.Save(b.journal.Save)
	}
}

// Load takes in what the journal has: what is ignored, and the conditions that were open when
// amifend stopped. It must be called before the first condition is raised.
func (b *Book) Load(ctx context.Context) error {
	if b.journal == nil {
		return nil
	}

	var found []Ignored
	err := b.journal.State(ctx, func(r journal.Row) error {
		key, ok := strings.CutPrefix(string(r.Key), ignoredKey)
		var i Ignored
		if ok && json.Unmarshal(r.Value, &i) == nil { // else somebody changed the row by hand
			i.Key = key
			found = append(found, i)
		}
		return nil
	})
	if err != nil {
		return err
	}
	open, err := b.journal.OpenAlerts(ctx)
	if err != nil {
		return err
	}

	b.mu.Lock()
	defer b.mu.Unlock()

	for _, i := range found[:min(len(found), mostIgnored)] {
		b.ignored.Adopt(i.Key, i)
	}

	// The journal may hold anything, so the bound applies here, too.
	for _, a := range open {
		if b.open[a.Key] != nil || b.counts[a.Kind] >= mostOpen {
			continue
		}
		b.counts[a.Kind]++
		b.open[a.Key] = &told{Condition: Condition{
			Key: a.Key, Span: Span{Since: a.At, Last: a.Seen, Count: a.Count},
			Alert: Alert{
				Kind: a.Kind, Source: a.Source, Account: a.Account, Server: a.Server,
				Text: a.Text, Do: a.Do,
			},
		}, at: a.Seen, recorded: true}
	}
	return nil
}
