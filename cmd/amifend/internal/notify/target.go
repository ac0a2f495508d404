package notify

import (
	"crypto/rand"
	"encoding/hex"
	mathrand "math/rand/v2"
	"reflect"
	"slices"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/delivery"
	"github.com/amifend/amifend/cmd/amifend/internal/overview"
)

// Bounds of what waits for a target.
const (
	mostMessages = 100
	mostItems    = 50 // of a message; more are counted
	mostAge      = 3 * 24 * time.Hour
)

// How a target is tried again.
const (
	retryFirst   = 30 * time.Second
	retryLast    = time.Hour
	failingAfter = 3 // failures in a row that are a condition
	// mostUrgent is how many times max_per_hour urgent messages may be.
	mostUrgent = 5
)

// target is a target of the config, and what waits for it.
type target struct {
	config.Target
	to   *delivery.Target
	gone bool // it is not in the config any more

	messages []*Message // the oldest first
	gathered []Item     // for the next digest
	more     int        // items that had no room there
	since    time.Time  // of the first one that is gathered
	quiet    bool       // some are gathered because of quiet hours

	busy     bool        // a message is being sent
	made     []time.Time // when messages were made, of the last hour
	failures int         // in a row
	problem  string      // of the last failure; "": there was none
	retry    time.Time   // not before
	last     time.Time   // when it took a message last
	dropped  int         // messages that were given up
}

// setTargets takes over the targets of a config. Those that did not change go on.
func (n *Notifier) setTargets(configs []config.Target) {
	var next []*target
	for _, c := range configs {
		i := slices.IndexFunc(n.targets, func(t *target) bool { return t.Name == c.Name })
		if i >= 0 && reflect.DeepEqual(n.targets[i].Target, c) {
			next = append(next, n.targets[i])
			continue
		}

		to, err := delivery.New(c.URL.Reveal(), c.Secret.Reveal())
		if err != nil { // not reached: the config was checked
			n.o.Log.Error("a target of [[notify]] cannot be used", "target", c.Name, "err", err)
			continue
		}

		// A target with another URL gets what waited for the one of its name.
		t := &target{Target: c, to: to}
		if i >= 0 {
			old := n.targets[i]
			t.messages, t.gathered = slices.Clone(old.messages), slices.Clone(old.gathered)
			t.more, t.since, t.quiet = old.more, old.since, old.quiet
			t.made = slices.Clone(old.made)
		}
		next = append(next, t)
	}

	for _, t := range n.targets {
		if !slices.Contains(next, t) {
			t.gone = true
		}
	}
	n.targets = next
}

// add takes an item: into a message of its own, or to those that are gathered.
func (t *target) add(i Item, w way, now time.Time, observing bool) {
	inQuiet := t.Quiet.Contain(now)
	most := t.PerHour
	if w == wayUrgent {
		most *= mostUrgent
	}
	t.forget(now)

	if w == wayUrgent && len(t.made) < most ||
		w == wayAlone && !inQuiet && len(t.made) < most {
		t.put([]Item{i}, 0, w == wayUrgent, now, observing)
		return
	}

	if len(t.gathered) == 0 {
		t.since = now
	}
	t.quiet = t.quiet || inQuiet && w == wayAlone
	if gathered := merge(t.gathered, &i); len(gathered) <= mostItems {
		t.gathered = gathered
		return
	}
	t.more++
}

// flush makes a message of what is gathered, if it is time, and reports whether it did.
func (t *target) flush(now time.Time, observing bool) bool {
	inQuiet := t.Quiet.Contain(now)
	if len(t.gathered) == 0 || inQuiet || !t.quiet && now.Sub(t.since) < t.Digest {
		return false
	}
	t.forget(now)
	t.put(t.gathered, t.more, false, now, observing)
	t.gathered, t.more, t.quiet = nil, 0, false
	return true
}

// put makes a message. When there is no room, the oldest makes way, urgent ones last.
func (t *target) put(items []Item, more int, urgent bool, now time.Time, observing bool) {
	if len(t.messages) >= mostMessages {
		i := slices.IndexFunc(t.messages, func(m *Message) bool { return !m.Urgent })
		t.messages = slices.Delete(t.messages, max(i, 0), max(i, 0)+1)
		t.dropped++
	}
	t.made = append(t.made, now)
	t.messages = append(t.messages, &Message{
		ID: newID(), At: now.Round(time.Second), Observing: observing, Items: items, More: more,
		Urgent: urgent,
	})
}

// forget drops what is over an hour ago.
func (t *target) forget(now time.Time) {
	t.made = slices.DeleteFunc(t.made, func(at time.Time) bool { return now.Sub(at) >= time.Hour })
}

// dueMessage returns the message that is to be sent now; nil: there is none. Urgent ones come
// first.
func (t *target) dueMessage(now time.Time) *Message {
	old := len(t.messages)
	t.messages = slices.DeleteFunc(t.messages, func(m *Message) bool {
		return now.Sub(m.At) > mostAge
	})
	t.dropped += old - len(t.messages)

	if t.busy || len(t.messages) == 0 || now.Before(t.retry) {
		return nil
	}
	for _, m := range t.messages {
		if m.Urgent {
			return m
		}
	}
	if t.Quiet.Contain(now) {
		return nil
	}
	return t.messages[0]
}

// delivered drops a message that the target has taken.
func (t *target) delivered(id string, now time.Time) {
	t.messages = slices.DeleteFunc(t.messages, func(m *Message) bool { return m.ID == id })
	t.failures, t.problem, t.retry, t.last = 0, "", time.Time{}, now
}

// failed notes a failure. first is the pause after the first one.
func (t *target) failed(err error, first time.Duration, now time.Time) {
	wait := min(first<<min(t.failures, 10), retryLast)
	t.failures++
	t.problem = err.Error()

	// Not all targets of one network are tried at the same time.
	t.retry = now.Add(wait + mathrand.N(wait/4+1))
}

// newID returns an ID that no other message has.
func newID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // it never fails
	return "msg_" + hex.EncodeToString(b)
}

// form returns a message as it is sent.
func (n *Notifier) form(m *Message) delivery.Message {
	out := delivery.Message{
		ID: m.ID, Subject: m.subject(n.host), Text: m.text(n.host), Body: m.body(n.host),
	}

	// A page would hide what else is in the message, so a report is a message of its own.
	if len(m.Items) == 1 && m.Items[0].Report != nil {
		out.HTML = overview.HTML(*m.Items[0].Report, m.overview(n.host))
	}
	return out
}
