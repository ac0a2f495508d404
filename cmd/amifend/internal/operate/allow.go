package operate

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/allowlist"
	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce"
	"github.com/amifend/amifend/cmd/amifend/internal/judge"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
)

// longestAllowance limits for how long a prefix can be allowed, if it is not allowed for good.
const longestAllowance = 10 * 365 * 24 * time.Hour

// Allowed lists who is never banned: names first, then prefixes.
func (s *Service) Allowed(context.Context) ([]control.Allowed, error) {
	byCommand := s.Allowlist.Allowances()
	out := s.allowedNames(byCommand)

	for _, e := range s.Watcher.Current().Entries {
		a, ok := byCommand[allowlist.Subject{Prefix: e.Prefix}]
		entry := control.Allowed{Prefix: e.Prefix, Reason: bans.Printable(e.Reason)}
		if ok {
			entry = allowed(allowlist.Subject{Prefix: e.Prefix}, a)
			entry.Reason = bans.Printable(e.Reason) // the config may allow it too
		}
		out = append(out, entry)
	}

	for _, l := range s.Watcher.Current().Learned {
		out = append(out, control.Allowed{
			Prefix: netip.PrefixFrom(l.Addr, l.Addr.BitLen()),
			Reason: bans.Printable(l.Reason) + "; only what that server reports is not held against it",
		})
	}

	return out, nil
}

// allowedNames lists the host names whose addresses are never banned.
func (s *Service) allowedNames(
	byCommand map[allowlist.Subject]allowlist.Allowance,
) (out []control.Allowed) {
	addresses := s.Watcher.Addresses()
	for _, host := range s.Config().Names {
		out = append(out, control.Allowed{
			Name: host, Addresses: addresses[host], Reason: "allowlist ([allow] names)",
		})
	}

	// A prefix is among the watcher's entries already; a name is not, only its addresses are.
	for whom, a := range byCommand {
		if whom.Host != "" {
			entry := allowed(whom, a)
			entry.Addresses = addresses[whom.Host]
			out = append(out, entry)
		}
	}

	slices.SortStableFunc(out, func(a, b control.Allowed) int {
		return strings.Compare(a.Name, b.Name)
	})
	return out
}

// Allow allows a prefix or a name, for a time or until it is taken out. It answers when that is in
// force: the engine bans nobody within it and has lifted such bans, the kernel lets it through, and
// a crash does not undo it. The note says what is not done yet.
func (s *Service) Allow(
	ctx context.Context, by control.Peer, n control.NewAllow,
) (control.Allowed, error) {
	whom, err := checkAllow(n)
	if err != nil {
		return control.Allowed{}, err
	}

	// The reason is shown to others, on terminals and in logs, so it is quoted.
	a := allowlist.Allowance{UID: by.UID, Says: by.Says, At: time.Now().Round(0).UTC()}
	if n.Reason != "" {
		a.Reason = ami.Quote([]byte(n.Reason))
	}
	if n.For != 0 {
		d := time.Duration(n.For * float64(time.Second))
		a.Until = time.Now().Add(d).Round(0).UTC()
		a.Expiry = s.Clock.Now() + int64(d)
	}

	if whom.Host != "" {
		return s.allowName(ctx, by, whom, a, n.Reason)
	}
	before := s.bansNow(ctx, n.Prefix)
	if err := s.add(by, whom, a, before); err != nil {
		return control.Allowed{}, err
	}

	s.record(by, "allow", bans.Source(n.Prefix), n.Reason)
	note, err := s.inForce(ctx)
	out := allowed(whom, a)
	out.Note = note
	return out, err
}

// checkAllow returns who is to be allowed.
func checkAllow(n control.NewAllow) (allowlist.Subject, error) {
	bad := func(format string, args ...any) (allowlist.Subject, error) {
		return allowlist.Subject{}, control.Errorf(control.CodeBadRequest, format, args...)
	}

	// A prefix with host bits is probably a typo, and one of all addresses would end all bans.
	whom := allowlist.Subject{Prefix: n.Prefix}
	switch {
	case n.Name != "":
		name, err := config.ParseName(n.Name)
		if err != nil || n.Prefix.IsValid() {
			return bad("name: %s is not a host name", ami.Quote([]byte(n.Name)))
		}
		whom = allowlist.Subject{Host: name}
	case !n.Prefix.IsValid() || n.Prefix != n.Prefix.Masked() || n.Prefix.Addr().Is4In6():
		return bad("prefix: %v is not a prefix", n.Prefix)
	case n.Prefix.Bits() == 0:
		return bad("%s is every address, so nobody would ever be banned; "+
			"to try amifend out write observe = true in [policy]", n.Prefix)
	}

	switch {
	case n.For != 0 && !(n.For >= 1 && n.For <= longestAllowance.Seconds()): // also not a number
		return bad("a prefix may be allowed for a second to %d days, or without an end",
			longestAllowance/(24*time.Hour))
	case len(n.Reason) > longestReason:
		return bad("reason: is longer than %d bytes", longestReason)
	}

	return whom, nil
}

// add puts a subject into the allowlist.
func (s *Service) add(
	by control.Peer, whom allowlist.Subject, a allowlist.Allowance, before []control.Ban,
) error {
	old, had := s.Allowlist.Allowances()[whom]
	err := s.Allowlist.Add(whom, a)
	if errors.Is(err, allowlist.ErrFull) {
		return control.Errorf(control.CodeFailed,
			"%d prefixes and names are allowed by command already",
			allowlist.Most).Advise("write whole networks into [allow] prefixes")
	}
	if err != nil {
		return err
	}

	// Without the allowance, the bans that it lifts are to come back.
	s.remember(by, "allow", called(whom),
		func(ctx context.Context, by control.Peer) control.UndoneItem {
			if !had {
				return s.undoAllow(ctx, by, whom, before)
			}
			return s.allowAgain(ctx, by, whom, old)
		})
	return nil
}

// undoAllow removes an allowance, and puts back the bans that there were before it.
func (s *Service) undoAllow(
	ctx context.Context, by control.Peer, whom allowlist.Subject, before []control.Ban,
) control.UndoneItem {
	note := ""
	if _, ok := s.Allowlist.Remove(whom); !ok {
		note = called(whom) + " was not allowed any more"
	}
	s.record(by, "disallow", called(whom), "")

	// The bans would be refused before the change is in force.
	more, err := s.inForce(ctx)
	if err != nil {
		return control.UndoneItem{Error: failure(err)}
	}
	item := s.restore(ctx, by, before)
	item.Note = joined(joined(note, more), item.Note)
	return item
}

// allowAgain allows as it was allowed before.
func (s *Service) allowAgain(
	ctx context.Context, by control.Peer, whom allowlist.Subject, old allowlist.Allowance,
) control.UndoneItem {
	if err := s.Allowlist.Add(whom, old); err != nil {
		return control.UndoneItem{Error: failure(err)}
	}
	s.record(by, "allow", called(whom), "")

	note, err := s.inForce(ctx)
	if err != nil {
		return control.UndoneItem{Error: failure(err)}
	}
	return control.UndoneItem{Note: note}
}

// called returns the name of what is allowed, for people.
func called(whom allowlist.Subject) string {
	if whom.Host != "" {
		return bans.Printable(whom.Host)
	}
	return bans.Source(whom.Prefix)
}

// allowed returns an allowance as the API has it.
func allowed(whom allowlist.Subject, a allowlist.Allowance) control.Allowed {
	return control.Allowed{
		Prefix: whom.Prefix, Name: whom.Host, Reason: a.Text(), Until: a.Until, Command: true,
		By: a.By(), At: a.At, Text: a.Reason,
	}
}

// allowName allows the addresses of a name. A name that does not resolve is refused: it may be
// misspelt.
func (s *Service) allowName(
	ctx context.Context, by control.Peer, whom allowlist.Subject, a allowlist.Allowance,
	reason string,
) (control.Allowed, error) {
	addrs, err := s.Watcher.Resolve(ctx, whom.Host)
	if err != nil {
		return control.Allowed{}, control.Errorf(control.CodeFailed,
			"%s does not resolve, and nothing was changed: %s",
			whom, bans.Printable(err.Error())).
			Advise("see whether it is spelt right: getent ahosts %s; to have it allowed once "+
				"DNS works again, "+
				"write it into [allow] names, then run: amifend reload", whom)
	}

	if err := s.add(by, whom, a, nil); err != nil {
		return control.Allowed{}, err
	}

	// The watcher need not resolve the name again before the addresses count.
	s.Watcher.Remember(whom.Host, addrs)
	s.record(by, "allow", whom.Host, reason)

	out := allowed(whom, a)
	out.Addresses = s.Watcher.Addresses()[whom.Host]
	out.Note, err = s.inForce(ctx)
	return out, err
}

// Disallow takes out a prefix that Allow put in.
func (s *Service) Disallow(
	ctx context.Context, by control.Peer, prefix netip.Prefix,
) (control.Allowed, error) {
	return s.disallow(ctx, by, allowlist.Subject{Prefix: prefix})
}

// DisallowName takes out a name that Allow put in.
func (s *Service) DisallowName(
	ctx context.Context, by control.Peer, name string,
) (control.Allowed, error) {
	return s.disallow(ctx, by, allowlist.Subject{Host: name})
}

func (s *Service) disallow(
	ctx context.Context, by control.Peer, whom allowlist.Subject,
) (control.Allowed, error) {
	a, ok := s.Allowlist.Remove(whom)
	if !ok {
		return control.Allowed{}, control.Errorf(control.CodeNotAllowed,
			"%s was not allowed by a command", called(whom)).
			Advise("amifend allow --list says why an address is never banned; " +
				"what the config allows is taken out of [allow] prefixes or names")
	}
	s.remember(by, "disallow", called(whom),
		func(ctx context.Context, by control.Peer) control.UndoneItem {
			return s.allowAgain(ctx, by, whom, a)
		})

	s.record(by, "disallow", called(whom), "")
	note, err := s.inForce(ctx)
	out := allowed(whom, a)
	out.Note = note
	return out, err
}

// inForce waits until a change of the allowlist is in force and on the disk. note says what is not
// done yet; "": all is.
func (s *Service) inForce(ctx context.Context) (note string, err error) {
	s.Allowlist.Save()
	if note, err = PutInForce(ctx, s.Watcher, s.Judge, s.Enforcer); err != nil {
		return "", err
	}

	if !s.isOnDisk(ctx, false) {
		note = joined(note, "the journal does not have it yet: a crash or a reboot now undoes it "+
			"(amifend status)")
	}
	return note, nil
}

// PutInForce hands out what is protected, and waits until that is in force: first in the judge,
// which orders lifts, then in the kernel. note is the reason why the kernel does not have it yet,
// or "".
func PutInForce(
	ctx context.Context, w *protect.Watcher, j *judge.Judge, e *enforce.Enforcer,
) (note string, err error) {
	// The set is handed out here, and not when the watcher comes to it.
	if err := w.Refresh(); err != nil {
		return "", control.Errorf(control.CodeFailed, "it is noted, and not in force yet: %s",
			bans.Printable(err.Error())).
			Advise("amifend goes on trying; repair what the error names")
	}

	if err := j.TakeProtected(ctx); err != nil {
		return "", Refusal(err)
	}
	flushed, err := e.Flush(ctx)
	if err != nil {
		return "", Refusal(err)
	}

	if flushed.Refusal != "" {
		note = "the kernel refuses for now, and gets it as soon as it can: " + flushed.Refusal
	}
	return note, nil
}
