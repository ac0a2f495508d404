// Package alerts keeps what a person should know: events, which are reported once, and conditions,
// which last. A [Book] has the open conditions. It writes all alerts to the log and to the journal.
//
//	judge, enforce, daemon ── Event, Raise, Resolve ──→ Book ──→ log, journal
//	operate                ── Open, Latest, Ignore ───→ Book
//
// A condition has a key. Raise opens it, or notes that it goes on, which is reported hourly at
// most. Resolve ends it. Open conditions survive a restart: see [Book.Load].
package alerts

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/journal"
)

const (
	// toldEvery is the shortest time between two lines about one condition.
	toldEvery = time.Hour

	// mostOpen bounds the open conditions of a kind. The policy has 100 of a kind and a line about
	// the rest.
	mostOpen = 128
)

// Journal is the part of the journal that a Book needs. [journal.Journal] implements it.
type Journal interface {
	ignoredRows
	Alert(a journal.Alert)
}

// Options configure a [Book].
type Options struct {
	Log     *slog.Logger // must not block
	Journal Journal      // nil: nothing survives a restart
	// Listen is called for each event, and when a condition begins or is over, unless it is ignored. It
	// must neither block nor call the book; nil: nobody listens.
	Listen func(Phase, Condition)
}

// Phase is what a listener learns of an alert.
type Phase string

// The phases of an alert.
const (
	PhaseEvent    Phase = "event"
	PhaseBegin    Phase = "begin"
	PhaseResolved Phase = "resolved"
)

// Alert is an alert as its finder passes it on.
type Alert struct {
	Kind    string
	Source  string // address or prefix; "" for none
	Account string // as ami.Quote prints it; "" for none
	Server  string // "" for none
	Text    string // why; an attacker's bytes are quoted in it
	Do      string // what to do about it; "" if there is nothing
	Attrs   []any  // further attributes of the log's line
	// the finder logs it itself: only the end of a condition is logged
	Logged bool
}

// Span is the time of a condition as its finder knows it.
type Span struct {
	Since, Last time.Time
	Count       int // how often it was noticed
}

// Condition is an open condition.
type Condition struct {
	Alert
	Span
	Key string
}

// ID returns the short name by which operators name a condition.
func (c *Condition) ID() string { return ID(c.Key) }

// ID returns the short name of the condition of a key; "" for no key.
func ID(key string) string {
	if key == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:4])
}

// Key returns the key of a condition from what it is about. No part holds a tab: an account is
// quoted, and the others are names of the config or addresses.
func Key(kind string, about ...string) string {
	return strings.Join(append([]string{kind}, about...), "\t")
}

// Book owns the open conditions. Its methods may be called from any goroutine, and never wait for
// the disk or the network.
type Book struct {
	log     *slog.Logger
	journal Journal
	listen  func(Phase, Condition)

	mu       sync.Mutex // judge, enforcer, daemon and operators
	open     map[string]*told
	counts   map[string]int    // of open, by kind
	reported map[string]uint64 // by kind
	latest   map[string]*Seen
	ignored  *journal.Records[string, Ignored] // what operators silenced
}

// told is an open condition.
type told struct {
	Condition
	at       time.Time // when it was reported last
	recorded bool      // the journal has it as open
}

// New returns a book without conditions.
func New(o Options) *Book {
	if o.Listen == nil {
		o.Listen = func(Phase, Condition) {}
	}
	return &Book{
		log: o.Log, journal: o.Journal, listen: o.Listen,
		open: make(map[string]*told), counts: make(map[string]int),
		reported: make(map[string]uint64),
		latest:   make(map[string]*Seen), ignored: newIgnored(),
	}
}

// Event logs and records an event.
func (b *Book) Event(a Alert) {
	b.mu.Lock()
	defer b.mu.Unlock()

	now := time.Now()
	b.saw("", a, now)
	b.logAlert(&a, nil)
	b.listen(PhaseEvent, Condition{Alert: a, Span: Span{Since: now, Last: now, Count: 1}})
	if b.journal != nil {
		b.journal.Alert(entry(&a, "", Span{Since: now, Last: now, Count: 1}))
	}
}

// Raise opens a condition, or notes that it goes on. The zero Span means that it was noticed once
// more, now. It does nothing if 128 conditions of the kind are open already: the policy and the
// enforcer bound theirs below that, and there are seldom as many servers.
func (b *Book) Raise(key string, a Alert, s Span) {
	b.mu.Lock()
	defer b.mu.Unlock()

	now := time.Now()
	t, isNew := b.open[key], false
	if t == nil {
		if b.counts[a.Kind] >= mostOpen {
			return // see mostOpen
		}
		isNew = true
		t = &told{Condition: Condition{Key: key, Span: Span{Since: now}}}
		b.open[key] = t
		b.counts[a.Kind]++
	}

	t.Alert = a
	t.note(s, now)
	if !isNew && now.Sub(t.at) < toldEvery {
		return
	}
	t.at = now
	b.tell(t, isNew)
}

// note takes over the time of a condition.
func (t *told) note(s Span, now time.Time) {
	if s == (Span{}) {
		t.Last = now
		t.Count++
		return
	}

	// After a restart the finder may have begun to count anew: the earlier beginning and the larger
	// count stay.
	if t.Since.IsZero() || s.Since.Before(t.Since) {
		t.Since = s.Since
	}
	t.Last = s.Last
	t.Count = max(t.Count, s.Count)
}

// tell logs and records that a condition began or goes on.
func (b *Book) tell(t *told, isNew bool) {
	if b.ignored.Has(t.Key) {
		return
	}

	phase := "update"
	if isNew {
		b.saw(t.Key, t.Alert, time.Now())
		phase = "begin"
		b.listen(PhaseBegin, t.Condition)
	}
	b.logAlert(&t.Alert, []any{
		"phase", phase, "id", t.ID(), "since", stamp(t.Since), "count", t.Count,
	})
	b.record(t, time.Time{})
	t.recorded = true
}

// Resolve ends a condition, if it is open. The zero Span means that it was not noticed since the
// last call of Raise.
func (b *Book) Resolve(key string, s Span) { b.end(key, s, "") }

// Yield takes a condition out of those that are reported one by one, since a worse one took its
// place. It goes on.
func (b *Book) Yield(key string, s Span) {
	b.end(key, s, "; it goes on, and is counted with the others")
}

func (b *Book) end(key string, s Span, note string) {
	b.mu.Lock()
	defer b.mu.Unlock()

	if t := b.open[key]; t != nil {
		if s != (Span{}) {
			t.note(s, time.Now())
		}
		b.close(t, note)
	}
}

// close ends an open condition.
func (b *Book) close(t *told, note string) {
	delete(b.open, t.Key)
	b.counts[t.Kind]--
	t.Text += note

	// One that was ignored from the beginning leaves no trace. One that was reported before has an
	// end in the journal, else it would be open there for ever.
	if t.recorded {
		b.record(t, time.Now())
	}
	if b.ignored.Has(t.Key) {
		return
	}
	b.listen(PhaseResolved, t.Condition)
	b.log.Info("alert resolved", append(t.attrs(),
		"id", t.ID(), "since", stamp(t.Since), "last", stamp(t.Last),
		"lasted", t.Last.Sub(t.Since).Round(time.Second).String(), "count", t.Count)...)
}

// record hands a condition to the journal. ended is zero while it goes on.
func (b *Book) record(t *told, ended time.Time) {
	if b.journal == nil {
		return
	}
	e := entry(&t.Alert, t.Key, t.Span)
	e.Ended = ended
	b.journal.Alert(e)
}

// Rewrite hands to a journal that was begun anew what it must have: the open conditions, and what is
// ignored. It does not wait. What the journal has no room for comes with the next call of Save.
func (b *Book) Rewrite() {
	b.mu.Lock()
	for _, t := range b.open {
		if !b.ignored.Has(t.Key) {
			b.record(t, time.Time{})
		}
	}
	b.ignored.SaveAnew()
	b.mu.Unlock()
	b.Save()
}

// entry returns an alert as the journal has it.
func entry(a *Alert, key string, s Span) journal.Alert {
	kind := KindOf(a.Kind)
	return journal.Alert{
		At: s.Since, Kind: a.Kind, Source: a.Source, Account: a.Account, Server: a.Server,
		Text: a.Text, Do: a.Do, Key: key, Seen: s.Last, Count: s.Count,
		Severity: int(kind.Severity), Forgeable: kind.Forgeable,
	}
}

// logAlert logs an alert. The attributes of the line are an API: those of a condition come after
// those of all alerts.
func (b *Book) logAlert(a *Alert, condition []any) {
	if a.Logged {
		return
	}
	attrs := append(a.attrs(), a.Attrs...)
	attrs = append(attrs, "reason", a.Text, "do", a.Do,
		"severity", KindOf(a.Kind).Severity.String())
	b.log.Error("alert", append(attrs, condition...)...)
}

// attrs returns the attributes that name the subject of an alert.
func (a *Alert) attrs() []any {
	out := []any{"kind", a.Kind, "source", a.Source}
	if a.Account != "" {
		// Without the quotation marks: slog adds its own.
		out = append(out, "account", strings.TrimSuffix(strings.TrimPrefix(a.Account, `"`), `"`))
	}
	if a.Server != "" {
		out = append(out, "server", a.Server)
	}
	return out
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Expire ends the conditions that had no news for as long as their kind allows. It is called about
// once a minute.
func (b *Book) Expire(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()

	for _, t := range b.open {
		if quiet := KindOf(t.Kind).Quiet; quiet != 0 && now.Sub(t.Last) >= quiet {
			b.close(t, "")
		}
	}
}

// Open returns the open conditions that are not ignored, the worst first, and of one severity the
// latest first.
func (b *Book) Open() []Condition {
	b.mu.Lock()
	defer b.mu.Unlock()

	var out []Condition
	for _, t := range b.open {
		if !b.ignored.Has(t.Key) {
			out = append(out, t.Condition)
		}
	}
	slices.SortFunc(out, func(x, y Condition) int {
		return cmp.Or(cmp.Compare(KindOf(x.Kind).Severity, KindOf(y.Kind).Severity),
			y.Since.Compare(x.Since), cmp.Compare(x.Key, y.Key))
	})
	return out
}

// Keys returns the keys of the open conditions of a kind.
func (b *Book) Keys(kind string) (out []string) {
	b.mu.Lock()
	defer b.mu.Unlock()

	for key, t := range b.open {
		if t.Kind == kind {
			out = append(out, key)
		}
	}
	return out
}
