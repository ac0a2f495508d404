// Package replay judges recordings as the daemon would have judged them live, and reports each
// decision.
//
// It promises the same verdicts for the same recordings and options, always: the engine's seed is
// 0, time is the recording's, and the addresses that only this machine protects (its own,
// gateways, resolvers) are left aside. The PBXs' addresses in the config and in the recordings are
// protected as in the daemon.
package replay

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
	"github.com/amifend/amifend/policy"
)

// A Player judges one event after another. Events that a ban covers at that moment are left out,
// since the kernel would drop their packets.
type Player struct {
	engine    *policy.Engine
	told      func(policy.Verdict)
	protected protected
	spared    map[netip.Addr]*Spared
	swept     int64
	leftOut   uint64
}

// NewPlayer returns a player for a config. It calls told with each decision; the verdict's evidence
// is borrowed.
func NewPlayer(c *config.Config, told func(policy.Verdict)) (*Player, error) {
	o := c.Policy

	// The seed must not differ between runs, or the verdicts would.
	o.Seed = policy.FixedSeed
	engine, err := policy.New(o)
	if err != nil {
		return nil, err
	}

	p := &Player{
		engine: engine, told: told, protected: newProtected(c),
		spared: make(map[netip.Addr]*Spared),
	}
	engine.Protect(0, p.protected.list())

	return p, nil
}

// tick is the interval at which the engine's time is advanced, in nanoseconds.
const tick = int64(time.Second)

// Play judges an event. If a ban covers its source at that moment, it returns that ban and true:
// the event is left out.
func (p *Player) Play(ev *recording.Event) (policy.Ban, bool) {
	return p.PlayFrom(ev, ev.Source.Addr())
}

// PlayFrom is like [Player.Play] for a packet that came from another address than its event names:
// chan_sip believes the Via. Only a ban of the packet's source keeps the packet from the PBX.
func (p *Player) PlayFrom(ev *recording.Event, source netip.Addr) (policy.Ban, bool) {
	// The daemon's clock ticks between events. Here the recording's time does.
	if ev.At >= p.swept+tick {
		p.swept = ev.At
		p.tell(p.engine.Advance(ev.At))
	}

	// Learned before the event is judged, so that it cannot ban the PBX itself.
	if p.protected.learn(ev) {
		p.tell(p.engine.Protect(ev.At, p.protected.list()))
	}

	// The kernel would have dropped the packet: the PBX, and the engine, would never have seen it.
	if ban, ok := p.covering(ev, source); ok {
		p.leftOut++
		return ban, true
	}

	// The engine reports what it ignored only by its counters.
	before := p.engine.Stats()
	p.tell(p.engine.Observe(ev.Observation))
	if after := p.engine.Stats(); after.Invalid > before.Invalid ||
		after.Protected > before.Protected {
		p.spare(ev)
	}

	return policy.Ban{}, false
}

// covering returns the running ban that keeps the kernel from letting ev's packet through.
func (p *Player) covering(ev *recording.Event, source netip.Addr) (policy.Ban, bool) {
	// The engine's time is that of its last call.
	bans := p.engine.BansOf(source)
	if slices.ContainsFunc(bans, func(b policy.Ban) bool { return b.Until <= ev.At }) {
		p.tell(p.engine.Advance(ev.At))
		bans = p.engine.BansOf(source)
	}

	for _, b := range bans {
		if drops(b.Scope, ev) {
			return b, true
		}
	}
	return policy.Ban{}, false
}

// drops reports whether a ban with that scope drops ev's packet. Scope sip drops what goes to the
// SIP ports, on every transport: AMI and IAX2 have ports of their own. Scope stream drops TCP.
func drops(scope policy.Scope, ev *recording.Event) bool {
	switch scope {
	case policy.ScopeSIP:
		return ev.Service == policy.ServicePJSIP || ev.Service == policy.ServiceSIP
	case policy.ScopeStream:
		return ev.Stream
	default:
		return scope == policy.ScopeAll
	}
}

// settleTime is the time after the last event, in nanoseconds, in which the engine may still
// decide: an attempt whose second event does not come counts two seconds later.
const settleTime = int64(3 * time.Second)

// Finish lets the time pass that the engine needs to decide on the last events.
func (p *Player) Finish(last int64) { p.tell(p.engine.Advance(last + settleTime)) }

func (p *Player) tell(verdicts []policy.Verdict) {
	for _, v := range verdicts {
		p.told(v)
	}
}

// Protected reports whether an address is never banned, and why.
func (p *Player) Protected(addr netip.Addr) (string, bool) {
	list := p.protected.list()
	if reason, ok := list.Contains(addr); ok {
		return reason, ok
	}
	return list.LearnedFrom(netip.PrefixFrom(addr, addr.BitLen()))
}

// Format is the format of the output.
type Format string

// The formats.
const (
	FormatText Format = "text" // for people, with a summary at the end
	FormatJSON Format = "json" // an object a line for each decision
)

// Options are the options of Run.
type Options struct {
	Config     *config.Config // its policy, allowlist and servers count
	ConfigName string         // for people
	Files      []string
	Format     Format
	Location   *time.Location // of time stamps, in logs and for people; nil: the system's
	Explain    netip.Addr     // if valid, only this address is reported, event by event
	Progress   io.Writer      // where a progress bar is drawn; nil: nowhere
}

// teller writes a replay in one format.
type teller interface {
	decision(v policy.Verdict)
	step(s step)
	explanation(x policy.Explanation)
	end(s summary) error
}

func newTeller(o Options, names []string, out io.Writer) teller {
	if o.Format == FormatJSON {
		return newJSONWriter(o, names, out)
	}
	return newTextWriter(o, names, out)
}

// Run plays the files and writes the decisions to out. An error in a file is returned after the
// decisions on all that could be read.
func Run(ctx context.Context, o Options, out io.Writer) error {
	if o.Location == nil {
		o.Location = time.Local
	}

	// Files first: a wrong name is the most common mistake.
	set, err := recording.Open(o.Files, recording.Options{
		Location: o.Location,
		Username: username(o.Config),
	})
	if err != nil {
		return err
	}
	defer set.Close()

	w := newTeller(o, set.Names(), out)
	sum := summary{config: o.ConfigName, location: o.Location}

	// The summary counts all decisions, also where only one address is shown.
	told := func(v policy.Verdict) {
		sum.add(v)
		w.decision(v)
	}

	// A ban of a prefix is the address's too.
	if o.Explain.IsValid() {
		told = func(v policy.Verdict) {
			sum.add(v)
			if v.Prefix.Contains(o.Explain) {
				w.decision(v)
			}
		}
	}

	p, err := NewPlayer(o.Config, told)
	if err != nil {
		return fmt.Errorf("set up the policy: %w", err)
	}

	// An explanation needs each event of the address, not only decisions.
	play := func(ev *recording.Event) { p.Play(ev) }
	if o.Explain.IsValid() {
		play = newStory(p, o, set.Names(), w).play
	}

	// The bar is removed before anything else is written.
	stop := recording.ShowProgress(o.Progress, set)
	playErr := set.Play(ctx, func(ev *recording.Event) {
		sum.event(ev)
		play(ev)
	})
	stop()

	// Interrupted: half a summary would look like a whole one.
	if errors.Is(playErr, context.Canceled) {
		return playErr
	}

	// The engine may still hold an attempt whose second event never came.
	p.Finish(sum.last)
	sum.finish(p, set)
	if o.Explain.IsValid() {
		w.explanation(p.engine.Explain(o.Explain))
	}

	return errors.Join(playErr, w.end(sum))
}

// username returns the daemon's manager user if the config has only one. The daemon's own login is
// recognized by it.
func username(c *config.Config) string {
	name := ""
	for i, s := range c.Servers {
		if i > 0 && s.Username != name {
			return ""
		}
		name = s.Username
	}

	return name
}
