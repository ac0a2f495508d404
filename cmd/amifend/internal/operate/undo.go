package operate

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce"
)

// Bounds of what can be undone. It is kept in memory only: after a restart nothing can be.
const (
	undoTime = time.Hour
	mostUndo = 1000 // changes of all operators
	// mostRestored limits the bans that one change puts back.
	mostRestored = 1000
)

// change is a change by an operator that can be undone.
type change struct {
	at     time.Time
	uid    uint32
	pid    int32 // changes of one process in a row are one command
	what   string
	object string
	undo   func(ctx context.Context, by control.Peer) control.UndoneItem
}

// undoList holds the latest changes, the oldest first. The zero value is empty.
type undoList struct {
	mu      sync.Mutex
	changes []change
}

// add adds a change.
func (l *undoList) add(c change) {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.forget(c.at)
	if len(l.changes) >= mostUndo {
		l.changes = slices.Delete(l.changes, 0, len(l.changes)-mostUndo+1)
	}
	l.changes = append(l.changes, c)
}

// forget removes changes that are too old. The caller has the lock.
func (l *undoList) forget(now time.Time) {
	l.changes = slices.DeleteFunc(l.changes, func(c change) bool {
		return now.Sub(c.at) > undoTime
	})
}

// last returns the changes of the last command of a user, the latest first. With take, it removes
// them, so that they are undone once.
func (l *undoList) last(uid uint32, take bool) (out []change) {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.forget(time.Now())
	for _, c := range slices.Backward(l.changes) {
		if c.uid != uid {
			continue
		}
		if len(out) > 0 && (c.pid != out[0].pid || c.what != out[0].what) {
			break
		}
		out = append(out, c)
	}

	if take && len(out) > 0 {
		first := out[0]
		l.changes = slices.DeleteFunc(l.changes, func(c change) bool {
			return c.uid == uid && c.pid == first.pid && c.what == first.what &&
				!c.at.Before(out[len(out)-1].at)
		})
	}
	return out
}

// remember adds a change of an operator that can be undone.
func (s *Service) remember(
	by control.Peer, what, object string,
	undo func(ctx context.Context, by control.Peer) control.UndoneItem,
) {
	s.undo.add(change{
		at: time.Now(), uid: by.UID, pid: by.PID, what: what, object: object, undo: undo,
	})
}

// nothingToUndo is the error of an operator who changed nothing.
func nothingToUndo(by control.Peer) error {
	return control.Errorf(control.CodeNothing,
		"uid %d has no ban, unban, allow or deny of the last hour that could be undone", by.UID).
		Advise("amifend report lists what operators did; a restart of amifend ends what can be undone")
}

// LastCommand returns what Undo would undo for an operator.
func (s *Service) LastCommand(by control.Peer) (control.Undone, error) {
	changes := s.undo.last(by.UID, false)
	if len(changes) == 0 {
		return control.Undone{}, nothingToUndo(by)
	}

	out := control.Undone{What: changes[0].what, At: changes[0].at}
	for _, c := range slices.Backward(changes) {
		out.Changes = append(out.Changes, control.UndoneItem{Object: c.object})
	}
	return out, nil
}

// Undo undoes the last command of an operator. The kernel names the operator: who works by sudo is
// root.
func (s *Service) Undo(ctx context.Context, by control.Peer) (control.Undone, error) {
	changes := s.undo.last(by.UID, true)
	if len(changes) == 0 {
		return control.Undone{}, nothingToUndo(by)
	}

	// The latest comes first, since it may have replaced what an earlier one did.
	out := control.Undone{What: changes[0].what, At: changes[0].at}
	var again []change
	for _, c := range changes {
		item := c.undo(ctx, by)
		item.Object = c.object
		switch {
		case item.Error == nil:
			s.record(by, "undo", c.what+" "+c.object, "")
		case item.Error.Code == control.CodeBusy:
			again = append(again, c)
		}
		out.Changes = append(out.Changes, item)
	}

	// What an owner had no time for is tried by the next undo, and not the command before it.
	for _, c := range slices.Backward(again) {
		s.undo.add(c)
	}

	slices.Reverse(out.Changes) // as the command named them
	return out, nil
}

// bansNow returns the bans within a prefix and those that cover it, so that they can be put back.
func (s *Service) bansNow(ctx context.Context, within netip.Prefix) []control.Ban {
	if !within.IsValid() {
		return nil
	}
	picked, err := s.Enforcer.Pick(ctx, enforce.Pick{Within: within, Most: mostRestored})
	if err != nil {
		return nil
	}

	// The counters are not read: amifend unban tells by two readings whether a source still sends.
	var out []control.Ban
	for some := range slices.Chunk(picked.Keys, partBans) {
		held, err := s.Enforcer.Describe(ctx, some, false)
		if err != nil {
			return nil
		}

		// In a trial all end with it. Those that come back must still have their whole time.
		keys := make([]bans.Key, len(held))
		for i, b := range held {
			keys[i] = b.Key()
		}
		whole, err := s.Judge.WholeEnds(ctx, keys)
		if err != nil {
			return nil
		}

		for i, b := range held {
			was := listed(b)
			if end, ok := whole[keys[i]]; ok {
				was.Until = end
			}
			out = append(out, was)
		}
	}
	return out
}

// restore bans again what was banned before, for the time that is left. A ban that is still there
// stays as it is.
func (s *Service) restore(
	ctx context.Context, by control.Peer, before []control.Ban,
) (item control.UndoneItem) {
	var news []control.NewBan
	for _, b := range before {
		left := time.Until(b.Until)
		if left < time.Second {
			continue
		}
		was := "ban"
		if b.State == control.StateDry {
			was = "would-be ban"
		}
		news = append(news, control.NewBan{
			Prefix: b.Prefix, Scope: b.Scope, For: left.Seconds(), Import: true,
			Reason: "undo: it was a " + was + " by " + b.Rule,
		})
	}
	if len(news) == 0 {
		return item
	}

	results, err := s.makeBans(ctx, by, news)
	if err != nil {
		item.Error = failure(err)
		return item
	}
	for _, r := range results {
		if r.Error != nil {
			item.Note = joined(item.Note, r.Error.Message)
			continue
		}
		item.Restored++
		item.Observed = item.Observed || r.State == control.StateDry
	}
	return item
}

// failure returns an error as the API has it.
func failure(err error) *control.Error {
	if code := control.CodeOf(err); code != "" {
		return control.Errorf(code, "%s", err)
	}
	return control.Errorf(control.CodeFailed, "%s", err)
}

// undoBan lifts an operator's ban, and puts back the bans that there were before it.
func (s *Service) undoBan(
	prefix netip.Prefix, before []control.Ban,
) func(context.Context, control.Peer) control.UndoneItem {
	return func(ctx context.Context, by control.Peer) control.UndoneItem {
		_, err := s.lift(ctx, by, prefix)
		if err != nil && control.CodeOf(err) != control.CodeNotBanned {
			return control.UndoneItem{Error: failure(err)}
		}
		item := s.restore(ctx, by, before)
		if err != nil {
			item.Note = joined(bans.Source(prefix)+" was not banned any more", item.Note)
		}
		return item
	}
}
