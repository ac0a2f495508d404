package firewall

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

const (
	batchSize  = 1000 // changes in a transaction: measured to be the cheapest a change
	minTimeout = time.Second
	// maxRaces bounds the tries of a batch whose elements expire between our look and our
	// transaction; then its lifts go one by one.
	maxRaces = 5
)

// change is a valid Change, with the set that it belongs to.
type change struct {
	Change
	set int
}

// Apply makes the changes in the kernel, in batches of one transaction each. Of several changes to
// the same prefix and scope the last counts. Refreshing a ban never opens a gap.
//
// It returns the changes that were not made and why: invalid ones (ErrInvalid), and new bans that
// found their set full (ErrFull). All others are made, unless the kernel as a whole failed or ctx
// ended: then any part of the changes may have been made, and all may be applied again.
//
// The error is nil if all changes were made or only ErrFull kept some of them out, which is for the
// caller to judge. Errors to branch on: ErrGone (Ensure, then apply all bans again), ErrPermission,
// and ErrInvalid: the caller made a mistake, such as a ban without a scope, and repeating the call
// does not help. ErrInvalid comes alone: all valid changes were made.
func (t *Table) Apply(ctx context.Context, changes []Change) ([]Rejected, error) {
	valid, rejected := t.validChanges(changes)
	invalid := joinRejected(rejected)
	if err := t.lockWrite(ctx); err != nil {
		return rejected, fmt.Errorf("apply changes: %w", err)
	}
	defer t.writeMu.Unlock()

	for batch := range slices.Chunk(valid, batchSize) {
		if err := ctx.Err(); err != nil {
			return rejected, fmt.Errorf("apply changes: %w", err)
		}
		full, err := t.applyBatch(batch)
		rejected = append(rejected, full...)

		if errors.Is(err, unix.ENOENT) { // a set was removed after the last look
			err = fmt.Errorf("%w (%w)", ErrGone, err)
		}
		if err != nil {
			return rejected, kernelError("apply changes", err)
		}
	}

	return rejected, invalid
}

// validChanges separates the changes that no set can hold, and of several changes to one element
// keeps the last. It decides once which bans are over and thus become lifts: a ban that turned into
// a lift between two looks would delete an element that is not there.
func (t *Table) validChanges(changes []Change) ([]change, []Rejected) {
	type key struct {
		prefix netip.Prefix
		set    int
	}
	var rejected []Rejected
	valid := make([]change, 0, len(changes))
	at := make(map[key]int, len(changes)) // place in valid

	now := t.now()
	for _, c := range changes {
		c.Lift = c.Lift || !c.Until.After(now)
		set, err := findSet(t.sets, c)
		if err != nil {
			rejected = append(rejected, Rejected{c, fmt.Errorf("%w: %w", ErrInvalid, err)})
			continue
		}

		// A transaction must not change one element twice: the last change wins.
		k := key{c.Prefix, set}
		if i, ok := at[k]; ok {
			valid[i].Change = c
			continue
		}

		at[k] = len(valid)
		valid = append(valid, change{c, set})
	}

	return valid, rejected
}

// joinRejected returns one error for the invalid changes of a call, nil if there are none. A caller
// that looks at the error alone learns of its mistake by it.
func joinRejected(invalid []Rejected) error {
	const shown = 3
	if len(invalid) == 0 {
		return nil
	}

	var errs []error
	for _, r := range invalid[:min(len(invalid), shown)] {
		errs = append(errs, r)
	}
	if more := len(invalid) - shown; more > 0 {
		errs = append(errs, fmt.Errorf("%w: and %d more", ErrInvalid, more))
	}

	return fmt.Errorf("apply changes: %w", errors.Join(errs...))
}

// applyBatch tries the whole batch. Only if the kernel refused it, it looks at each change. (An
// absent element to delete and a full set both roll back the whole transaction.)
func (t *Table) applyBatch(batch []change) ([]Rejected, error) {
	err := t.commit(batch)
	var present, fresh []change
	for race := 0; refused(err) && race < maxRaces; race++ {
		// An absent element or an absent set: the kernel answers the same.
		if errors.Is(err, unix.ENOENT) {
			if err := t.checkSets(); err != nil {
				return nil, err
			}
		}

		// Changes of present elements need no room, so they go first.
		var divideErr error
		if present, fresh, divideErr = t.divide(batch); divideErr != nil {
			return nil, divideErr
		}

		if err = t.commit(present); err == nil {
			return t.fill(fresh)
		}
	}

	// Elements expired faster than we could look.
	if errors.Is(err, unix.ENOENT) {
		return t.applyApart(slices.Concat(present, fresh), err)
	}
	return nil, err
}

// applyApart lifts one ban a transaction, in which an absent element harms no other change, and
// then applies the bans. It returns cause if there is nothing to lift.
func (t *Table) applyApart(batch []change, cause error) ([]Rejected, error) {
	bans := make([]change, 0, len(batch))
	for _, c := range batch {
		if !c.Lift {
			bans = append(bans, c)
			continue
		}
		if err := t.commit([]change{c}); err != nil && !errors.Is(err, unix.ENOENT) {
			return nil, err
		}
	}

	if len(bans) == len(batch) {
		return nil, cause
	}
	return t.applyBatch(bans)
}

// refused reports whether a transaction failed because of one of its elements, and not of the
// kernel as a whole.
func refused(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENFILE) }

// divide separates the changes of elements that the kernel has from the bans that are new to it.
// Lifts of absent elements are done, and in neither.
func (t *Table) divide(batch []change) (present, fresh []change, err error) {
	for _, c := range batch {
		_, found, err := find(t.write, t.ksets[c.set], c.Prefix.Addr())
		switch {
		case err != nil:
			return nil, nil, err
		case found:
			present = append(present, c)
		case !c.Lift:
			fresh = append(fresh, c)
		}
	}

	return present, fresh, nil
}

// fill adds bans that are new, and returns those that found their set full.
func (t *Table) fill(fresh []change) ([]Rejected, error) {
	var rejected []Rejected
	for set := range t.sets {
		full, err := t.fillSet(slices.DeleteFunc(slices.Clone(fresh), func(c change) bool {
			return c.set != set
		}))
		if err != nil {
			return rejected, err
		}

		for _, c := range full {
			rejected = append(rejected,
				Rejected{c.Change, fmt.Errorf("set %s: %w", t.sets[set].name, ErrFull)})
		}
	}

	return rejected, nil
}

// fillSet adds new bans to one set, in order, and returns those that it has no room for. A refused
// transaction costs a grace period of the kernel (milliseconds): so it tries one ban first, as a
// set that was full before most likely still is, and then ever larger parts.
func (t *Table) fillSet(rest []change) ([]change, error) {
	err := t.commit(rest)
	if !errors.Is(err, unix.ENFILE) {
		return nil, err
	}

	for n, growing := 1, true; len(rest) > 0; {
		n = min(n, len(rest))
		err := t.commit(rest[:n])

		// Double until a part does not fit, then halve: as in a binary search for the room left.
		switch {
		case err == nil && growing:
			rest, n = rest[n:], n*2
		case err == nil:
			rest, n = rest[n:], max(n/2, 1)
		case !errors.Is(err, unix.ENFILE):
			return nil, err
		case n == 1:
			return rest, nil // not even one fits
		default:
			n, growing = n/2, false
		}
	}

	return nil, nil
}

// commit sends changes in one transaction. Lifts come first: they make room.
func (t *Table) commit(changes []change) error {
	if len(changes) == 0 {
		return nil
	}
	now := t.now()
	lifts := make([][]nftables.SetElement, len(t.sets))

	bans := make([][]nftables.SetElement, len(t.sets))
	for _, c := range changes {
		e := nftables.SetElement{Key: c.Prefix.Addr().AsSlice()}
		if c.Lift {
			lifts[c.set] = append(lifts[c.set], e)
			continue
		}
		e.Timeout = max(c.Until.Sub(now).Truncate(time.Millisecond), minTimeout)
		bans[c.set] = append(bans[c.set], e)
	}

	// The library keeps a queueing error, and its Flush then sends nothing.
	var errs []error
	for i, set := range t.ksets {
		errs = append(errs, t.write.SetDeleteElements(set, lifts[i]))
	}

	for i, set := range t.ksets {
		// the first add is for the delete, which must find something; the kernel shows none of the
		// steps to packets
		if !t.updates {
			errs = append(errs, t.write.SetAddElements(set, bans[i]), t.write.SetDeleteElements(set,
				bans[i]))
		}
		errs = append(errs, t.write.SetAddElements(set, bans[i]))
	}

	return errors.Join(append(errs, t.write.Flush())...)
}

// checkSets returns ErrGone if a set is missing.
func (t *Table) checkSets() error {
	s, err := t.inspect(t.write)
	if err != nil {
		return err
	}

	for _, set := range t.wantedSets() {
		if s.sets[set.Name] == nil {
			return fmt.Errorf("no set %s: %w", set.Name, ErrGone)
		}
	}

	return nil
}
