package operate

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce"
	"github.com/amifend/amifend/cmd/amifend/internal/judge"
	"github.com/amifend/amifend/firewall"
)

// longestReason limits how many bytes an operator may write about a ban.
const longestReason = 200

// notWritten is the note on a ban that the journal does not have.
const notWritten = "the journal does not have it yet: after a crash or a reboot now it may be " +
	"lost (amifend status)"

// Ban bans for an operator, and returns what the kernel has of it. It remembers what was banned
// before, for [Service.Undo].
func (s *Service) Ban(
	ctx context.Context, by control.Peer, news []control.NewBan,
) ([]control.BanResult, error) {
	before := make([][]control.Ban, len(news))
	for i, b := range news {
		if !b.Import { // an import is not undone: it may hold a thousand
			before[i] = s.bansNow(ctx, b.Prefix)
		}
	}

	results, err := s.makeBans(ctx, by, news)
	for i, r := range results {
		if r.Error == nil && !news[i].Import {
			s.remember(by, "ban", bans.Source(r.Prefix), s.undoBan(r.Prefix, before[i]))
		}
	}
	return results, err
}

// makeBans bans, and returns what the kernel has of it.
func (s *Service) makeBans(
	ctx context.Context, by control.Peer, news []control.NewBan,
) ([]control.BanResult, error) {
	results := make([]control.BanResult, 0, len(news))
	var wanted []bans.Key

	for _, b := range news {
		r, err := s.impose(ctx, by, b)
		if err != nil {
			return nil, Refusal(err)
		}

		if r.Error == nil {
			wanted = append(wanted, keyOf(r))
		}
		results = append(results, r)
	}

	// What an operator did is recorded before the kernel answers, since it is decided already.
	for i, r := range results {
		if r.Error == nil {
			s.record(by, "ban", bans.Source(r.Prefix)+" "+r.Scope, news[i].Reason)
		}
	}

	flushed, err := s.Enforcer.Flush(ctx, wanted...)
	if err != nil {
		return nil, Refusal(err)
	}

	// A ban that the trial only watches has its state already.
	for i := range results {
		if r := &results[i]; r.Error == nil && r.State == "" {
			r.State = stateName(flushed.States[keyOf(*r)])
		}
	}

	// The kernel has the bans, but a reboot would lose those that the journal has not written.
	if len(wanted) > 0 && !s.isWritten(ctx) {
		for i := range results {
			if r := &results[i]; r.Error == nil {
				r.Note = joined(r.Note, notWritten)
			}
		}
	}

	return results, nil
}

func keyOf(r control.BanResult) bans.Key {
	return bans.Key{Prefix: r.Prefix, Scope: bans.ScopeNamed(r.Scope)}
}

// impose asks the engine for one ban. It returns an error only if the engine does not answer.
func (s *Service) impose(
	ctx context.Context, by control.Peer, b control.NewBan,
) (control.BanResult, error) {
	d, bad := s.checkBan(&b)
	if bad != nil {
		out := control.BanResult{Prefix: b.Prefix, Scope: b.Scope, Error: bad}
		return out, nil //nolint:nilerr // it is the result
	}

	why := by.String()
	if b.Reason != "" {
		why += ": " + ami.Quote([]byte(b.Reason))
	}

	imposed, err := s.Judge.Impose(ctx, judge.Imposition{
		Prefix: b.Prefix, Scope: bans.ScopeNamed(b.Scope), For: d, Import: b.Import,
		By: by.String(), Why: why,
	})
	if err != nil {
		return control.BanResult{}, err
	}

	return imposeResult(b, imposed), nil
}

func imposeResult(b control.NewBan, imposed judge.Imposed) control.BanResult {
	out := control.BanResult{Prefix: b.Prefix, Scope: b.Scope, Until: imposed.Until}

	// An import may have found a ban of a larger scope, which stays.
	if imposed.Scope != 0 {
		out.Scope = imposed.Scope.String()
	}
	if imposed.Observed {
		out.State = control.StateDry
	}
	if imposed.Shortened {
		out.Note = "the trial ends then: amifend keep gives the ban its whole time"
	}

	// Each ban of a list has its own outcome: one that is refused does not stop the others.
	if imposed.Protected != "" {
		out.Error = control.Errorf(control.CodeProtected, "%s must not be banned: %s",
			bans.Source(b.Prefix), bans.Printable(imposed.Protected)).
			Advise("amifend allow --list shows all that is never banned")
	}
	if imposed.Err != nil {
		out.Error = control.Errorf(control.CodeFailed, "%s", imposed.Err).
			Advise("amifend status; if there is no room, raise [firewall] max_bans and " +
				"restart amifend")
	}

	return out
}

// checkBan returns how long a ban is to last.
func (s *Service) checkBan(b *control.NewBan) (time.Duration, *control.Error) {
	bad := func(format string, args ...any) (time.Duration, *control.Error) {
		return 0, control.Errorf(control.CodeBadRequest, format, args...)
	}

	p := s.Config().Policy
	d := time.Duration(b.For * float64(time.Second))

	// Only what the kernel has a set for can be banned.
	switch bits := firewall.SupportedBits(b.Prefix.Addr().Is6()); {
	case !b.Prefix.IsValid() || b.Prefix != b.Prefix.Masked() || b.Prefix.Addr().Is4In6():
		return bad("prefix: %v is not a prefix", b.Prefix)
	case !slices.Contains(bits, b.Prefix.Bits()):
		return bad("%s: a prefix of this length cannot be banned; those of %s can; amifend "+
			"deny add takes any",
			b.Prefix, lengths(bits))
	case bans.ScopeNamed(b.Scope) == 0:
		return bad("scope: write all or sip")
	case len(b.Reason) > longestReason:
		return bad("reason: is longer than %d bytes", longestReason)
	case b.Import && b.For > p.BanMax.Seconds(): // which a list from elsewhere cannot know
		return p.BanMax, nil
	case b.For == 0:
		return min(p.BanTime, p.BanMax), nil
	case !(b.For >= 1 && b.For <= p.BanMax.Seconds()): // also not a number
		return bad("a ban may last from a second to [policy] ban_max, which is %s", days(p.BanMax))
	}

	return d, nil
}

// lengths writes lengths of prefixes as people do: /32, /24.
func lengths(bits []int) string {
	out := make([]string, 0, len(bits))
	for _, b := range bits {
		out = append(out, "/"+strconv.Itoa(b))
	}
	return strings.Join(out, ", ")
}

// days writes a duration as the config does, such as 30d or 1d12h0m0s.
func days(d time.Duration) string {
	n, rest := d/(24*time.Hour), d%(24*time.Hour)
	switch {
	case n == 0:
		return d.String()
	case rest == 0:
		return fmt.Sprintf("%dd", n)
	default:
		return fmt.Sprintf("%dd%s", n, rest)
	}
}

// stateName returns the state of a ban as the API has it.
func stateName(s enforce.State) string {
	switch s {
	case enforce.InKernel:
		return control.StateInKernel
	case enforce.Waiting:
		return control.StateWaiting
	case enforce.Observed:
		return control.StateDry
	case enforce.Pending:
	}

	return control.StatePending
}
