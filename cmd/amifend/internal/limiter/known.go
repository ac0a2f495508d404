package limiter

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// learn tells the kernel of a source that logged in, and of those that wait behind it.
func (l *Limiter) learn(ctx context.Context, source netip.Addr) error {
	now := l.Clock.Now()
	var add []netip.Addr
	for more := true; more && len(add) < batch; {
		if l.note(source, now) {
			add = append(add, source)
		}
		select {
		case source = <-l.logins:
		default:
			more = false
		}
	}
	if len(add) == 0 || !l.ready {
		return nil // without the others it is not armed
	}
	return l.hand(ctx, add, l.leave())
}

// note notes a login. It reports whether the source is new.
func (l *Limiter) note(source netip.Addr, at int64) bool {
	a := firewall.LimitedPrefix(source).Addr()
	if !a.IsValid() {
		return false
	}

	family := l.known[0]
	if a.Is6() {
		family = l.known[1]
	}
	last, ok := family[a]
	family[a] = max(at, last)
	return !ok
}

// leave returns who has no room in the kernel, and forgets them: those that were quiet longest.
func (l *Limiter) leave() (out []netip.Addr) {
	for _, family := range l.known {
		over := len(family) - l.Size
		if over <= 0 {
			continue
		}
		l.crowded = true
		over = min(max(over, min(leaving, l.Size/2)), len(family))

		quiet := make([]policy.Proof, 0, len(family))
		for a, at := range family {
			quiet = append(quiet, policy.Proof{Addr: a, At: at})
		}
		slices.SortFunc(quiet, func(a, b policy.Proof) int {
			return cmp.Or(cmp.Compare(a.At, b.At), a.Addr.Compare(b.Addr))
		})
		for _, p := range quiet[:over] {
			delete(family, p.Addr)
			out = append(out, p.Addr)
		}
	}
	return out
}

// compare makes the known sources those that the judge says, in the kernel, too.
func (l *Limiter) compare(ctx context.Context) error {
	ask, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	proved, err := l.Proved(ask)
	if err != nil {
		return err
	}

	// A login that comes meanwhile waits in the queue, and is noted after this.
	before := l.known
	l.forget()
	l.crowded = false
	for _, p := range proved {
		l.note(p.Addr, p.At)
	}

	// The judge may leave out a source that is touched while it lists them. So only one that is
	// missing twice is forgotten.
	missing := map[netip.Addr]bool{}
	for i := range before {
		for a, at := range before[i] {
			if _, ok := l.known[i][a]; !ok && !l.missing[a] {
				l.known[i][a] = at
				missing[a] = true
			}
		}
	}
	l.missing = missing
	l.leave()

	// After a new layout nobody knows what the kernel has.
	var add, remove []netip.Addr
	if !l.ready {
		if err := l.Table.ResetLimiter(ctx); err != nil {
			return err
		}
		before = [2]map[netip.Addr]int64{}
	}
	for i := range l.known {
		for a := range before[i] {
			if _, ok := l.known[i][a]; !ok {
				remove = append(remove, a)
			}
		}
		for a := range l.known[i] {
			if _, ok := before[i][a]; !ok {
				add = append(add, a)
			}
		}
	}
	return l.hand(ctx, add, remove)
}

// forget forgets all known sources.
func (l *Limiter) forget() {
	l.known = [2]map[netip.Addr]int64{{}, {}}
}

// hand hands changes to the kernel. Who leaves does so first: that makes room.
func (l *Limiter) hand(ctx context.Context, add, remove []netip.Addr) error {
	for part := range slices.Chunk(remove, batch) {
		if err := l.Table.ChangeKnown(ctx, nil, part); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(add, batch) {
		// One that was added, and left again for want of room, is not put back.
		part = slices.DeleteFunc(part, func(a netip.Addr) bool { return !l.knows(a) })
		err := l.Table.ChangeKnown(ctx, part, nil)
		if errors.Is(err, firewall.ErrFull) {
			l.crowded = true // others put something there
			continue
		}
		if err != nil {
			return err
		}
	}

	l.change(func(st *Status) { st.Known = len(l.known[0]) + len(l.known[1]) })
	if l.crowded && l.Drop && l.ready {
		return l.arm(ctx) // it must not drop until the next beat
	}
	return nil
}

func (l *Limiter) knows(source netip.Addr) bool {
	a := firewall.LimitedPrefix(source).Addr()
	for _, family := range l.known {
		if _, ok := family[a]; ok {
			return true
		}
	}
	return false
}
