package demo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	amifend "github.com/amifend/amifend/cmd/amifend/internal/daemon"
)

// part is an actor in play, with what it did so far.
type part struct {
	actor

	mu  sync.Mutex
	did deeds
}

// deeds counts an actor's tries and requests.
type deeds struct {
	tries, sent, answered int
	letIn                 int   // tries whose last answer was OK
	err                   error // of the first try that could not be made
}

// count adds the result of a try.
func (p *part) count(r result, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.did.tries++
	p.did.sent += r.sent
	p.did.answered += r.answered
	if r.last == statusOK {
		p.did.letIn++
	}
	if p.did.err == nil {
		p.did.err = err
	}
}

// deeds returns the counts so far.
func (p *part) deeds() deeds {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.did
}

// text returns in a few words what an actor of a role did.
func (d deeds) text(r role) string {
	switch r {
	case phones, mixed:
		return fmt.Sprintf("%d of %d registrations done", d.letIn, d.tries)
	case forger:
		return fmt.Sprintf("%d packets forged in its name", d.sent)
	case user:
		return fmt.Sprintf("let in at try %d", d.tries)
	default:
		return fmt.Sprintf("%d of %d requests answered", d.answered, d.sent)
	}
}

// scale is the factor by which the play runs slower than written.
type scale float64

func (s scale) of(d time.Duration) time.Duration { return time.Duration(float64(d) * float64(s)) }

// deedsText returns in a few words what the actor did.
func (p *part) deedsText() string { return p.deeds().text(p.role) }

// act plays a part, and reports whether it was played to its end. It ends early when ctx ends, or
// when stop returns true, which act calls before each try. A try that has begun is finished, so
// that the counts are complete.
func (p *part) act(
	ctx context.Context, began time.Time, s scale, n network,
	tell func(verb, text string), stop func() bool,
) bool {
	if !sleepUntil(ctx, began.Add(s.of(p.starts))) {
		return false
	}

	tell(p.verb, p.entry)
	for i := 0; p.times == 0 || i < p.times; i++ {
		at := began.Add(s.of(p.starts + time.Duration(i)*p.every))
		if !sleepUntil(ctx, at) || stop() {
			return false
		}
		p.count(n.exchange(context.WithoutCancel(ctx), p.next(i)))
	}

	return true
}

// sleepUntil waits for a moment. It reports false if ctx ended before.
func sleepUntil(ctx context.Context, at time.Time) bool {
	t := time.NewTimer(time.Until(at))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return ctx.Err() == nil
	}
}

// setStage makes the stage for PBXs whose Manager Interfaces run.
type setStage func(ctx context.Context, pbxs ...*pbx) stage

// play plays the demo: it sets the stage, lets all actors act, and judges.
func play(ctx context.Context, o Options, set setStage) (err error) {
	log, err := openLog(o.Log)
	if err != nil {
		return err
	}
	defer log.Close()

	// The PBXs start before the daemon, which connects to them at once.
	office, branch := newPBXs()
	for _, p := range []*pbx{office, branch} {
		if err := p.start(); err != nil {
			return err
		}
		defer p.manager.Close()
	}

	s := newStory(o.Out)
	st := set(ctx, office, branch)
	defer func() { err = errors.Join(err, st.close()) }()

	s.print(opening(o.For, st)...)

	// The daemon is the real one. The bench also gets its alerts and bans, for the judgement.
	b := newBench()
	d, err := startDaemon(ctx,
		amifend.Options{
			Config: st.daemonConfig(office, branch), Log: s.logger(log, b.alerted),
			Banned: b.banned,
		}, office, branch)
	if err != nil {
		return err
	}

	k, err := openKernel(st)
	if err != nil {
		return errors.Join(err, d.stop())
	}
	defer k.Close()

	p := performance{
		story: s, stage: st, bench: b, kernel: k, office: office, branch: branch,
	}

	// The counters are read before the daemon ends. All outcomes are judged after it has ended.
	p.perform(d.ctx, o.For)
	ended := d.ctx.Err() != nil // the daemon failed, or the user interrupted
	dropped, err := k.dropped(context.WithoutCancel(ctx))
	if err := errors.Join(err, d.stop()); err != nil {
		return err
	}

	return p.close(ended, dropped)
}
