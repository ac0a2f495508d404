package demo

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// inFlight is how long after the kernel's acknowledgement of a ban a request that was sent before
// may still arrive.
const inFlight = 500 * time.Millisecond

// outcome is the result of an actor's part.
type outcome struct {
	actor
	deeds
	ban      *verdict // nil: no ban of exactly its source
	told     []alert  // about exactly its source
	due      bool     // its alert is expected
	inKernel bool
	dropped  uint64
	reached  int // requests that arrived at a PBX
	late     int // of those, the ones well after the ban
}

// outcome gathers what happened to one actor.
func (p *performance) outcome(part *part, dropped map[netip.Prefix]uint64) outcome {
	o := outcome{actor: part.actor, deeds: part.deeds()}

	// Requests after this time are late. Without a ban, none is.
	after := time.Now()
	for _, v := range p.bench.all() {
		if v.Prefix == o.source {
			o.ban = &v // the latest
			after = v.at.Add(inFlight)
		}
	}

	o.dropped, o.inKernel = dropped[o.source]
	for _, a := range p.bench.allAlerts() {
		if a.source == bans.Source(o.source) {
			o.told = append(o.told, a)
		}
	}

	o.due = o.alert != ""

	// Forged requests name unknown accounts. Those of a known account are the real phone's.
	theirs := func(a arrival) bool {
		if o.role == forger && a.known {
			return false
		}
		return o.source.Contains(a.from)
	}
	for _, pbx := range []*pbx{p.office, p.branch} {
		o.reached += pbx.reached(theirs)
		o.late += pbx.reached(func(a arrival) bool { return theirs(a) && a.at.After(after) })
	}

	return o
}

// judge returns what is wrong with an outcome: an attacker that is not banned as expected, or a
// good source that was hurt.
func (o outcome) judge(st stage) []string {
	var wrong []string
	bad := func(format string, args ...any) {
		wrong = append(wrong,
			fmt.Sprintf("%s (%s) ", o.name, bans.Source(o.source))+fmt.Sprintf(format, args...))
	}

	// An actor that could not send looks like one that was banned in time.
	if o.err != nil {
		bad("could not play its part: %v", o.err)
	}
	if o.due && len(o.told) == 0 {
		bad("raised no alert %s", o.alert)
	}

	// What the PBXs answered shows whether somebody was banned who should not have been.
	switch o.role {
	case attacker:
		o.judgeAttacker(st, bad)
	case mixed:
		if o.tries != o.times || o.letIn != o.tries {
			bad("was let in %d times of %d, not %d times", o.letIn, o.tries, o.times)
		}
	case phones:
		if o.tries == 0 || o.letIn != o.tries {
			bad("was let in %d times of %d", o.letIn, o.tries)
		}
	case user:
		if o.tries != o.times || o.letIn != 1 {
			bad("tried %d times and was let in %d times, not once at the last of %d", o.tries,
				o.letIn, o.times)
		}
	case caller:
		if o.tries == 0 || o.answered != o.sent {
			bad("had %d answers to %d requests", o.answered, o.sent)
		}
	case forger:
		if o.tries != o.times {
			bad("forged %d times instead of %d", o.tries, o.times)
		}
		if o.reached != o.sent {
			bad("got %d packets through of %d, so that nothing is shown", o.reached, o.sent)
		}
	}

	return wrong
}

// judgeAttacker checks the ban of an attacker, and its effect.
func (o outcome) judgeAttacker(st stage, bad func(format string, args ...any)) {
	if o.ban == nil {
		bad("was not banned")
		return
	}

	if o.ban.Scope != o.scope {
		bad("was banned with scope %s, not %s", o.ban.Scope, o.scope)
	}

	// The length of a first ban depends on whether its evidence can be forged.
	if long := firstBan(o.scope); o.ban.Duration != long {
		bad("was banned for %v, not %v", o.ban.Duration, long)
	}

	// A stage without rights has no kernel to look at, or no network to send through.
	if st.kernel && !o.inKernel {
		bad("is not in the kernel's table")
	}
	if !st.packets {
		return
	}

	if o.late > 0 {
		bad("still reached a PBX %d times after its ban", o.late)
	}
	if o.dropped == 0 {
		bad("had no packet dropped")
	}

	// Attackers over UDP get scope sip. There, each datagram is either dropped or arrives. A
	// connection takes several packets, so its numbers do not add up.
	if o.scope == firewall.ScopeSIP && uint64(o.sent) != uint64(o.reached)+o.dropped {
		bad("sent %d packets, but %d arrived and %d were dropped", o.sent, o.reached, o.dropped)
	}
}

// firstBan returns the length of a source's first ban. On evidence that could be forged it is
// short.
func firstBan(scope firewall.Scope) time.Duration {
	if scope == firewall.ScopeSIP {
		return 10 * time.Minute
	}
	return policy.DefaultOptions().BanTime
}

// strays returns the bans and alerts that no part of the play should have caused.
func (p *performance) strays() []string {
	var wrong []string

	// Only an attacker may be banned, and only as the prefix that it attacks from.
	for _, v := range p.bench.all() {
		expected := false
		for _, part := range p.parts {
			expected = expected || part.role == attacker && part.source == v.Prefix
		}

		if !expected {
			wrong = append(wrong,
				fmt.Sprintf("%s should never have been banned: %s", v.Source(), why(v)))
		}
	}

	// An alert about somebody else is as misleading as a wrong ban.
	for _, a := range p.bench.allAlerts() {
		expected := false
		for _, part := range p.parts {
			expected = expected || part.alert == a.kind && bans.Source(part.source) == a.source
		}

		if !expected {
			wrong = append(wrong,
				fmt.Sprintf("%s should not have raised the alert %s: %s", a.source, a.kind,
					a.reason))
		}
	}

	return wrong
}
