// Package replay judges recordings as the daemon would have judged them live, and reports each
// decision.
//
// It promises the same verdicts for the same recordings and options, always. The engine's seed is
// 0, and the recording's time is used. The addresses that this machine would protect (its own,
// gateways, resolvers) are not protected. The PBXs' addresses in the config and in the recordings
// are protected as in the daemon.
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
	decided   func(policy.Verdict) // called with each decision
	protected protected
	spared    map[netip.Addr]*Spared
	swept     int64
	leftOut   uint64
}

// NewPlayer returns a player for a config. It calls decided with each decision; the verdict's
// evidence is borrowed.
func NewPlayer(c *config.Config, decided func(policy.Verdict)) (*Player, error) {
	o := c.Policy

	// The seed must not differ between runs, or the verdicts would.
	o.Seed = policy.FixedSeed
	engine, err := policy.New(o)
	if err != nil {
		return nil, err
	}

	p := &Player{
		engine: engine, decided: decided, protected: newProtected(c),
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
	// In the daemon a clock advances the engine between events. Here the recording's time does.
	if ev.At >= p.swept+tick {
		p.swept = ev.At
		p.report(p.engine.Advance(ev.At))
	}

	// The PBX's address is learned before the event is judged, so that it cannot be banned.
	if p.protected.learn(ev) {
		p.report(p.engine.Protect(ev.At, p.protected.list()))
	}

	// The kernel would have dropped the packet: the PBX, and the engine, would never have seen it.
	if ban, ok := p.covering(ev, source); ok {
		p.leftOut++
		return ban, true
	}

	// Only the engine's counters show that it ignored the event.
	before := p.engine.Stats()
	p.report(p.engine.Observe(ev.Observation))
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
		p.report(p.engine.Advance(ev.At))
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
func (p *Player) Finish(last int64) { p.report(p.engine.Advance(last + settleTime)) }

func (p *Player) report(verdicts []policy.Verdict) {
	for _, v := range verdicts {
		p.decided(v)
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
	FormatJSON Format = "json" // one line with an object for each decision, see package envelope
)

// Options are the options of Run.
type Options struct {
	Config     *config.Config // its policy, allowlist and servers count
	ConfigName string         // for people
	Files      []string
	Format     Format
	Location   *time.Location // of time stamps, in logs and for people; nil: the system's
	Explain    netip.Addr     // if valid, only this address is reported, event by event
	Summary    bool           // only the summary, not each decision
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

	// Open the files first, because a wrong name is the most common mistake.
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

	// The summary counts all decisions, even where only one address is shown. A ban of a prefix
	// concerns each address in it.
	p, err := NewPlayer(o.Config, func(v policy.Verdict) {
		if goesOn(v) {
			return
		}
		sum.add(v)
		if !o.Summary && (!o.Explain.IsValid() || v.Prefix.Contains(o.Explain)) {
			w.decision(v)
		}
	})
	if err != nil {
		return fmt.Errorf("set up the policy: %w", err)
	}

	// An explanation shows each event of the address, not only decisions.
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

	// After an interrupt there is no summary, because it would look like that of all files.
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

// goesOn reports whether a verdict only repeats that a condition goes on. A replay shows the
// beginning and the end of a condition.
func goesOn(v policy.Verdict) bool {
	return v.Phase == policy.PhaseUpdate || v.Phase == policy.PhaseYield
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
