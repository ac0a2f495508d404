package operate

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// observeEnough is how long amifend should observe before it bans: in a day, all phones of an
// office have been in use.
const observeEnough = 24 * time.Hour

// observed returns what this observing daemon would have done; nil if its journal does not say so in
// time.
func (s *Service) observed(ctx context.Context) *control.Observed {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()

	var out *control.Observed
	err := s.readPast(ctx, netip.Addr{}, func(ctx context.Context, j *journal.Journal) error {
		o, err := j.Observed(ctx)
		if err == nil {
			out = &control.Observed{
				Since: o.Since, Sources: o.Sources, LoggedIn: o.LoggedIn, Examples: []string{},
			}
			for _, p := range o.Examples {
				out.Examples = append(out.Examples, bans.Source(p))
			}
		}
		return err
	})
	if err != nil {
		return nil // the health of the journal says why
	}
	return out
}

// unkeptWarning says that amifend observes although the config says to ban.
func unkeptWarning(t *config.Trial) control.Warning {
	what := "nobody is banned: the trial"
	if !t.Began.IsZero() {
		what += " of " + t.Began.Local().Format(stamp)
	}
	return control.Warning{
		About: "policy",
		What:  what + " was not kept; the config still says observe = false, and amifend observes",
		Do: "sudo amifend keep begins to ban; sudo amifend enforce --put-back writes observe = true " +
			"into the config again",
	}
}

// observeWarning says what observing has shown, and how to begin to ban.
func observeWarning(o *control.Observed, now time.Time) control.Warning {
	const begin = "sudo amifend enforce begins to ban, on trial for ten minutes"
	w := control.Warning{About: "policy", What: "nobody is banned: observe is on", Do: begin}
	switch {
	case o == nil:
		return w
	case o.Sources == 0:
		w.What += "; nobody would have been banned so far"
		w.Do = "let it observe for a day; then " + begin
		return w
	}

	w.What += fmt.Sprintf("; %s would have been banned since %s, and ",
		wording.Count(o.Sources, "source"), o.Since.Local().Format(stamp))
	switch {
	case o.LoggedIn > 0:
		first := strings.Fields(o.Examples[0])[0]
		w.What += fmt.Sprintf("%d of them logged in at some time: %s", o.LoggedIn,
			strings.Join(o.Examples, ", "))
		w.Do = "amifend explain " + strings.Split(first, "/")[0] +
			" says why; if it is a friend, allow it; then " + begin
	case now.Sub(o.Since) < observeEnough:
		w.What += "none of them ever logged in"
		w.Do = "let it observe for a day; then " + begin
	default:
		w.What += "none of them ever logged in"
	}
	return w
}
