package enforce

import (
	"slices"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/compact"
	"github.com/amifend/amifend/firewall"
)

// This file is about how the ledger's bans come to the kernel: the queue of those to send, and those
// that found their set full.

// waitingRoom has the bans that found their set full, and when to try some of them again.
type waitingRoom struct {
	waiting map[compact.Key]struct{}
	retry   int64
	try     int // how many to try then
}

// send wants a ban sent to the kernel.
func (l *ledger) send(h *held) {
	if !h.sending {
		h.sending = true
		l.sending++
	}
	if !h.queued {
		h.queued = true
		l.queue = append(l.queue, h)
	}
}

// sent notes that a ban need not be sent any more.
func (l *ledger) sent(h *held) {
	if !h.sending {
		return
	}
	h.sending = false
	if l.sending--; l.sending == 0 {
		for _, q := range l.queue {
			q.queued = false
		}
		l.queue = nil // releases its memory
	}
}

// next returns changes to make, some of them if there are many. Lifts come first.
func (l *ledger) next(now int64, c clock.Clock) []firewall.Change {
	l.retryFull(now)
	out := make([]firewall.Change, 0, min(l.pending(), sendMost))

	// Lifts make room for bans, and a person may be waiting for one.
	for k := range l.lifts {
		if len(out) == sendMost {
			return out
		}
		out = append(out, firewall.Change{
			Ban: firewall.Ban{Prefix: k.Prefix(), Scope: k.Scope()}, Lift: true,
		})
	}

	// What is sent stays in the ledger, and in the queue, until the kernel has acknowledged it.
	kept, i := l.queue[:0], 0
	queue := l.queue
	for ; i < len(queue) && len(out) < sendMost; i++ {
		h := queue[i]
		switch {
		case !h.sending:
			h.queued = false
			continue
		case h.expiry <= now:
			h.queued = false
			l.drop(h) // the kernel lets it run out by itself
			continue
		}

		kept = append(kept, h)
		out = append(out, firewall.Change{
			Ban: firewall.Ban{
				Prefix: h.key.Prefix(), Scope: h.key.Scope(), Until: c.Deadline(h.expiry),
			},
		})
	}
	if l.queue != nil { // else the last ban was dropped
		l.requeue(queue, len(kept), i)
	}

	return out
}

// requeue closes the gap between the first kept bans of the queue and the rest, which begins at from.
func (l *ledger) requeue(queue []*held, kept, from int) {
	if kept == from {
		return
	}
	copy(queue[from-kept:], queue[:kept])
	clear(queue[:from-kept])
	l.queue = queue[from-kept:]
}

// resend sends all bans again: what the kernel has is not known. Those come first that keep out
// somebody who sent lately, then the newest.
func (l *ledger) resend() {
	clear(l.full)
	for _, h := range l.queue {
		h.queued = false
	}
	l.queue = slices.Grow[[]*held](nil, len(l.bans))
	for _, hot := range []bool{true, false} {
		for h := range l.byAge.after(nil) {
			if h.hot == hot {
				l.send(h)
			}
		}
	}
}

// sendIfMissing sends a ban again that is not among the elements of the kernel, or runs out there at
// another time, and reports whether it does. now is when the walk over the elements began: what the
// kernel took since may be missing among them. Its counter is noted.
func (l *ledger) sendIfMissing(
	h *held, elements *firewall.Elements, now int64, slack time.Duration,
) bool {
	el, _ := elements.Find(h.key.Prefix(), h.key.Scope())
	h.count(el, now)
	if h.sending || h.acked == 0 || h.acked > now || h.expiry-now <= int64(slack) {
		return false
	}

	// An element that is missing has nothing left, which is another time as well.
	if d := el.Expires - time.Duration(h.expiry-now); d.Abs() <= slack {
		return false
	}
	l.send(h)
	return true
}

// foundFull notes a ban that found its set full.
func (l *ledger) foundFull(h *held, retry int64) {
	l.sent(h)

	f := l.full[setOf(h.key)]
	if f == nil {
		f = &waitingRoom{waiting: make(map[compact.Key]struct{})}
		l.full[setOf(h.key)] = f
	}

	f.retry = retry
	f.try = probeFirst
	f.waiting[h.key] = struct{}{}
}

// retryFull lets some of the bans that found their set full try again.
func (l *ledger) retryFull(now int64) {
	for set, f := range l.full {
		if f.retry > now {
			continue
		}

		// A set that is still full would refuse them all. So few are tried at first, and twice as
		// many each time.
		n := f.try
		for k := range f.waiting {
			if n == 0 {
				break
			}

			n--
			delete(f.waiting, k)
			l.send(l.bans[k])
		}

		f.try = min(2*f.try, sendMost) // foundFull sets it back if there is no room
		if len(f.waiting) == 0 {
			delete(l.full, set)
		}
	}
}

// waits reports whether a ban waits for room.
func (l *ledger) waits(k compact.Key) bool {
	if len(l.full) == 0 {
		return false
	}
	f := l.full[setOf(k)]
	if f == nil {
		return false
	}
	_, ok := f.waiting[k]
	return ok
}

// waiting returns how many bans wait for room.
func (l *ledger) waiting() int {
	n := 0
	for _, f := range l.full {
		n += len(f.waiting)
	}
	return n
}
