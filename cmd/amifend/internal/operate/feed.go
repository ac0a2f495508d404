package operate

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/feed"
	"github.com/amifend/amifend/firewall"
)

// mostFeedSpared bounds the spared prefixes of a feed in an answer.
const mostFeedSpared = 50

// Feeds returns the state of the feeds.
func (s *Service) Feeds(ctx context.Context) (control.Feeds, error) {
	states := s.feedStates(ctx)
	if states == nil {
		states = []control.FeedState{}
	}
	return control.Feeds{Feeds: states}, nil
}

// feedStates returns the state of the feeds. It takes a second at most.
func (s *Service) feedStates(ctx context.Context) (out []control.FeedState) {
	if s.Keeper == nil {
		return nil
	}
	all := s.Keeper.Status()
	if len(all) == 0 {
		return nil
	}

	dry := s.Config().Dry()
	kernel := s.Feeder.Status()
	var dropped map[string]firewall.Denied
	if !dry && !kernel.Held {
		ctx, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		dropped = s.Feeder.Dropped(ctx)
	}

	for _, f := range all {
		st := control.FeedState{
			Name: f.Name, Kind: f.Kind, State: f.State, Kernel: control.StateInKernel,
			Prefixes: f.Prefixes, Ignored: f.Ignored, Bad: f.Bad, BadLines: f.BadLines,
			Fetched: f.Fetched.UTC(), Age: f.Age.Round(time.Second).Seconds(), Next: f.Next.UTC(),
			Problem: f.Problem, Disk: bans.Printable(f.Disk), Waiting: f.Waiting, Why: f.Why,
		}

		cut := kernel.Cuts[f.Name]
		switch {
		case dry:
			st.Kernel = control.StateDry
		case kernel.Held:
			st.Kernel = control.StateTrial
		case kernel.Err != nil || cut == nil:
			st.Kernel = control.StatePending
		}
		if cut != nil {
			st.Ranges = len(cut.Set.Ranges())
			st.SparedMore = max(len(cut.Out)-mostFeedSpared, 0)
			for _, e := range cut.Out[:min(len(cut.Out), mostFeedSpared)] {
				st.Spared = append(st.Spared,
					control.Spared{Prefix: bans.Source(e.Prefix), Reason: bans.Printable(e.Reason)})
			}
		}
		if d, ok := dropped[f.Name]; ok {
			st.Dropped = &d.Packets
		}
		out = append(out, st)
	}
	return out
}

// AcceptFeed puts the list of a feed in force that waits.
func (s *Service) AcceptFeed(
	ctx context.Context, by control.Peer, q control.AcceptFeed,
) (control.FeedAccepted, error) {
	const list = "amifend feed list shows the feeds"
	n, err := s.Keeper.Accept(ctx, q.Name)
	var refusal *feed.RefusedError
	switch {
	case errors.Is(err, feed.ErrUnknown):
		return control.FeedAccepted{}, control.Errorf(control.CodeBadRequest,
			"the config in force has no [[feed]] of that name").Advise(list)
	case errors.Is(err, feed.ErrNothing):
		return control.FeedAccepted{}, control.Errorf(control.CodeBadRequest,
			"no list of that feed waits").Advise(list)
	case errors.As(err, &refusal):
		return control.FeedAccepted{}, control.Errorf(control.CodeFailed, "%s", refusal).
			Advise("remove another [[feed]], or take a shorter list")
	case err != nil:
		return control.FeedAccepted{}, Refusal(err)
	}

	s.record(by, "feed accept", q.Name, "")
	return control.FeedAccepted{Name: q.Name, Prefixes: n}, nil
}

// feedWarnings returns what is wrong with the feeds. An old list has a condition of its own.
func feedWarnings(feeds []control.FeedState) (out []control.Warning) {
	warn := func(f control.FeedState, what, do string) {
		out = append(out, control.Warning{About: "feed " + f.Name, What: what, Do: do})
	}
	for _, f := range feeds {
		if f.Waiting > 0 {
			warn(f, "a new list waits: "+f.Why, "look at it, then: amifend feed accept "+f.Name)
		}
		if f.Problem != "" {
			warn(f, "its list was not taken: "+f.Problem, "the list before stays in force; amifend goes "+
				"on trying")
		}
		if f.Disk != "" {
			warn(f, f.Disk, "the list is in force all the same; see whether the disk is full: df")
		}
	}
	return out
}

// feedOf returns the name of the feed that drops an address; "": none does.
func (s *Service) feedOf(addr netip.Addr) string {
	if s.Feeder == nil || s.Config().Dry() {
		return ""
	}
	return s.Feeder.Find(addr)
}
