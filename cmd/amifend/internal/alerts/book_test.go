package alerts_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
	"github.com/amifend/amifend/policy"
)

const kind = "misconfigured_endpoint"

// hostile is an account that would make lines and columns of its own, were it not quoted.
var hostile = ami.Quote([]byte("10\r\n\t\x1b[31m\"1"))

func phone(account string) (string, alerts.Alert) {
	return alerts.Key(kind, "192.0.2.1", "pbx", account), alerts.Alert{
		Kind: kind, Source: "192.0.2.1", Account: account, Server: "pbx", Text: "why", Do: "do",
	}
}

// Every kind that the policy alerts of is described, and its conditions end when it forgets them.
func TestKindsAreThoseOfThePolicy(t *testing.T) {
	known := map[string]alerts.Kind{}
	for _, k := range alerts.Kinds() {
		known[k.Name] = k
	}
	for _, r := range policy.Rules() {
		k, ok := known[r.Name]
		if r.Alert && !ok {
			t.Errorf("%s is not described", r.Name)
		}
		if r.Alert && (k.Quiet != 0) != r.Lasts {
			t.Errorf("%s: lasts %v, and ends after %v without news", r.Name, r.Lasts, k.Quiet)
		}
	}
	for _, k := range alerts.Kinds() {
		if k.Severity < alerts.Critical || k.Severity > alerts.Notice {
			t.Errorf("%s has no severity", k.Name)
		}
	}
}

// A condition is told when it begins, hourly while it goes on, and when it is over, with how long
// it took.
func TestConditionIsToldHourly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		said, log := logtest.New()
		b := alerts.New(alerts.Options{Log: log})
		key, a := phone(hostile)
		for range 3*60 + 1 {
			b.Raise(key, a, alerts.Span{})
			time.Sleep(time.Minute)
		}
		said.Count(t, 4, "alert", "")
		open := b.Open()
		if len(open) != 1 || open[0].Count != 181 || open[0].Last.Sub(open[0].Since) != 3*time.Hour {
			t.Fatalf("open: %+v", open)
		}

		b.Resolve(key, alerts.Span{})
		b.Resolve(key, alerts.Span{}) // nothing is left to end
		l := said.Count(t, 1, "alert resolved", "")[0]
		if l.Text("lasted") != "3h0m0s" || l.Text("kind") != kind || l.Text("id") != open[0].ID() ||
			strings.ContainsAny(l.Text("account"), "\r\n\t\x1b") || len(b.Open()) != 0 {
			t.Errorf("%v, open %+v", l, b.Open())
		}
	})
}

// A condition without news is over after the time of its kind, which the daemon's parts need not
// tell.
func TestConditionWithoutNewsEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		said, log := logtest.New()
		b := alerts.New(alerts.Options{Log: log})
		b.Raise("hidden", alerts.Alert{Kind: alerts.SourcesHidden, Text: "x"}, alerts.Span{})
		b.Raise("down", alerts.Alert{Kind: alerts.ServerDown, Text: "x"}, alerts.Span{})
		time.Sleep(alerts.KindOf(alerts.SourcesHidden).Quiet - time.Second)
		b.Expire(time.Now())
		said.Count(t, 0, "alert resolved", "")
		time.Sleep(time.Second)
		b.Expire(time.Now())
		said.Count(t, 1, "alert resolved", "")
		if open := b.Open(); len(open) != 1 || open[0].Key != "down" {
			t.Errorf("open: %+v", open)
		}
	})
}

// Many conditions of a kind take no room of another, and the worst come first.
func TestOpenConditionsAreBounded(t *testing.T) {
	b := alerts.New(alerts.Options{Log: slog.New(slog.DiscardHandler)})
	for i := range 1000 {
		key, a := phone(fmt.Sprint(i))
		b.Raise(key, a, alerts.Span{})
	}
	b.Raise("down", alerts.Alert{Kind: alerts.ServerDown, Text: "x"}, alerts.Span{})
	open := b.Open()
	if len(open) > 200 || open[0].Key != "down" {
		t.Errorf("%d are open, the first is %s", len(open), open[0].Key)
	}
}

// run is a book with a journal in a directory, as one run of the daemon has it.
func run(t *testing.T, dir string, log *slog.Logger) (*alerts.Book, *journal.Journal, func()) {
	t.Helper()
	var b *alerts.Book
	j := journal.New(journal.Options{
		Directory: dir, Retain: 90 * 24 * time.Hour, MaxSize: 1 << 30, BanMax: time.Hour,
		MaxWaiting: 100, Log: slog.New(slog.DiscardHandler), Begun: func() { b.Rewrite() },
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	b = alerts.New(alerts.Options{Log: log, Journal: j})
	go func() { defer close(done); j.Run(ctx) }()

	if err := b.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b, j, func() {
		b.Save()
		if err := j.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		cancel()
		<-done
	}
}

// What was told survives a restart: it is not told as new, and it is resolved when it is over. What
// is ignored stays ignored, until an operator says otherwise.
func TestBookSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	said, log := logtest.New()
	key, a := phone(hostile)
	other, silent := phone("201")

	b, _, stop := run(t, dir, log)
	b.Raise(key, a, alerts.Span{})
	b.Raise(other, silent, alerts.Span{})
	if _, err := b.Ignore(alerts.ID(other), "root", "the old fax"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Ignore("00000000", "root", "x"); !errors.Is(err, alerts.ErrUnknown) {
		t.Errorf("ignored nothing: %v", err)
	}
	said.Count(t, 2, "alert", "")
	stop()

	b, _, stop = run(t, dir, log)
	if open := b.Open(); len(open) != 1 || open[0].Account != hostile || open[0].Count != 1 {
		t.Fatalf("open: %+v", open)
	}
	b.Raise(key, a, alerts.Span{})
	b.Raise(other, silent, alerts.Span{})
	said.Count(t, 2, "alert", "")
	b.Resolve(other, alerts.Span{})
	said.Count(t, 0, "alert resolved", "")
	b.Raise(other, silent, alerts.Span{}) // again, in silence
	said.Count(t, 2, "alert", "")
	b.Resolve(key, alerts.Span{})
	said.Count(t, 1, "alert resolved", "")
	stop()

	b, j, stop := run(t, dir, log)
	defer stop()
	ignored := b.Ignored()
	if len(ignored) != 1 || ignored[0].Note != "the old fax" || ignored[0].By != "root" ||
		ignored[0].ID() != alerts.ID(other) {
		t.Fatalf("ignored: %+v", ignored)
	}
	if _, err := b.Heed(ignored[0].ID()); err != nil {
		t.Fatal(err)
	}
	b.Save()
	if err := j.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(b.Ignored()) != 0 {
		t.Error("still ignored")
	}
	found, total, err := j.Alerts(t.Context(), kind, time.Now().Add(-time.Hour), 10)
	if err != nil || total != 2 || !slices.ContainsFunc(found, func(a journal.Alert) bool {
		return a.Key == key && a.Count == 2 && !a.Open()
	}) {
		t.Errorf("the journal has %+v, %v", found, err)
	}
}

// A journal that is lost and begun anew has the open conditions again, and what is ignored.
func TestBookOutlivesItsJournal(t *testing.T) {
	t.Parallel() // it waits most of the time
	dir := t.TempDir()
	_, log := logtest.New()
	key, a := phone(hostile)
	other, silent := phone("201")

	b, j, stop := run(t, dir, log)
	b.Raise(key, a, alerts.Span{})
	b.Raise(other, silent, alerts.Span{})
	if _, err := b.Ignore(alerts.ID(other), "root", "the old fax"); err != nil {
		t.Fatal(err)
	}
	b.Save()
	if err := j.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}

	// Another file is in its place, of which nothing can be read.
	file := filepath.Join(dir, journal.File)
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o750),
		os.WriteFile(file, bytes.Repeat([]byte("garbage "), 10_000), 0o600)); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if aside, err := filepath.Glob(file + ".corrupt-*"); err == nil && len(aside) == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the journal was not begun anew")
		}
	}
	stop()

	b, _, stop = run(t, dir, log)
	defer stop()
	open, ignored := b.Open(), b.Ignored()
	if len(open) != 1 || open[0].Account != hostile || len(ignored) != 1 ||
		ignored[0].Note != "the old fax" {
		t.Errorf("open: %+v, ignored: %+v", open, ignored)
	}
}

// What is ignored is not among the latest alerts, and one that was reported before it was ignored
// gets its end in the journal. One that was ignored from its beginning leaves no trace.
func TestIgnoredConditionEnds(t *testing.T) {
	said, log := logtest.New()
	var rows journalRows
	b := alerts.New(alerts.Options{Log: log, Journal: &rows})
	key, a := phone("1001")
	b.Raise(key, a, alerts.Span{})
	if _, err := b.Ignore(alerts.ID(key), "uid 0", "known"); err != nil {
		t.Fatal(err)
	}
	if latest := b.Latest(); len(latest) != 0 {
		t.Errorf("latest: %+v", latest)
	}

	// Its first end is recorded and not logged. Its second life is ignored altogether.
	for range 2 {
		b.Resolve(key, alerts.Span{})
		b.Raise(key, a, alerts.Span{})
	}
	said.Count(t, 1, "alert", "")
	said.Count(t, 0, "alert resolved", "")
	if len(rows.alerts) != 2 || !rows.alerts[0].Open() || rows.alerts[1].Open() {
		t.Errorf("the journal has %+v", rows.alerts)
	}
}

// journalRows keeps the alerts that a book hands over.
type journalRows struct{ alerts []journal.Alert }

func (j *journalRows) Alert(a journal.Alert)                              { j.alerts = append(j.alerts, a) }
func (*journalRows) Save([]journal.Row) bool                              { return true }
func (*journalRows) State(context.Context, func(journal.Row) error) error { return nil }
func (*journalRows) OpenAlerts(context.Context) ([]journal.Alert, error)  { return nil, nil }
