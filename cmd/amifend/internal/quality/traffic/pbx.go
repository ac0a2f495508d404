package traffic

import (
	"net/netip"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/recording"
	"github.com/amifend/amifend/policy"
)

// PBX is one Asterisk: its accounts and how it tells of a request.
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
	fresh       bool // the nonce is one that the PBX sent to this client lately
	session     uint64
	transport   ami.Transport
	deleted     bool // the account was deleted
	injection   bool // a header is injected in the From user
}

// answer is what the client gets.
type answer uint8

const (
	dropped answer = iota
	challenged
	refused
	accepted
)

// told is one event that a PBX raises for a request.
type told struct {
	kind      policy.Kind
	unknown   bool // the account is `<unknown>`
	password  bool
	roundTrip bool
}

// one and two are what a PBX tells of a request.
func one(ans answer, e told) (answer, [2]told)       { return ans, [2]told{e} }
func two(ans answer, e, then told) (answer, [2]told) { return ans, [2]told{e, then} }

// handle returns what the PBX answers and which events it raises, the first one first; KindNone is none.
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
	if !known && p.byAuth && r.credentials {
		account = r.authUser
		password, known = p.passwords[account]
	}
	switch {
	case !known && p.byAuth && !r.credentials && p.holdsBack(now, from):
		return one(challenged, told{kind: policy.KindChallengeSent, unknown: true})
	case !known && !r.credentials:
		return two(challenged, told{kind: policy.KindInvalidAccountID}, told{kind: policy.KindChallengeSent, unknown: true})
	case !known:
		return two(refused, told{kind: policy.KindInvalidAccountID}, told{kind: policy.KindChallengeResponseFailed, unknown: true})
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

// holdsBack says whether InvalidAccountID is held back (capture 12; check_endpoint in Asterisk's pjsip_distributor.c): it is
// told from the fifth request of a source on, until five seconds after the first. Then the source is silent until it is
// forgotten, by a timer every half a minute.
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
	case !r.credentials || !r.fresh:
		return one(challenged, told{kind: policy.KindChallengeSent})
	case !known || r.password != password:
		return one(refused, told{kind: policy.KindInvalidPassword, roundTrip: true})
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
	ans := a.world.raise(a.party, p, a.from, r)
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
	a.world.raise(a.party, p, victim, r)
}

// raise lets a PBX handle a party's request and the tool hear of it. The truth is noted first: a tool may decide at once.
func (w *World) raise(by *Party, p *PBX, from netip.AddrPort, r request) answer {
	cracked := len(by.Compromises)
	ans, events := p.handle(w.now, from.Addr(), &r)
	for i, e := range events {
		if e.kind == policy.KindNone {
			break
		}
		ev := recording.Event{
			Observation: policy.Observation{
				At: w.now, Source: from, Server: p.server, LocalPort: 5060, Kind: e.kind, Service: p.service, Stream: r.transport.Stream(),
				Password: e.password, Unknown: e.unknown, Injected: r.injection, Session: r.session,
			},
			Transport: r.transport, Local: p.addr,
		}
		name := r.account
		switch {
		case e.unknown:
			name = "<unknown>"
		case e.kind == policy.KindSuccessfulAuth && r.authUser != "":
			name = r.authUser
		}
		if r.injection {
			ev.Taint = ami.TaintTorn
		}
		ev.Account = w.hasher.Label([]byte(name))
		w.events++
		switch {
		case e.kind == policy.KindSuccessfulAuth && by.Class.Role == Attacker && !by.owns[r.account]:
			by.compromised(r.account, w.now)
		case e.kind != policy.KindSuccessfulAuth && e.kind != policy.KindChallengeSent && by.Class.Role.good():
			by.Failures++
			w.failed[from.Addr()] = true
		}
		if !w.tool.Hear(&ev) && i == 0 {
			by.Compromises = by.Compromises[:cracked]
			return dropped
		}
	}
	return ans
}

// login asks for a challenge and answers it: what a client does that has no nonce.
func (a *Actor) login(p *PBX, r request) answer {
	r.credentials = false
	ans := a.send(p, r)
	if ans != challenged {
		return ans
	}
	a.sleep(a.reply())
	r.credentials, r.fresh = true, true
	return a.send(p, r)
}
