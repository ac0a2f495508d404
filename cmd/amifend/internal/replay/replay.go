// Package replay judges recordings as the daemon would have judged them live, and tells each
// decision.
//
// It promises the same verdicts for the same recordings and options, always: the engine's seed is
// 0, time is the recording's, and what this machine protects (its own addresses, gateways,
// resolvers) is left aside. What the config and the recordings tell of the PBXs is protected as in
// the daemon.
package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/recording"
	"github.com/amifend/amifend/policy"
)

// A Player judges one event after another. What a ban covers at that moment it leaves out, as the
// kernel would.
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

// tick is how often the engine is told of the time.
const tick = int64(time.Second)

// Play judges an event. If a ban covers its source at that moment, it returns that ban and true:
// the event is left out.
func (p *Player) Play(ev *recording.Event) (policy.Ban, bool) {
	return p.PlayFrom(ev, ev.Source.Addr())
}

// PlayFrom is like [Player.Play] for a packet that came from another address than its event names:
// chan_sip believes the Via. Only a ban of the packet's source keeps the packet from the PBX.
func (p *Player) PlayFrom(ev *recording.Event, source netip.Addr) (policy.Ban, bool) {
	if ev.At >= p.swept+tick {
		p.swept = ev.At
		p.tell(p.engine.Advance(ev.At))
	}
	if p.protected.learn(ev) {
		p.tell(p.engine.Protect(ev.At, p.protected.list()))
	}
	if ban, ok := p.covering(ev, source); ok {
		p.leftOut++
		return ban, true
	}
	before := p.engine.Stats()
	p.tell(p.engine.Observe(ev.Observation))
	if after := p.engine.Stats(); after.Invalid > before.Invalid ||
		after.Protected > before.Protected {
		p.spare(ev)
	}
	return policy.Ban{}, false
}

// covering returns the running ban that keeps the kernel from letting ev's packet through. A ban of
// scope sip drops what goes to the SIP ports, on every transport.
func (p *Player) covering(ev *recording.Event, source netip.Addr) (policy.Ban, bool) {
	ban, ok := p.engine.Ban(source)
	if ok && ban.Until <= ev.At { // the engine's time is that of its last call
		p.tell(p.engine.Advance(ev.At))
		ban, ok = p.engine.Ban(source)
	}
	if !ok {
		return policy.Ban{}, false
	}
	sip := ev.Service == policy.ServicePJSIP || ev.Service == policy.ServiceSIP
	return ban, ban.Scope == policy.ScopeAll || ban.Scope == policy.ScopeSIP && sip
}

// settleTime is how long after the last event the engine may still have something to decide: an
// attempt whose second event does not come counts two seconds later.
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
	return p.protected.list().Contains(addr)
}

// Format is how a replay is told.
type Format string

// The formats.
const (
	FormatText Format = "text" // for people, with a summary at the end
	FormatJSON Format = "json" // an object a line for each decision
)

// Options are what Run needs.
type Options struct {
	Config     *config.Config // its policy, allowlist and servers count
	ConfigName string         // for people
	Files      []string
	Format     Format
	Location   *time.Location // of time stamps, in logs and for people; nil: the system's
	Explain    netip.Addr     // if valid, only this address is told of, event by event
	Progress   io.Writer      // where a progress bar is drawn; nil: nowhere
}

// teller tells a replay in one format.
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

// Run plays the files and writes what is decided. An error in a file is returned after what could
// be read was told.
func Run(ctx context.Context, o Options, out io.Writer) error {
	if o.Location == nil {
		o.Location = time.Local
	}
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
	told := func(v policy.Verdict) {
		sum.add(v)
		w.decision(v)
	}
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
	play := func(ev *recording.Event) { p.Play(ev) }
	if o.Explain.IsValid() {
		play = newStory(p, o, set.Names(), w).play
	}

	stop := recording.ShowProgress(o.Progress, set)
	playErr := set.Play(ctx, func(ev *recording.Event) {
		sum.event(ev)
		play(ev)
	})
	stop()
	if errors.Is(playErr, context.Canceled) {
		return playErr
	}
	p.Finish(sum.last)
	sum.finish(p, set)
	if o.Explain.IsValid() {
		w.explanation(p.engine.Explain(o.Explain))
	}
	return errors.Join(playErr, w.end(sum))
}

// username is the daemon's manager user, if the config has only one: its own login is told by it.
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
