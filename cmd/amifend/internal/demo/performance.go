package demo

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/firewall"
)

// performance is one play of the cast on a stage.
type performance struct {
	story          *story
	stage          stage
	bench          *bench
	kernel         *kernel
	office, branch *pbx
	parts          []*part
}

// perform lets all actors act for the time long, and reports what happens.
func (p *performance) perform(ctx context.Context, long time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, long)
	defer cancel()

	began := time.Now()
	p.story.start(began)
	p.story.tell("READY",
		"amifend is logged in to both PBXs: the office over TCP, the branch over TLS")

	// All parts exist before the first one acts, because narrate reads the list meanwhile.
	for _, a := range cast(p.office, p.branch) {
		p.parts = append(p.parts, &part{actor: a})
	}

	var acting, telling sync.WaitGroup
	pace := scale(long) / scale(wholePlay)
	for _, part := range p.parts {
		// Where no packet is dropped, an attacker stops by itself. Otherwise it would look as if
		// bans did nothing.
		stop := func() bool {
			return !p.stage.packets && part.role == attacker && p.bench.covers(part.source)
		}

		acting.Go(func() {
			if part.act(ctx, began, pace, p.stage.network, p.story.tell, stop) &&
				!p.bench.covers(part.source) {
				p.story.tell("OK", fmt.Sprintf("%s: %s, and not banned",
					bans.Source(part.source), part.deedsText()))
			}
		})
	}

	// narrate runs until the last actor is done and the last verdict has come.
	over := make(chan struct{})
	telling.Go(func() { p.narrate(pace.of(progressEvery), over) })
	acting.Wait()
	<-ctx.Done()
	time.Sleep(settle)
	close(over)
	telling.Wait()
}

// settle is how long perform waits for the last verdict.
const settle = 300 * time.Millisecond

// progressEvery is the time between two lines with totals, in a whole play.
const progressEvery = 10 * time.Second

// narrate reports bans as they come, the first dropped packet of each ban, and the totals at times.
func (p *performance) narrate(every time.Duration, over <-chan struct{}) {
	look, sumUp := time.NewTicker(500*time.Millisecond), time.NewTicker(every)
	defer look.Stop()
	defer sumUp.Stop()

	told := make(map[netip.Prefix]bool)
	for {
		select {
		case v := <-p.bench.news:
			p.tellBan(v)
		case <-look.C:
			p.tellDropped(told)
		case <-sumUp.C:
			p.tellProgress()
		case <-over:
			return
		}
	}
}

// tellDropped reports each ban once when it begins to drop packets.
func (p *performance) tellDropped(told map[netip.Prefix]bool) {
	dropped, err := p.kernel.dropped(context.Background())
	if err != nil {
		p.story.tell("ERROR", err.Error())
		return
	}

	for prefix, n := range dropped {
		if n > 0 && !told[prefix] {
			told[prefix] = true
			p.story.tell("DROPPED", fmt.Sprintf("%s: the kernel drops its packets now, %d so far",
				bans.Source(prefix), n))
		}
	}
}

// tellProgress reports the totals.
func (p *performance) tellProgress() {
	var text strings.Builder
	fmt.Fprintf(&text, "bans: %d", len(p.bench.all()))

	// Only the kernel knows how many packets it dropped.
	if p.stage.packets {
		dropped, err := p.kernel.dropped(context.Background())
		if err != nil {
			p.story.tell("ERROR", err.Error())
			return
		}

		sum := uint64(0)
		for _, n := range dropped {
			sum += n
		}

		fmt.Fprintf(&text, ", packets dropped: %d", sum)
	}

	// The registrations of the phones show that bans hit nobody else.
	for _, part := range p.parts {
		if part.role == phones {
			text.WriteString("; phones: " + part.deedsText())
		}
	}

	p.story.tell("SO FAR", text.String())
}

// tellBan reports a ban.
func (p *performance) tellBan(v verdict) {
	verb := "BANNED"
	if !p.stage.kernel {
		verb = "WOULDBAN"
	}
	p.story.tell(verb, fmt.Sprintf("%s  %s, %v, until %s\n%s", v.Source(), scopeText(v.Scope),
		v.Duration.Round(time.Second), clockText(v.Until()), why(v)))
}

// why returns the reason of a ban.
func why(v verdict) string {
	return fmt.Sprintf("%d attempts: %s (rule %s, score %.1f)", v.Attempts, v.Evidence, v.Rule,
		v.Score)
}

// scopeText returns what a ban of a scope drops.
func scopeText(s firewall.Scope) string {
	switch s {
	case firewall.ScopeAll:
		return "all traffic"
	case firewall.ScopeSIP:
		return "SIP ports"
	case firewall.ScopeStream:
		return "TCP ports"
	}
	return s.String()
}

// clockText returns the time of day.
func clockText(t time.Time) string { return t.Format("15:04:05") }

// kernel reads the bans that the daemon made in the kernel. In a dry run it returns none.
type kernel struct{ table *firewall.Table }

// openKernel opens a second handle on the daemon's table for reading.
func openKernel(st stage) (*kernel, error) {
	if !st.kernel {
		return &kernel{}, nil
	}
	t, err := firewall.Open(firewall.Options{Table: table})
	if err != nil {
		return nil, fmt.Errorf("look into the kernel: %w", err)
	}
	return &kernel{t}, nil
}

// dropped returns the packets that each ban in the kernel has dropped.
func (k *kernel) dropped(ctx context.Context) (map[netip.Prefix]uint64, error) {
	if k.table == nil {
		return nil, nil
	}

	elements, err := k.table.Bans(ctx)
	if err != nil {
		return nil, fmt.Errorf("look into the kernel: %w", err)
	}

	out := make(map[netip.Prefix]uint64, len(elements))
	for _, e := range elements {
		out[e.Prefix] += e.Packets
	}

	return out, nil
}

// Close closes the handle.
func (k *kernel) Close() error {
	if k.table == nil {
		return nil
	}
	return k.table.Close()
}
