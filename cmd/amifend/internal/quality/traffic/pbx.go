package traffic

import (
	"net/netip"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/recording"
	"github.com/amifend/amifend/policy"
)

// PBX is one Asterisk: its accounts, and the events that it raises for a request.
type PBX struct {
	server    uint16
	addr      netip.Addr
	service   policy.Service
	byAuth    bool                  // auth_username is in endpoint_identifier_order
	passwords map[string]string     // of each account
	asked     map[netip.Addr]recent // by whom InvalidAccountID is held back
}

// recent counts the requests of a source that were about no endpoint.
type recent struct {
	since int64 // the first of them
	n     int
}

// request is one SIP request or AMI login.
type request struct {
	account     string // From user, or manager user
	authUser    string // if it is not the account
	credentials bool
	password    string
	fresh       bool   // the nonce is one that the PBX sent to this client lately
	session     uint64 // the Call-ID
	transport   ami.Transport
	deleted     bool // the account was deleted
	injection   bool // a header is injected in the From user
}

// answer is the kind of answer that the client gets.
type answer uint8

const (
	dropped answer = iota
	challenged
	refused
	accepted
)

// told is one event that a PBX raises for a request.
type told struct {
	kind     policy.Kind
	unknown  bool // the account is `<unknown>`
	password bool
}

// one returns an answer and the one event that a PBX raises for the request.
func one(ans answer, e told) (answer, [2]told) { return ans, [2]told{e} }

// two returns an answer and the two events that a PBX raises for the request.
func two(ans answer, e, then told) (answer, [2]told) { return ans, [2]told{e, then} }

// handle returns what the PBX answers and which events it raises, the first one first; KindNone is
// none.
func (p *PBX) handle(now int64, from netip.Addr, r *request) (answer, [2]told) {
	switch p.service {
	case policy.ServiceSIP:
		return p.chanSIP(r)
	case policy.ServiceAMI:
		return p.manager(r)
	default:
		return p.pjsip(now, from, r)
	}
}

// pjsip is Asterisk 22 (capture 01).
func (p *PBX) pjsip(now int64, from netip.Addr, r *request) (answer, [2]told) {
	account := r.account
	password, known := p.passwords[account]
	known = known && !r.deleted

	// With credentials the phone is found by their user name, whatever its From user is.
	if !known && p.byAuth && r.credentials {
		account = r.authUser
		password, known = p.passwords[account]
	}

	switch {
	case !known && p.byAuth && !r.credentials && p.holdsBack(now, from):
		return one(challenged, told{kind: policy.KindChallengeSent, unknown: true})
	case !known && !r.credentials:
		return two(challenged, told{kind: policy.KindInvalidAccountID},
			told{kind: policy.KindChallengeSent, unknown: true})
	case !known:
		return two(refused, told{kind: policy.KindInvalidAccountID},
			told{kind: policy.KindChallengeResponseFailed, unknown: true})
	case !r.credentials:
		return one(challenged, told{kind: policy.KindChallengeSent})
	case r.password != password:
		return one(refused, told{kind: policy.KindChallengeResponseFailed})
	case !r.fresh:
		return one(challenged, told{kind: policy.KindChallengeSent})
	default:
		return one(accepted, told{kind: policy.KindSuccessfulAuth, password: true})
	}
}

// holdsBack reports whether the PBX holds InvalidAccountID back (capture 12; check_endpoint in
// Asterisk's pjsip_distributor.c). It raises the event from the fifth request of a source on, until
// five seconds after the first. Then it raises none about the source until it forgets it, by a
// timer every half a minute.
func (p *PBX) holdsBack(now int64, from netip.Addr) bool {
	const (
		count  = 5
		period = int64(5 * time.Second)
		prune  = int64(30 * time.Second)
	)

	r, ok := p.asked[from]
	if pruned := now - now%prune; !ok || pruned-r.since > 2*period {
		r = recent{since: now}
	}

	r.n++
	p.asked[from] = r
	return r.n < count || now-r.since >= period
}

// chanSIP is Asterisk 16 (capture 20).
func (p *PBX) chanSIP(r *request) (answer, [2]told) {
	password, known := p.passwords[r.account]
	known = known && !r.deleted

	switch {
	// A made-up nonce gets a new challenge. That is not a failure.
	case !r.credentials || !r.fresh:
		return one(challenged, told{kind: policy.KindChallengeSent})
	case !known || r.password != password:
		return one(refused, told{kind: policy.KindInvalidPassword})
	default:
		return one(accepted, told{kind: policy.KindSuccessfulAuth, password: true})
	}
}

// manager is a login to AMI in clear (capture 05).
func (p *PBX) manager(r *request) (answer, [2]told) {
	password, known := p.passwords[r.account]

	switch {
	case !known:
		return one(refused, told{kind: policy.KindInvalidAccountID})
	case r.password != password:
		return one(refused, told{kind: policy.KindInvalidPassword})
	default:
		return one(accepted, told{kind: policy.KindSuccessfulAuth})
	}
}

// send sends a request of the actor's own.
func (a *Actor) send(p *PBX, r request) answer {
	if a.ended {
		return dropped
	}

	ans := a.world.raise(a.party, p, packet{a.from.Addr(), a.from}, r)
	if ans == dropped && a.party.Class.Role.good() {
		a.party.Blocked++
		a.party.Banned = true
	}
	return ans
}

// forge sends a request over UDP in the name of a victim. The forger sees no answer.
func (a *Actor) forge(p *PBX, victim netip.AddrPort, r request) {
	if a.ended {
		return
	}
	a.world.forged[victim.Addr()] = true
	r.transport = ami.TransportUDP
	a.party.Offered++
	a.world.raise(a.party, p, packet{victim.Addr(), victim}, r)
}

// packet is where a request comes from, and whom the PBX takes for its sender. They differ only at
// chan_sip, which believes the Via.
type packet struct {
	source netip.Addr // a ban of it keeps the packet from the PBX
	named  netip.AddrPort
}

// raise lets a PBX handle a party's request, and hands the events to the tool. It notes the truth
// first, because the tool may decide at once.
func (w *World) raise(by *Party, p *PBX, from packet, r request) answer {
	cracked := len(by.Compromises)
	attacks := w.noteAttack(by, p, from.named.Addr(), &r)

	ans, events := p.handle(w.now, from.named.Addr(), &r)
	for i, e := range events {
		if e.kind == policy.KindNone {
			break
		}
		ev := w.event(p, from.named, &r, e)
		w.events++
		w.noteEvent(by, ev, &r)

		// A ban drops the packet, so that it raises no event at all.
		if !w.tool.Hear(ev, from.source) && i == 0 {
			by.Compromises = by.Compromises[:cracked]
			for _, a := range attacks {
				a.miss()
			}
			return dropped
		}
	}
	return ans
}

// event returns one event of a request.
func (w *World) event(p *PBX, named netip.AddrPort, r *request, e told) *recording.Event {
	name := r.account
	switch {
	case e.unknown:
		name = "<unknown>"
	case e.kind == policy.KindSuccessfulAuth && r.authUser != "":
		name = r.authUser
	}

	ev := &recording.Event{
		Observation: policy.Observation{
			At: w.now, Source: named, Server: p.server, LocalPort: 5060,
			Kind: e.kind, Service: p.service, Stream: r.transport.Stream(),
			Password: e.password, Unknown: e.unknown, Injected: r.injection,
			Session: r.session, Account: w.hasher.Label([]byte(name)),
		},
		Transport: r.transport, Local: p.addr,
	}

	if r.injection {
		ev.Taint = ami.TaintTorn
	}
	// chan_sip keeps one nonce a dialog, and its event shows it. PJSIP's does not.
	if p.service == policy.ServiceSIP && e.kind == policy.KindChallengeSent {
		ev.Challenge = r.session + 1
	}
	return ev
}

// noteEvent notes what an event shows about the party that caused it.
func (w *World) noteEvent(by *Party, ev *recording.Event, r *request) {
	success := ev.Kind == policy.KindSuccessfulAuth

	switch {
	case success && by.Class.Role.hostile() && !by.owns[r.account]:
		by.compromised(r.account, w.now)
	case !success && ev.Kind != policy.KindChallengeSent && by.Class.Role.good():
		by.Failures++
		w.failed[ev.Source.Addr()] = true
	}
}

// noteAttack notes that an attacker is about to try an account. It returns the records of it, if
// the goal of the class demands that attacks are reported.
func (w *World) noteAttack(by *Party, p *PBX, named netip.Addr, r *request) []*Attack {
	if !by.Class.Role.hostile() {
		return nil
	}
	w.attacked[Target{p.server, r.account}] = w.now
	w.attacked[Target{p.server, ""}] = w.now

	// A request without credentials asks for a challenge. It guesses nothing.
	if !by.Class.Goal.Attacks || !r.credentials || by.vouchesAgain(p, named, r) {
		return nil
	}
	records := by.attack(p.server, r.account)
	for _, a := range records {
		a.reach(w.now)
	}
	w.toldLately(named, records[:])
	return records[:]
}

// vouchesAgain reports whether a party logs in to its own account in a name in which it has done so
// before. That attacks nobody: only logins in new names count as an attack.
func (p *Party) vouchesAgain(pbx *PBX, named netip.Addr, r *request) bool {
	if !p.owns[r.account] || r.password != pbx.passwords[r.account] {
		return false
	}
	again := p.vouched[named]

	if p.vouched == nil {
		p.vouched = make(map[netip.Addr]bool)
	}
	p.vouched[named] = true
	return again
}

// login asks for a challenge and answers it: what a client does that has no nonce.
func (a *Actor) login(p *PBX, r request) answer {
	return a.answerChallenge(r, func(r request) answer { return a.send(p, r) })
}

// answerChallenge sends a request without credentials and, if it is challenged, with them.
func (a *Actor) answerChallenge(r request, send func(request) answer) answer {
	r.credentials = false
	ans := send(r)
	if ans != challenged {
		return ans
	}

	a.sleep(a.reply())
	r.credentials, r.fresh = true, true
	return send(r)
}
