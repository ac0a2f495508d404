package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// shownBans is how many bans of a network are explained one by one.
const shownBans = 20

// networkReport is what is known of a network, in JSON.
type networkReport struct {
	Prefix  netip.Prefix  `json:"prefix"`
	Banned  bool          `json:"banned"`          // as a whole, or would be: see the state of the bans
	Bans    []control.Ban `json:"bans"`            // that overlap with it, some of them
	Matched int           `json:"matched"`         // all of them
	Score   *networkScore `json:"score,omitempty"` // absent: nothing is held against it
}

// networkScore is the score of a network, in the form of an explanation of its first address.
type networkScore struct {
	Prefix    netip.Prefix `json:"prefix"`
	Proven    float64      `json:"proven"`
	Forgeable float64      `json:"forgeable"`
	Limit     float64      `json:"limit"`
	Suspects  float64      `json:"suspects"`
	Offenders int          `json:"offenders"`
	Proved    bool         `json:"proved"`
}

// network explains a network: whether it is banned as a whole, and which of its addresses are.
func (c *Explain) network(ctx context.Context, client *control.Client, on screen.Screen) error {
	// In this order, bans that cover the network come first.
	l, err := client.Bans(ctx, control.BanQuery{
		Within: c.Whom.Prefix, Sort: "source", Limit: shownBans,
	})
	if err != nil {
		return err
	}

	// An explanation has the scores of the networks that the engine judges: /24, /64, /56 and /48.
	x, err := client.Explain(ctx, c.Whom.Addr())
	if err != nil {
		return err
	}
	var detail struct {
		Prefixes []networkScore `json:"prefixes"`
	}
	if err := json.Unmarshal(x.Detail, &detail); err != nil {
		return fmt.Errorf("read the explanation of %s: %w", c.Whom.Addr(), err)
	}

	r := networkReport{Prefix: c.Whom.Prefix, Bans: nonNil(l.Bans), Matched: l.Matched}
	for _, b := range l.Bans {
		r.Banned = r.Banned || covers(b.Prefix, r.Prefix)
	}
	for i, s := range detail.Prefixes {
		if s.Prefix == r.Prefix && s.Proven+s.Forgeable > 0 {
			r.Score = &detail.Prefixes[i]
		}
	}
	if c.JSON {
		return printJSON(r)
	}

	style := screen.Bold
	if r.Banned && !dryBans(r.Bans) {
		style = screen.Bad
	}
	_, err = fmt.Print(on.Wrap(on.First(style, networkText(r, zone(client.Zone), time.Now()))))
	return err
}

// covers reports whether a prefix contains the whole of another one.
func covers(outer, inner netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

// dryBans reports whether nothing is dropped for bans, because the daemon bans nobody.
func dryBans(list []control.Ban) bool {
	return len(list) > 0 && list[0].State == control.StateDry
}

// networkText returns what is known of a network, for people.
func networkText(r networkReport, zone *time.Location, now time.Time) string {
	is, are := "is", "are"
	if dryBans(r.Bans) {
		is, are = "would be", "would be"
	}

	var b strings.Builder
	switch {
	case r.Banned:
		var until time.Time
		for _, ban := range r.Bans {
			if covers(ban.Prefix, r.Prefix) && ban.Until.After(until) {
				until = ban.Until
			}
		}
		fmt.Fprintf(&b, "%s %s banned as a whole until %s\n", r.Prefix, is, until.In(zone).Format(stamp))
	case r.Matched > 0:
		fmt.Fprintf(&b, "%s is not banned as a whole; %s in it %s banned\n", r.Prefix,
			wording.Count(r.Matched, "source"), are)
	default:
		fmt.Fprintf(&b, "%s is not banned, and no address in it is\n", r.Prefix)
	}

	if s := r.Score; s != nil {
		fmt.Fprintf(&b, "  score:   %.2f of %g, from about %.0f of its addresses or parts\n",
			s.Proven+s.Forgeable, s.Limit, s.Suspects)
		if s.Proved {
			b.WriteString("  proof:   phones log in from it, so only single addresses are banned\n")
		}
	}
	for _, ban := range r.Bans {
		fmt.Fprintf(&b, "  %s %s banned (%s, by %s), %s more\n", bans.Source(ban.Prefix), is,
			ban.Scope, ban.Rule, rough(ban.Until.Sub(now)))
	}

	if more := r.Matched - len(r.Bans); more > 0 {
		fmt.Fprintf(&b, "  and %d more: amifend bans %s\n", more, r.Prefix)
	}
	if r.Matched > 0 {
		fmt.Fprintf(&b, "  undo:    amifend unban %s\n", r.Prefix)
	}
	return b.String()
}
