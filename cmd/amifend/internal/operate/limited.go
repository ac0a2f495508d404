package operate

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/explain"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
	"github.com/amifend/amifend/firewall"
)

// mostLimited bounds the sources in an answer.
const mostLimited = 1000

// Limited returns who sent more than the limiter allows.
func (s *Service) Limited(ctx context.Context) (control.LimitedList, error) {
	out := control.LimitedList{Limiter: s.limiterState(), Sources: []control.Limited{}}
	found, err := s.Limiter.Limited(ctx)
	if err != nil {
		return out, fmt.Errorf("ask the kernel who is limited: %w", err)
	}

	slices.SortFunc(found, func(a, b firewall.Limited) int {
		return cmp.Or(cmp.Compare(b.Packets, a.Packets), a.Source.Compare(b.Source))
	})
	out.More = max(len(found)-mostLimited, 0)
	now := time.Now()
	for _, l := range found[:min(len(found), mostLimited)] {
		out.Sources = append(out.Sources, limitedOf(l, now))
	}
	return out, nil
}

func limitedOf(l firewall.Limited, now time.Time) control.Limited {
	return control.Limited{
		Source: l.Source, Dropped: l.Dropped, Packets: l.Packets,
		Last: now.Add(-l.Quiet).UTC().Truncate(time.Second),
	}
}

// limiterState returns the state of the limiter.
func (s *Service) limiterState() control.Limiter {
	st := s.Limiter.Status()
	out := control.Limiter{
		Mode: config.LimiterOff, Problem: st.Problem, Known: st.Known, Counts: control.Beyond{
			Dropped: st.Counts.Dropped, Passed: st.Counts.Passed,
			StrangersDropped: st.Counts.StrangersDropped, StrangersPassed: st.Counts.StrangersPassed,
		},
	}
	switch {
	case st.Drops:
		out.Mode = config.LimiterOn
	case st.On:
		out.Mode = config.LimiterObserve
	}
	return out
}

// limiterStatus adds the state of the limiter.
func (s *Service) limiterStatus(st *control.Status) {
	if s.Limiter == nil {
		return
	}
	state := s.limiterState()
	st.Limiter = &state
}

// explainLimited returns what the source of an address sent beyond the limits, and lines about it.
func (s *Service) explainLimited(
	ctx context.Context, addr netip.Addr,
) (out []control.Limited, text string) {
	if s.Limiter == nil {
		return nil, ""
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	found, err := s.Limiter.Of(ctx, addr)
	if err != nil {
		s.Log.Debug("control: it is not known whether an address is limited", "err", err)
	}

	for _, l := range found {
		out = append(out, limitedOf(l, time.Now()))
		verb := "would have dropped"
		if l.Dropped {
			verb = "dropped"
		}
		text += explain.Item("limiter", fmt.Sprintf("%s %s of %s beyond its limit, the last one %s "+
			"ago; no ban: to exempt it, run amifend allow %s", verb, wording.Count(l.Packets, "packet"),
			bans.Source(l.Source), l.Quiet.Round(time.Second), addr)) + "\n"
	}
	return out, text
}
