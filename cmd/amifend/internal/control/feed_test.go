package control

import (
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/amifend/amifend/ami"
)

// attempt is an event that [Feed.Publish] takes.
func attempt() ami.Event {
	return ami.Event{
		Kind: ami.KindInvalidAccountID, Service: ami.ServicePJSIP, Transport: ami.TransportUDP,
		Source: netip.MustParseAddrPort("203.0.113.5:5060"), Account: []byte("100"),
	}
}

// TestFeedOfAStop: what came before the daemon stops is sent.
func TestFeedOfAStop(t *testing.T) {
	feed := new(Feed)
	socket := filepath.Join(shortDir(t), "s.sock")
	s, err := Listen(Options{Socket: socket, Log: slog.New(slog.DiscardHandler), Events: feed})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()

	events, err := NewClient(socket).Events(t.Context(), EventFilter{})
	if err != nil {
		stop()
		t.Fatal(err)
	}
	const sent = followerRoom
	ev := attempt()
	for range sent {
		feed.Publish("office", &ev)
	}
	stop()

	got := 0
	for e, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind != "" {
			got++
		}
	}
	if got != sent {
		t.Errorf("%d of %d events came", got, sent)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestScoresOfAFlood: the judge is asked for the scores of a few events, and never for those of a flood.
func TestScoresOfAFlood(t *testing.T) {
	var asked atomic.Int64
	s := Server{Options: Options{
		Scores: func(_ context.Context, addrs []netip.Addr) ([]Score, error) {
			asked.Add(1)
			return make([]Score, len(addrs)), nil
		},
	}}
	feed := new(Feed)
	f := feed.follow(eventFilter{})
	publish := func(n int) []Event {
		ev := attempt()
		for range n {
			feed.Publish("office", &ev)
		}
		events, _ := f.next(t.Context())
		s.score(t.Context(), events)
		return events
	}

	few := publish(3)
	if len(few) != 3 || few[2].Score == nil || asked.Load() != 1 {
		t.Errorf("%d events, asked %d times", len(few), asked.Load())
	}
	if many := publish(linesPart); len(many) != linesPart || many[0].Score != nil || asked.Load() != 1 {
		t.Errorf("a flood: %d events, asked %d times", len(many), asked.Load())
	}
}
