package replay

import (
	"fmt"
	"net/netip"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/explain"
	"github.com/amifend/amifend/cmd/amifend/internal/recording"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
	"github.com/amifend/amifend/policy"
)

// step is one event of the address that is explained, and the engine's reaction to it.
type step struct {
	event  *recording.Event
	server string
	effect string
	ban    policy.Ban // the ban that covered the event, if it was left out
}

// story replays all events and reports those of one address.
type story struct {
	player *Player
	addr   netip.Addr
	files  []string
	w      teller
}

func newStory(p *Player, o Options, names []string, w teller) *story {
	return &story{player: p, addr: o.Explain, files: names, w: w}
}

func (s *story) play(ev *recording.Event) {
	if ev.Source.Addr() != s.addr {
		s.player.Play(ev)
		return
	}

	// The engine first decides what is due by now, so that only this event changes the counters.
	s.player.report(s.player.engine.Advance(ev.At))
	before := s.player.engine.Stats()

	// Verdicts are kept back, because the reader expects the event before its result.
	decided := s.player.decided
	var verdicts []policy.Verdict
	s.player.decided = func(v policy.Verdict) {
		// The evidence is borrowed: it is valid during the call only.
		v.Evidence = append([]policy.Evidence(nil), v.Evidence...)
		verdicts = append(verdicts, v)
	}

	ban, leftOut := s.player.Play(ev)
	s.player.decided = decided

	// The difference of the counters shows the effect of the event.
	out := step{event: ev, server: s.files[ev.Server], ban: ban}
	out.effect = effect(before, s.player.engine.Stats(), ev)
	if leftOut {
		out.effect = "left out: banned"
	}

	s.w.step(out)
	s.player.report(verdicts)
}

// effect describes the engine's reaction to an event, by its counters before and after.
func effect(before, after policy.Stats, ev *recording.Event) string {
	// The order matters: an event that counts may also release one that was held, and one that is
	// folded or covered changes further counters.
	switch {
	case after.Invalid > before.Invalid:
		return "its source is never judged"
	case after.Counted > before.Counted+1:
		return fmt.Sprintf("counted, with %d held before", after.Counted-before.Counted-1)
	case after.Counted > before.Counted:
		return "counted"
	case after.Folded > before.Folded:
		return "part of the attempt before"
	case after.Protected > before.Protected:
		return "not counted: never banned"
	case after.Excused > before.Excused:
		return "not counted: a misconfigured phone's"
	case after.Shared > before.Shared:
		return "not counted: many users share this source"
	case after.Shielded > before.Shielded:
		return "not counted: could be forged, and the source has proved itself"
	case after.Covered > before.Covered:
		return "not counted: banned"
	case ev.Kind == policy.KindSuccessfulAuth && (ev.Password || ev.Stream):
		return "a proof"
	case ev.Kind == policy.KindInvalidAccountID || ev.Kind == policy.KindFailedACL:
		return "held until the next event shows whose attempt it is"
	default:
		return "no evidence"
	}
}

func (w *textWriter) step(s step) {
	ev := s.event
	what := ev.Kind.String()
	if ev.Taint != ami.Untainted {
		what = "injection (" + ev.Taint.String() + ") in a " + what
	}

	fmt.Fprintf(w.out, "%s  event  %s %s %s from port %d, account %s", stamp(ev.At, w.location),
		ev.Service, what, ev.Transport, ev.Source.Port(),
		ami.Quote(ev.Account.Bytes()))
	if w.servers != nil {
		fmt.Fprintf(w.out, ", in %s", s.server)
	}

	fmt.Fprintf(w.out, ": %s\n", s.effect)
}

func (w *textWriter) explanation(x policy.Explanation) {
	fmt.Fprintf(w.out, "--\nat the end:\n")
	o := explain.Options{Servers: w.servers, Location: w.location}
	_ = explain.Text(w.out, x, o) // the buffer keeps the error for end
}

// jsonStep is an event in JSON.
type jsonStep struct {
	Time      string `json:"time"`
	Action    string `json:"action"` // "event"
	Source    string `json:"source"`
	Service   string `json:"service"`
	Kind      string `json:"kind"`
	Transport string `json:"transport"`
	Account   string `json:"account"`
	File      string `json:"file"`
	Effect    string `json:"effect"`
}

func (w *jsonWriter) step(s step) {
	ev := s.event
	kind := ev.Kind.String()
	if ev.Taint != ami.Untainted {
		kind = policy.KindInjection.String()
	}

	w.item(jsonStep{
		rfc3339(ev.At), "event", ev.Source.String(), ev.Service.String(), kind,
		ev.Transport.String(), wording.Name(ev.Account), s.server, s.effect,
	})
}

func (w *jsonWriter) explanation(x policy.Explanation) {
	w.item(explain.New(x, w.servers))
}
