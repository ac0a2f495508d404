package sensor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy/refusals"
)

const (
	// compareEvery is the time between two looks at the kernel's counters.
	compareEvery = 2 * time.Second

	// eventTime is how long after the counters the events are taken: an event follows its answer by
	// milliseconds.
	eventTime = 500 * time.Millisecond

	// lateAfter is the lag of a stream beyond which nothing is concluded from missing events.
	lateAfter = eventTime - 100*time.Millisecond
)

// pbx compares the sums of one session.
type pbx struct {
	session *stream.Session
	judge   *refusals.Judge
	gaps    uint64 // of the session, when the sums began
	begun   bool
	shared  bool // its address is that of another PBX, too
	placed  bool // it has an address that the kernel can see
	why     string
	refused uint64
	silent  []refusals.Silent
	told    string // problem that was logged
}

// compare compares what the PBXs refused with what AMI told, until ctx ends.
func (s *Sensor) compare(ctx context.Context) {
	tick := time.NewTicker(compareEvery)
	defer tick.Stop()

	pbxs := map[*stream.Session]*pbx{}
	for {
		s.look(ctx, pbxs)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look compares once.
func (s *Sensor) look(ctx context.Context, pbxs map[*stream.Session]*pbx) {
	sessions := s.Sessions()
	maps.DeleteFunc(pbxs, func(one *stream.Session, _ *pbx) bool {
		return !slices.Contains(sessions, one)
	})
	for _, one := range sessions {
		if pbxs[one] == nil {
			pbxs[one] = &pbx{session: one, judge: refusals.New()}
		}
		pbxs[one].prepare()
	}

	s.locate(sessions)
	for _, p := range pbxs {
		p.placed, p.shared = false, false
	}
	for _, at := range *s.places.byAddr.Load() {
		if p := pbxs[at.session]; p != nil {
			p.placed = true
			p.shared = p.shared || at.shared
		}
	}

	err := s.Table.Refused(ctx, func(r firewall.Refusals) {
		at, ok := s.places.of(r.Server)
		if p := pbxs[at.session]; ok && p != nil && p.begun {
			p.judge.Refused(refusals.Key{Addr: r.To, Stream: r.Stream}, r.Packets)
		}
	})
	if err != nil && ctx.Err() == nil {
		s.Log.Debug("the kernel sensor cannot read its counters", "err", err)
	}

	clock.Sleep(ctx, eventTime)
	if ctx.Err() != nil {
		return
	}
	now := s.Clock.Now()
	for _, one := range sessions {
		pbxs[one].conclude(now, one.Status(), err)
	}
	s.report(ctx, sessions, pbxs)
}

// prepare begins the sums anew when events may have been missed. What was told before is thrown away
// before the counters are read: an event that explains nothing hides little, but a refusal without
// its event would accuse somebody.
func (p *pbx) prepare() {
	st := p.session.Status()
	if !connected(st) {
		p.begun = false
		return
	}
	if p.begun && p.gaps == st.Gaps {
		return
	}
	p.session.TakeExplained()
	p.judge.Begin()
	p.gaps, p.begun = st.Gaps, true
}

// conclude takes the events, and finds who is silent. unread is why the counters were not all read.
func (p *pbx) conclude(now int64, st ami.Status, unread error) {
	counts, complete := p.session.TakeExplained()
	p.silent = nil
	if p.why = p.whyNot(st, complete, unread); p.why != "" {
		// Refusals may have been counted whose events are thrown away here.
		p.begun = false
		return
	}

	for k, n := range counts {
		p.judge.Explained(k, n.Challenged, n.Failed)
	}
	timely := p.session.Lag() < lateAfter || p.session.EventsPerSecond() == 0
	p.silent = p.judge.Look(now, timely)
	p.refused = p.judge.Total()
	p.why = ""
	if state := p.judge.State(); state != refusals.StateJudges {
		p.why = state.String()
	}
}

// whyNot returns why nothing can be concluded from the sums; "": it can.
func (p *pbx) whyNot(st ami.Status, complete bool, unread error) string {
	switch {
	case !p.begun || !connected(st) || st.Gaps != p.gaps:
		return "the AMI session is down"
	case !complete:
		return "more addresses than it can remember"
	case p.session.ChanSIP():
		return "chan_sip: its answers are not those of PJSIP"
	case !p.placed:
		return "no address of it is known: write addresses into its [[server]]"
	case p.shared:
		return "another PBX answers from the same address"
	case unread != nil:
		return "the kernel's counters cannot be read: " + unread.Error()
	}
	return ""
}

// report raises conditions, has the silent watched, and shows the state.
func (s *Sensor) report(
	ctx context.Context, sessions []*stream.Session, pbxs map[*stream.Session]*pbx,
) {
	var names []string
	status := make([]ServerStatus, 0, len(sessions))
	for _, one := range sessions {
		p := pbxs[one]
		names = append(names, one.Name())
		p.tell(s)
		status = append(status, ServerStatus{
			Name: one.Name(), Judging: p.why == "", Problem: p.why, Refused: p.refused,
			Silent: len(p.silent),
		})
		for _, quiet := range p.silent {
			_ = s.Table.WatchAnswers(ctx, quiet.Addr) // the next look tries again
		}
		if found := p.confirmed(); len(found) > 0 {
			s.Alerts.Raise(key(one.Name()), alert(one.Name(), found), alerts.Span{})
		}
	}
	s.resolve(names)
	s.change(func(st *Status) { st.Servers = status })
}

// tell logs that a PBX is not judged, and that it is again.
func (p *pbx) tell(s *Sensor) {
	if p.why == p.told {
		return
	}
	p.told = p.why
	log := s.Log.With("server", p.session.Name())
	if p.why == "" {
		log.Info("the kernel sensor compares what this PBX refuses with its events")
		return
	}
	log.Info("the kernel sensor does not judge this PBX", "why", p.why)
}

// confirmed returns the addresses that were silent at the look before, too.
func (p *pbx) confirmed() (out []refusals.Silent) {
	for _, one := range p.silent {
		if one.Confirmed {
			out = append(out, one)
		}
	}
	return out
}

// alert describes the silent addresses of a server.
func alert(server string, found []refusals.Silent) alerts.Alert {
	worst := found[0]
	over := "UDP"
	if worst.Stream {
		over = "TCP"
	}
	text := fmt.Sprintf("server %s refused %d requests over %s from %s or in its name, and raised "+
		"no event of %d of them: somebody hides requests from Asterisk's log", server, worst.Refused,
		over, worst.Addr, worst.Unseen)
	if more := len(found) - 1; more > 0 {
		text += fmt.Sprintf("; and %d more addresses", more)
	}

	return alerts.Alert{
		Kind: alerts.UnseenRequests, Server: server, Source: worst.Addr.String(), Text: text,
		Do: "nothing at once: who is caught with evidence is banned; look at what sends from there",
	}
}
