package app

import (
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/ami"
)

func TestBanOfAPrefixIsToldAsOne(t *testing.T) {
	b := Ban{Prefix: netip.MustParsePrefix("2001:db8::/64"), Score: 3.2549}
	var undo, score string
	for _, a := range b.attrs() {
		switch a := a.(slog.Attr); a.Key {
		case "undo":
			undo = a.Value.String()
		case "score":
			score = a.Value.String()
		}
	}
	if b.Source() != "2001:db8::/64" || undo != "amifend unban 2001:db8::/64" || score != "3.25" {
		t.Errorf("told as %s, %s, %s", b.Source(), undo, score)
	}
}

func TestSpool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		said, log := newJournal()
		ready := make(chan struct{})
		s := newSpool(stuck{log.Handler(), ready})
		l := slog.New(s)
		for i := range spoolLines + 101 {
			l.Info("line", "n", i)
			if i == 0 {
				synctest.Wait() // the goroutine holds this one: taken later, it would leave room for a later line
			}
		}
		l.WithGroup("g").With("server", "pbx").Info("lost too")
		close(ready)
		synctest.Wait()
		l.With("server", "pbx").WithGroup("g").Info("grouped", "k", "v")
		s.close()
		lines := said.said("line", "")
		if len(lines) != spoolLines+1 {
			t.Errorf("%d lines, want the one in hand and %d", len(lines), spoolLines)
		}
		for i, l := range lines {
			if l["n"] != float64(i) {
				t.Fatalf("line %d is %v", i, l)
			}
		}
		// The hundred that had no room, and the one of the group.
		lost := said.count(t, 1, "lines of this log are lost: they were not read fast enough", "")[0]
		if lost["lost"] != 101.0 {
			t.Errorf("lost %v, want 101", lost["lost"])
		}
		if g := said.count(t, 1, "grouped", "")[0]; g.text("server") != "pbx" || g.text("g") != "map[k:v]" {
			t.Errorf("said %v", g)
		}
	})
}

// The end does not wait for a log that nobody reads.
func TestSpoolEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, log := newJournal()
		ready := make(chan struct{})
		defer close(ready)
		s := newSpool(stuck{log.Handler(), ready})
		slog.New(s).Info("line")
		began := time.Now()
		s.close()
		if took := time.Since(began); took != spoolEnd {
			t.Errorf("took %s", took)
		}
	})
}

func TestVigil(t *testing.T) {
	const (
		forged  = "an event may have been forged: the rest of its packet came late"
		tainted = "most events of this PBX cannot be trusted and ban nobody but who injected text"
		stalled = "events had to wait for us"
	)
	said, log := newJournal()
	g := guard{log: log, gauge: new(gauge)}
	now := time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)
	var s ami.Status
	look := func() { now = now.Add(vigilEvery); g.look(now, s) }
	look()
	s.Decoder.Events[ami.KindInvalidAccountID] = 500
	s.Decoder.Tainted[ami.TaintDuplicate] = 499
	look()
	if said.String() != "" {
		t.Fatalf("said without a reason: %s", said)
	}

	s.Decoder.LateOrphans = 2
	look()
	look()
	if l := said.count(t, 1, forged, "")[0]; l.text("new") != "2" {
		t.Errorf("said %v", l)
	}
	s.Decoder.LateOrphans = 3
	look()
	if l := said.count(t, 2, forged, "")[1]; l.text("new") != "1" || l.text("in_all") != "3" {
		t.Errorf("said %v", l)
	}

	s.Decoder.Dropped[ami.TaintOrder] += 15 // too few yet
	look()
	said.count(t, 0, tainted, "")
	s.Decoder.Dropped[ami.TaintOrder] += 15
	s.Decoder.Events[ami.KindInvalidAccountID] += 5
	s.Decoder.Events[ami.KindUnknown] += 1000 // these are no evidence either way
	look()
	if l := said.count(t, 1, tainted, "")[0]; l.text("bad") != "30" || l.text("good") != "5" || l.text("mostly") != "order" || l.text("do") == "" {
		t.Errorf("said %v", l)
	}
	for range 100 {
		s.Decoder.Dropped[ami.TaintOrder] += 100
		look()
	}
	said.count(t, 1, tainted, "") // an hour's worth
	now = now.Add(time.Hour)
	s.Decoder.Dropped[ami.TaintOrder] += 100
	look()
	said.count(t, 2, tainted, "")

	s.Stalls, s.Stalled = 4, time.Second
	look()
	s.Stalls = 5
	look()
	if l := said.count(t, 1, stalled, "")[0]; l.text("stalls") != "4" {
		t.Errorf("said %v", l)
	}
}
