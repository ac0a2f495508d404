package stream

import (
	"testing"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
)

func TestVigil(t *testing.T) {
	const (
		forged  = "an event may have been forged: the rest of its packet came late"
		tainted = "most events of this PBX cannot be trusted and ban nobody but who injected text"
		stalled = "events had to wait for us"
	)

	said, log := logtest.New()
	g := guard{log: log, gauge: new(gauge)}
	now := time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)
	var s ami.Status
	look := func() { now = now.Add(watchEvery); g.look(now, s) }
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
	if l := said.Count(t, 1, forged, "")[0]; l.Text("new") != "2" {
		t.Errorf("said %v", l)
	}

	s.Decoder.LateOrphans = 3
	look()
	if l := said.Count(t, 2, forged, "")[1]; l.Text("new") != "1" || l.Text("in_all") != "3" {
		t.Errorf("said %v", l)
	}

	s.Decoder.Dropped[ami.TaintOrder] += 15 // too few yet
	look()
	said.Count(t, 0, tainted, "")
	s.Decoder.Dropped[ami.TaintOrder] += 15
	s.Decoder.Events[ami.KindInvalidAccountID] += 5
	s.Decoder.Events[ami.KindUnknown] += 1000 // these are no evidence either way
	look()
	if l := said.Count(t, 1, tainted, "")[0]; l.Text("bad") != "30" || l.Text("good") != "5" ||
		l.Text("mostly") != "order" ||
		l.Text("do") == "" {
		t.Errorf("said %v", l)
	}

	for range 100 {
		s.Decoder.Dropped[ami.TaintOrder] += 100
		look()
	}

	said.Count(t, 1, tainted, "") // an hour's worth
	now = now.Add(time.Hour)
	s.Decoder.Dropped[ami.TaintOrder] += 100
	look()
	said.Count(t, 2, tainted, "")

	s.Stalls = 4
	s.Stalled = time.Second
	look()
	s.Stalls = 5
	look()
	if l := said.Count(t, 1, stalled, "")[0]; l.Text("stalls") != "4" {
		t.Errorf("said %v", l)
	}
}
