// Package report counts the failed attempts in recordings by their source: the successor of the one-liner that greps a
// log, cuts out the address, sorts and counts.
//
// It counts attempts, as the policy engine does, not events, and it counts those after a ban too: that is what a PBX
// without protection has to bear. The verdict is the daemon's, had it run.
package report

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/recording"
	"github.com/amifend/amifend/cmd/amifend/internal/replay"
	"github.com/amifend/amifend/policy"
)

// maxAccounts is how many accounts of a source are told apart.
const maxAccounts = 100

// Format is how a report is written.
type Format string

// The formats.
const (
	FormatText Format = "text"
	FormatJSON Format = "json" // an object a line for each source
	FormatCSV  Format = "csv"
)

// Options are what Run needs.
type Options struct {
	Config   *config.Config // its policy, allowlist and servers count
	Files    []string
	Format   Format
	Location *time.Location // of time stamps, in logs and for people; nil: the system's
}

// source is what is known of one source.
type source struct {
	addr        netip.Addr
	attempts    int
	first, last int64
	accounts    []policy.Label // the first maxAccounts
	more        bool           // there are more
	kinds       [policy.KindCount]int
	ban         policy.Ban
	bans        int
	protected   string // why it is never banned
	loggedIn    bool
}

// Run reads the files and writes the report. An error in a file is returned after what could be read was told.
func Run(ctx context.Context, o Options, out io.Writer) error {
	if o.Location == nil {
		o.Location = time.Local
	}
	set, err := recording.Open(o.Files, recording.Options{Location: o.Location})
	if err != nil {
		return err
	}
	defer set.Close()
	t, err := newTally(o.Config)
	if err != nil {
		return fmt.Errorf("set up the policy: %w", err)
	}
	playErr := set.Play(ctx, t.play)
	if errors.Is(playErr, context.Canceled) {
		return playErr
	}
	return errors.Join(playErr, write(o, t.finish(), doubts(set.Files()), out))
}

// doubts is how many lines of logs were not believed or not understood.
func doubts(files []recording.File) (n uint64) {
	for _, f := range files {
		n += f.Log.Doubtful + f.Log.Cut + f.Log.Broken
	}
	return n
}

// tally counts attempts by source.
type tally struct {
	judge   *replay.Player // decides as the daemon
	counter *policy.Engine // bans nobody: tells what is an attempt
	sources map[netip.Addr]*source
	proved  map[netip.Addr]struct{} // logged in at some time
	held    map[heldKey]heldAttempt
	queue   []queued // held attempts in the order of time, also those that were told by an event
	due     int      // the first in queue whose time is not up
	last    int64
}

// heldKey is what the engine knows a request by.
type heldKey struct {
	source  netip.AddrPort
	session uint64
	server  uint16
	stream  bool
}

// heldAttempt is an event that the engine holds until the next one tells whether it is an attempt of its own.
type heldAttempt struct {
	at      int64
	kind    policy.Kind
	account policy.Label
}

// queued is a held attempt that waits for its time.
type queued struct {
	heldKey
	at int64
}

func newTally(c *config.Config) (*tally, error) {
	t := &tally{sources: make(map[netip.Addr]*source), proved: make(map[netip.Addr]struct{}), held: make(map[heldKey]heldAttempt)}
	var err error
	if t.judge, err = replay.NewPlayer(c, t.decision); err != nil {
		return nil, err
	}
	o := c.Policy
	o.Seed, o.Threshold, o.ProofWindow, o.Canaries = policy.FixedSeed, 1e6, time.Minute, nil
	for _, r := range policy.Rules() {
		if r.Rule != policy.RuleRequests {
			o.Off, _ = o.Off.With(r.Rule)
		}
	}
	t.counter, err = policy.New(o)
	return t, err
}

// decision notes a ban with each source that it covers and that is known by now: a prefix may cover several.
func (t *tally) decision(v policy.Verdict) {
	if v.Action != policy.ActionBan {
		return
	}
	note := func(s *source) {
		s.bans++
		if s.bans == 1 || v.Scope > s.ban.Scope {
			s.ban = policy.Ban{Prefix: v.Prefix, Scope: v.Scope, From: v.At, Until: v.At + int64(v.Duration), Rule: v.Rule}
		}
	}
	if v.Prefix.IsSingleIP() {
		if s := t.sources[v.Prefix.Addr()]; s != nil {
			note(s)
		}
		return
	}
	for addr, s := range t.sources {
		if v.Prefix.Contains(addr) {
			note(s)
		}
	}
}

// play takes one event.
func (t *tally) play(ev *recording.Event) {
	t.last = ev.At
	t.count(ev)
	ban, leftOut := t.judge.Play(ev)
	if s := t.sources[ev.Source.Addr()]; leftOut && s != nil && s.bans == 0 { // a neighbour's ban, of their prefix
		s.ban, s.bans = ban, 1
	}
}

// companionTime is how long the engine holds an attempt (policy/README.md).
const companionTime = int64(2 * time.Second)

// count asks the engine, by its counters, whether an event is an attempt.
func (t *tally) count(ev *recording.Event) {
	t.settle(ev.At)
	before := t.counter.Stats()
	t.counter.Observe(ev.Observation)
	after := t.counter.Stats()
	n := attempts(after) - attempts(before)
	key := heldKey{ev.Source, ev.Session, ev.Server, ev.Stream}
	held, wasHeld := t.held[key]
	own := n
	if wasHeld && (n > 0 || after.Folded > before.Folded) { // the event told what the held one was
		delete(t.held, key)
		wasHeld = false
		if n > 0 {
			t.attempt(ev.Source.Addr(), held)
			own--
		}
	}
	now := heldAttempt{ev.At, kind(ev), ev.Account}
	switch {
	case own > 0:
		t.attempt(ev.Source.Addr(), now)
	case !wasHeld && n == 0 && after.Folded == before.Folded && after.Invalid == before.Invalid && mayBeHeld(ev):
		t.held[key] = now
		t.queue = append(t.queue, queued{key, now.at})
	case ev.Kind == policy.KindSuccessfulAuth && !ev.Injected && (ev.Password || ev.Stream):
		t.proved[ev.Source.Addr()] = struct{}{}
		delete(t.held, key) // the request succeeded: it was no attempt
	}
}

// attempts is how many attempts the engine saw, whatever it made of them.
func attempts(s policy.Stats) uint64 {
	return s.Counted + s.Excused + s.Shielded + s.Covered + s.Protected
}

// mayBeHeld reports whether the engine may hold an event.
func mayBeHeld(ev *recording.Event) bool {
	return !ev.Injected && ev.Service == policy.ServicePJSIP && (ev.Kind == policy.KindInvalidAccountID || ev.Kind == policy.KindFailedACL)
}

// settle counts the held attempts whose time is up.
func (t *tally) settle(now int64) {
	due := t.due
	for ; t.due < len(t.queue); t.due++ {
		q := t.queue[t.due]
		if q.at+companionTime >= now {
			break
		}
		if held, ok := t.held[q.heldKey]; ok && held.at == q.at {
			delete(t.held, q.heldKey)
			t.attempt(q.source.Addr(), held)
		}
	}
	if t.due > due {
		t.counter.Advance(now)
	}
	if t.due > len(t.queue)/2 { // so that each entry is moved once on average
		t.queue = t.queue[:copy(t.queue, t.queue[t.due:])]
		t.due = 0
	}
}

func kind(ev *recording.Event) policy.Kind {
	if ev.Injected {
		return policy.KindInjection
	}
	return ev.Kind
}

// attempt adds an attempt to its source.
func (t *tally) attempt(addr netip.Addr, a heldAttempt) {
	s := t.sources[addr]
	if s == nil {
		s = &source{addr: addr, first: a.at}
		t.sources[addr] = s
		if reason, ok := t.judge.Protected(addr); ok {
			s.protected = reason
		}
	}
	s.attempts++
	s.first, s.last = min(s.first, a.at), max(s.last, a.at)
	s.kinds[a.kind]++
	switch {
	case slices.Contains(s.accounts, a.account):
	case len(s.accounts) < maxAccounts:
		s.accounts = append(s.accounts, a.account)
	default:
		s.more = true
	}
}

// finish returns the sources, most attempts first.
func (t *tally) finish() []*source {
	t.settle(t.last + 2*companionTime)
	t.judge.Finish(t.last)
	out := make([]*source, 0, len(t.sources))
	for addr, s := range t.sources {
		_, s.loggedIn = t.proved[addr]
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b *source) int {
		if a.attempts != b.attempts {
			return b.attempts - a.attempts
		}
		return a.addr.Compare(b.addr)
	})
	return out
}
