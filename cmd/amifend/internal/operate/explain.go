package operate

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/explain"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
)

// explainPast limits how many past bans and alerts an explanation shows.
const explainPast = 10

// Scores returns the scores of sources, in their order.
func (s *Service) Scores(ctx context.Context, addrs []netip.Addr) ([]control.Score, error) {
	known, err := s.Judge.Scores(ctx, addrs)
	if err != nil {
		return nil, Refusal(err)
	}
	scores := make([]control.Score, 0, len(known))
	for _, k := range known {
		scores = append(scores, control.Score{Score: k.Score, Limit: k.Limit})
	}
	return scores, nil
}

// Explain returns all that is known of an address.
func (s *Service) Explain(ctx context.Context, addr netip.Addr) (control.Explanation, error) {
	known, err := s.Judge.Explain(ctx, addr)
	if err != nil {
		return control.Explanation{}, Refusal(err)
	}

	// A listed address is dropped whatever the engine says, so that comes first.
	var text strings.Builder
	out := control.Explanation{Denied: s.deniedBy(addr)}
	if out.Denied != "" {
		fmt.Fprintf(&text, "%s is always dropped: listed in %s; to let it in, take it out there "+
			"and run amifend reload, or run amifend allow %[1]s\n", addr, out.Denied)
	}

	if out.Feed = s.feedOf(addr); out.Feed != "" {
		fmt.Fprintf(&text, "%s is dropped: the feed %s lists it; to let it in, run amifend allow "+
			"%[1]s\n", addr, out.Feed)
	}

	out.Origin = s.originOf(ctx, addr, explainTime)
	options := explain.Options{
		Origin:  out.Origin.String(),
		Servers: known.Servers, Location: control.Zone(ctx),
		Dry: s.Config().Dry() || known.Trial != nil && known.Trial.Over,
	}
	if err := explain.Text(&text, known.Explanation, options); err != nil {
		return control.Explanation{}, fmt.Errorf("tell of %s: %w", addr, err)
	}

	if known.Trial != nil && known.Banned {
		text.WriteString(explain.Item("trial", trialLine(known.Trial)) + "\n")
	}

	limited, line := s.explainLimited(ctx, addr)
	out.Limited = limited
	text.WriteString(line)

	// The text is for people, the detail for programs. Both show the same moment.
	detail, err := json.Marshal(explain.New(known.Explanation, known.Servers))
	if err != nil {
		return control.Explanation{}, fmt.Errorf("tell of %s: %w", addr, err)
	}

	out.Text = text.String()
	out.Detail = detail
	out.Observed = options.Dry

	// What is in force comes from the enforcer, and what is over from the journal.
	if out.Bans, err = s.bansOf(ctx, addr); err != nil {
		return out, err
	}
	out.Past, out.Alerts = s.pastOf(ctx, addr)
	return out, nil
}

// pastOf returns the latest bans that covered an address, and the latest alerts about it. Without
// an answer of the journal there are none: the status shows what is wrong with it.
func (s *Service) pastOf(
	ctx context.Context, addr netip.Addr,
) (past []control.PastBan, alerts []control.Alert) {
	err := s.readPast(ctx, addr, func(ctx context.Context, j *journal.Journal) error {
		found, err := j.History(ctx, addr, explainPast)
		if err != nil {
			return err
		}

		past = pastBans(found)
		logged, _, err := j.AlertsOf(ctx, addr, "", time.Time{}, explainPast)
		alerts = s.pastAlerts(logged)
		return err
	})
	if err != nil {
		s.Log.Debug("control: the past is not known", "err", err)
	}

	return past, alerts
}
