package notify

import (
	"sync"

	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/policy"
)

// Bounds of what waits to be taken. Those that forged packets can raise leave room for the others.
const (
	mostWaiting          = 1000
	mostWaitingForgeable = mostWaiting / 2
)

// intake is the mailbox of a [Notifier]. A sender holds its lock for a moment, and never waits. What
// has no room is counted.
type intake struct {
	wake chan struct{} // holds a token while there may be something to take

	mu        sync.Mutex
	bans      []bans.Ban // as many as mostBans; then they are counted in more
	more      moreBans
	items     []Item
	forgeable int
	lost      int // items without room
}

// mostBans bounds the bans that wait with their details.
const mostBans = 256

// moreBans counts bans without their details.
type moreBans struct{ bans, attempts int }

func newIntake() *intake { return &intake{wake: make(chan struct{}, 1)} }

func (in *intake) put(f func()) {
	in.mu.Lock()
	f()
	in.mu.Unlock()
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// take empties the intake.
func (in *intake) take() (found []bans.Ban, more moreBans, items []Item, lost int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	found, more, items, lost = in.bans, in.more, in.items, in.lost
	in.bans, in.more, in.items, in.forgeable, in.lost = nil, moreBans{}, nil, 0, 0
	return found, more, items, lost
}

// Ban hands over a ban that the kernel has, or that would be made. It does not wait.
func (n *Notifier) Ban(b bans.Ban) {
	// What an operator did, or what was there at the start, is no attack.
	if b.Rule == policy.RuleOperator.String() || b.Rule == policy.RuleAdopted.String() {
		return
	}
	b.Evidence = ""
	n.in.put(func() {
		if len(n.in.bans) < mostBans {
			n.in.bans = append(n.in.bans, b)
			return
		}
		n.in.more.bans++
		n.in.more.attempts += b.Attempts
	})
}

// Alert hands over an event, or the beginning or end of a condition. It does not wait.
func (n *Notifier) Alert(phase alerts.Phase, c alerts.Condition) {
	i := itemOf(phase, &c)
	n.in.put(func() {
		forgeable := alerts.KindOf(i.Kind).Forgeable
		if len(n.in.items) >= mostWaiting || forgeable && n.in.forgeable >= mostWaitingForgeable {
			n.in.lost++
			return
		}
		if forgeable {
			n.in.forgeable++
		}
		n.in.items = append(n.in.items, i)
	})
}
