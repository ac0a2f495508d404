package cli

import (
	"context"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// day is what happened since midnight, by the clock and the zone of the command.
type day struct {
	Since time.Time `json:"since"`
	Bans  int       `json:"bans"` // those that a daemon that bans nobody would have made, if it is one
	// the latest of them; absent: there was none
	Last *lastBan `json:"last_ban,omitempty"`
	// packets that all bans dropped since the table was made; absent: unknown, or nothing is dropped
	Dropped *uint64 `json:"dropped,omitempty"`
}

// lastBan is the latest ban.
type lastBan struct {
	Source string    `json:"source"`
	At     time.Time `json:"at"`
}

// todayOf asks for the bans of today. It returns nil if the journal does not answer: the status must
// not fail for it. dry means that the daemon bans nobody.
func todayOf(ctx context.Context, client *control.Client, dry bool, now time.Time) *day {
	midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	r, err := client.Report(ctx, control.ReportQuery{
		Since: max(now.Sub(midnight), time.Second), Limit: 1,
	})
	if err != nil {
		return nil
	}

	// Before the change from observing, bans were counted that nobody felt.
	d := &day{Since: midnight, Bans: r.Bans.Made - r.Bans.Observed}
	if dry {
		d.Bans = r.Bans.Observed
	}
	if len(r.Latest) > 0 && r.Latest[0].Observed == dry {
		d.Last = &lastBan{bans.Source(r.Latest[0].Prefix), r.Latest[0].From}
	}

	if live, err := client.Live(ctx, 1); err == nil && !dry {
		d.Dropped = live.Counts.Dropped
	}
	return d
}

// text returns the bans of today in one line. word is the name of a ban.
func (d *day) text(word string) string {
	text := "today: " + wording.Count(d.Bans, word)
	if d.Last != nil {
		text += ", the last of " + d.Last.Source + " at " + d.Last.At.Local().Format("15:04:05 MST")
	}
	if d.Dropped != nil {
		text += "; " + wording.Count(*d.Dropped, "packet") + " dropped in all"
	}
	return text
}
