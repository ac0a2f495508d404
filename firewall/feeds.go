package firewall

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The names of a feed's sets begin with these, and so does that of its counter.
const (
	setFeed4    = "feed4_"
	setFeed6    = "feed6_"
	counterFeed = "feed_"
)

// feedName matches the names of feeds. They become parts of names in the kernel.
var feedName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

// checkFeeds returns an error unless the names of feeds can be used.
func checkFeeds(names []string) error {
	for i, name := range names {
		if !feedName.MatchString(name) {
			return fmt.Errorf("feed name %q: want a small letter, then up to 31 small letters, "+
				"digits, _ or -", name)
		}
		if slices.Contains(names[:i], name) {
			return fmt.Errorf("feed name %q stands there twice", name)
		}
	}
	return nil
}

// SetFeeds replaces the names of the feeds, and lays out the table with them: each feed has sets, a
// counter and rules of its own. The sets of a feed that stays keep their elements, and those of one
// that goes are removed. A packet counts for the first feed that holds its source. If SetFeeds fails,
// the next Ensure has the new feeds.
func (t *Table) SetFeeds(ctx context.Context, names []string) error {
	if err := checkFeeds(names); err != nil {
		return fmt.Errorf("set feeds: %w", err)
	}
	if err := t.lockWrite(ctx); err != nil {
		return fmt.Errorf("set feeds: %w", err)
	}

	t.readMu.Lock() // Watch's checks compare rules and sets with it
	t.feeds = slices.Clone(names)
	t.readMu.Unlock()
	t.writeMu.Unlock()
	return t.Ensure(ctx)
}

// SetFeed makes the sets of a feed hold these prefixes and no others, as [Table.SetDeny] does for the
// deny sets. have is what they hold as the caller knows, so that they need not be read: that takes the
// kernel a minute for 500,000 prefixes. A wrong have does no harm but where the kernel cannot notice
// it: an element that others added stays. nil: the sets are read.
//
// Errors to branch on: ErrGone (Ensure, then try again), also for a feed that SetFeeds does not know.
func (t *Table) SetFeed(ctx context.Context, name string, have, deny []netip.Prefix) error {
	want4, want6, err := intervals(deny)
	have4, have6, err2 := intervals(have)
	if err := errors.Join(err, err2); err != nil {
		return fmt.Errorf("set feed %s: %w", name, err)
	}

	t.denyMu.Lock()
	defer t.denyMu.Unlock()
	for i, step := range [][2][]interval{{have4, want4}, {have6, want6}} {
		set := feedSet(t.table, name, i == 1)
		if have != nil {
			err := t.commitDeny(ctx, set, denySteps(step[0], step[1], denyStep))
			if err == nil {
				continue
			}
			if !refused(err) && !errors.Is(err, unix.EEXIST) && !errors.Is(err, ErrGone) {
				return fmt.Errorf("set feed %s: %w", name, err)
			}
			// The caller was wrong: the set is looked at.
		}
		if err := t.syncDeny(ctx, set, step[1]); err != nil {
			return fmt.Errorf("set feed %s: %w", name, err)
		}
	}
	return nil
}

// FeedCounts reads what each feed dropped since its counter was made.
//
// Error to branch on: ErrGone.
func (t *Table) FeedCounts(ctx context.Context) (map[string]Denied, error) {
	if err := t.lockRead(ctx); err != nil {
		return nil, fmt.Errorf("read the counters of feeds: %w", err)
	}
	defer t.readMu.Unlock()

	out := make(map[string]Denied, len(t.feeds))
	for _, name := range t.feeds {
		counter, err := t.readCounter(counterFeed+name, "read the counter of feed "+name)
		if err != nil {
			return nil, err
		}
		out[name] = Denied{Packets: counter.Packets, Bytes: counter.Bytes}
	}
	return out, nil
}

// feedSet returns the set of a feed for one family.
func feedSet(table *nftables.Table, name string, is6 bool) *nftables.Set {
	prefix := setFeed4
	if is6 {
		prefix = setFeed6
	}
	return intervalSet(table, prefix+name, is6, "amifend: dropped by a feed")
}

// feedSets returns the sets of all feeds.
func (t *Table) feedSets() (sets []*nftables.Set) {
	for _, name := range t.feeds {
		sets = append(sets, feedSet(t.table, name, false), feedSet(t.table, name, true))
	}
	return sets
}

// feedRules returns the rules that look up the sets of the feeds.
func (t *Table) feedRules() (rules [][]expr.Any) {
	for _, name := range t.feeds {
		count := &expr.Objref{Type: unix.NFT_OBJECT_COUNTER, Name: counterFeed + name}
		rules = append(rules,
			append(source(false, 32), lookup(setFeed4+name), count, verdict(expr.VerdictDrop)),
			append(source(true, 128), lookup(setFeed6+name), count, verdict(expr.VerdictDrop)))
	}
	return rules
}

// removeOldFeeds removes the sets and counters of feeds that are not there any more, perhaps since an
// earlier run. Without rules they drop nothing, and only take room, so what cannot be removed stays:
// a chain of the operator may look it up. The caller holds the write lock.
func (t *Table) removeOldFeeds() error {
	s, err := t.inspect(t.write)
	if err != nil || s.table == nil {
		return err
	}

	for name, set := range s.sets {
		feed, ok := strings.CutPrefix(name, setFeed4)
		if !ok {
			feed, ok = strings.CutPrefix(name, setFeed6)
		}
		if !ok || slices.Contains(t.feeds, feed) {
			continue
		}

		t.write.DelSet(set)
		if err := t.write.Flush(); err != nil && !ignorable(err) {
			return kernelError("remove set "+name, err)
		}

		// Both sets of a feed have one counter, so the second finds none.
		t.write.DeleteObject(counterObject(t.table, counterFeed+feed))
		if err := t.write.Flush(); err != nil && !ignorable(err) {
			return kernelError("remove the counter of feed "+feed, err)
		}
	}
	return nil
}

// ignorable reports whether what was to be removed is gone, or in use by others.
func ignorable(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EBUSY)
}
