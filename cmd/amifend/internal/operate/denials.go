package operate

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/denials"
	"github.com/amifend/amifend/cmd/amifend/internal/denylist"
)

// DenyList returns what is denied by command.
func (s *Service) DenyList(context.Context) (control.DenyList, error) {
	out := control.DenyList{Entries: []control.DenyEntry{}, Config: len(s.Config().Deny)}
	all := s.Denials.All()
	for _, p := range slices.SortedFunc(maps.Keys(all), netip.Prefix.Compare) {
		out.Entries = append(out.Entries, denyEntry(p, all[p]))
	}
	return out, nil
}

func denyEntry(p netip.Prefix, d denials.Denial) control.DenyEntry {
	return control.DenyEntry{Prefix: p, By: d.By(), At: d.At, Note: d.Note}
}

// Deny denies prefixes for an operator, and returns when the kernel has them. A list that would cut
// off somebody who administers this machine is refused as a whole.
func (s *Service) Deny(
	ctx context.Context, by control.Peer, n control.NewDeny,
) ([]control.DenyResult, error) {
	if len(n.Note) > longestReason {
		return nil, control.Errorf(control.CodeBadRequest, "note: is longer than %d bytes",
			longestReason)
	}

	results := make([]control.DenyResult, len(n.Prefixes))
	var added []config.Denied
	for i, p := range n.Prefixes {
		results[i].Prefix = p
		if results[i].Error = s.checkDeny(&results[i]); results[i].Error == nil {
			added = append(added, config.Denied{Prefix: p, File: "amifend deny"})
		}
	}

	never := s.Watcher.Current()
	if what, do := CutOff(s.Config(), slices.Concat(s.Denials.List(), added), never,
		s.Lockout); what != "" {
		return nil, control.Errorf(control.CodeProtected, "nothing was changed: %s", what).
			Advise("%s", do)
	}

	d := denials.Denial{UID: by.UID, Says: by.Says, At: time.Now().Round(0).UTC()}
	if n.Note != "" {
		d.Note = ami.Quote([]byte(n.Note))
	}
	for i := range results {
		if r := &results[i]; r.Error == nil {
			s.denyOne(by, r, d, n.Note)
		}
	}
	return s.denied(ctx, results), nil
}

// checkDeny returns why a prefix cannot be denied. It notes what of it is spared.
func (s *Service) checkDeny(r *control.DenyResult) *control.Error {
	p := r.Prefix
	switch {
	case !p.IsValid() || p != p.Masked() || p.Addr().Is4In6():
		return control.Errorf(control.CodeBadRequest, "prefix: %v is not a prefix", p)
	case p.Bits() == 0:
		return control.Errorf(control.CodeBadRequest,
			"%s is every address, so nothing could reach this machine", p).
			Advise("write the prefixes that you mean")
	}

	// The same function decides what the kernel gets.
	l := denylist.New([]config.Denied{{Prefix: p}}, s.Watcher.Current())
	if len(l.Set.Ranges()) == 0 && len(l.Out) > 0 {
		return control.Errorf(control.CodeProtected, "%s must not be denied: %s", bans.Source(p),
			bans.Printable(l.Out[0].Reason)).
			Advise("amifend allow --list shows all that is never banned")
	}
	r.Warning = sparedText(l.Out)
	return nil
}

// mostSpared is how many exceptions a warning names.
const mostSpared = 3

// sparedText names what of a denied prefix is not dropped; "": nothing.
func sparedText(out []denylist.Exception) string {
	if len(out) == 0 {
		return ""
	}
	var parts []string
	for _, x := range out[:min(len(out), mostSpared)] {
		parts = append(parts, bans.Source(x.Prefix)+" ("+bans.Printable(x.Reason)+")")
	}
	if len(out) > mostSpared {
		parts = append(parts, "others")
	}
	return "not dropped: " + strings.Join(parts, ", ")
}

// denyOne adds one prefix that was checked.
func (s *Service) denyOne(
	by control.Peer, r *control.DenyResult, d denials.Denial, note string,
) {
	old, had := s.Denials.All()[r.Prefix]
	if err := s.Denials.Add(r.Prefix, d); err != nil {
		r.Error = control.Errorf(control.CodeFailed, "%d prefixes are denied by command already",
			denials.Most).Advise("write them into a file of [deny] files")
		if !errors.Is(err, denials.ErrFull) {
			r.Error = failure(err)
		}
		return
	}

	r.By, r.At, r.Note = d.By(), d.At, d.Note
	object := bans.Source(r.Prefix)
	s.record(by, "deny", object, note)
	s.remember(by, "deny", object, func(ctx context.Context, by control.Peer) control.UndoneItem {
		if !had {
			return s.undoDenial(ctx, by, r.Prefix)
		}
		return s.redeny(ctx, by, r.Prefix, old)
	})
}

// undoDenial removes a prefix again.
func (s *Service) undoDenial(
	ctx context.Context, by control.Peer, p netip.Prefix,
) control.UndoneItem {
	if _, ok := s.Denials.Remove(p); !ok {
		return control.UndoneItem{Note: bans.Source(p) + " was not denied any more"}
	}
	s.record(by, "undeny", bans.Source(p), "")
	return control.UndoneItem{Note: s.denyNote(ctx)}
}

// redeny denies a prefix as it was denied before. It is checked anew: what must never be banned may
// have changed.
func (s *Service) redeny(
	ctx context.Context, by control.Peer, p netip.Prefix, old denials.Denial,
) control.UndoneItem {
	r := control.DenyResult{Prefix: p}
	if err := s.checkDeny(&r); err != nil {
		return control.UndoneItem{Error: err}
	}
	also := append(s.Denials.List(), config.Denied{Prefix: p, File: old.Text()})
	if what, do := CutOff(s.Config(), also, s.Watcher.Current(), s.Lockout); what != "" {
		return control.UndoneItem{
			Error: control.Errorf(control.CodeProtected, "%s", what).Advise("%s", do),
		}
	}
	if err := s.Denials.Add(p, old); err != nil {
		return control.UndoneItem{Error: failure(err)}
	}
	s.record(by, "deny", bans.Source(p), "")
	return control.UndoneItem{Note: joined(r.Warning, s.denyNote(ctx))}
}

// Undeny ends denials by command for an operator.
func (s *Service) Undeny(
	ctx context.Context, by control.Peer, prefixes []netip.Prefix,
) ([]control.DenyResult, error) {
	results := make([]control.DenyResult, len(prefixes))
	for i, p := range prefixes {
		old, ok := s.Denials.Remove(p)
		if !ok {
			results[i].Prefix = p
			results[i].Error = control.Errorf(control.CodeNotAllowed,
				"%s was not denied by a command", bans.Source(p)).
				Advise("amifend deny list shows what was; what the config denies is taken out of " +
					"[deny] prefixes or files")
			continue
		}

		results[i].Prefix = p
		results[i].By, results[i].At, results[i].Note = old.By(), old.At, old.Note
		object := bans.Source(p)
		s.record(by, "undeny", object, "")
		s.remember(by, "undeny", object,
			func(ctx context.Context, by control.Peer) control.UndoneItem {
				return s.redeny(ctx, by, p, old)
			})
	}
	return s.denied(ctx, results), nil
}

// denied completes results when the kernel has the change.
func (s *Service) denied(ctx context.Context, results []control.DenyResult) []control.DenyResult {
	if !slices.ContainsFunc(results, func(r control.DenyResult) bool { return r.Error == nil }) {
		return results
	}

	note := s.denyNote(ctx)
	state := ""
	if d := s.denyStatus(ctx); d != nil {
		state = d.State
	}
	for i := range results {
		if r := &results[i]; r.Error == nil {
			r.State = state
			r.Warning = joined(r.Warning, note)
		}
	}
	return results
}

// denyNote waits until kernel and disk have what is denied, and returns what does not have it; "":
// both have it.
func (s *Service) denyNote(ctx context.Context) (note string) {
	s.Denials.Save()
	if err := s.Denier.AwaitDenied(ctx); err != nil {
		note = "the kernel gets it as soon as it can: " + bans.Printable(err.Error())
	}
	if s.Denier.Status().Held {
		note = joined(note, "the trial holds it back: amifend keep puts it in force")
	}
	if !s.isOnDisk(ctx, false) {
		note = joined(note, "the journal does not have it yet: a crash or a reboot now undoes it "+
			"(amifend status)")
	}
	return note
}
