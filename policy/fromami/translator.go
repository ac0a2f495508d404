// Package fromami translates the AMI library's events into the policy engine's observations. It is the
// only package that knows both: the engine can be fed from elsewhere, and the session can be read
// without it.
package fromami

import (
	"bytes"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/policy"
)

// Translator turns the events of one server into observations. It allocates nothing, and may be used
// by several goroutines at once.
type Translator struct {
	Server uint16        // which PBX, see [policy.Observation]
	Hasher policy.Hasher // of the seed of the engine that takes the observations
}

// kinds maps the AMI library's kinds of events to the engine's: both carry Asterisk's names.
var kinds = func() (table [256]policy.Kind) {
	for k := range table {
		table[k], _ = policy.ParseKind(ami.Kind(k).String())
	}
	return table
}()

var services = [256]policy.Service{
	ami.ServicePJSIP: policy.ServicePJSIP,
	ami.ServiceSIP:   policy.ServiceSIP,
	ami.ServiceAMI:   policy.ServiceAMI,
}

// Observation returns what ev, received at the time at (nanoseconds since the Unix epoch), means to the
// engine. It reports false for an event that says nothing about anybody: one without a certain source.
func (t Translator) Observation(ev ami.Event, at int64) (policy.Observation, bool) {
	if !ev.Source.IsValid() {
		return policy.Observation{}, false
	}

	account, call := account(ev)
	return policy.Observation{
		At:        at,
		Source:    ev.Source,
		Server:    t.Server,
		LocalPort: ev.Local.Port(),
		Kind:      kinds[ev.Kind],
		Service:   services[ev.Service],
		Stream:    ev.Transport.Stream(),
		Password:  ev.UsingPassword,
		Unknown:   string(ev.Account) == "<unknown>",
		Injected:  ev.Taint != ami.Untainted,
		Session:   t.Hasher.Session(ev.Session),
		Account:   t.Hasher.Label(account),
		Challenge: t.challenge(ev),
		Call:      call,
	}, true
}

// challenge returns the hash of the nonce of a challenge that names it, which is one of chan_sip, else 0.
func (t Translator) challenge(ev ami.Event) uint64 {
	if ev.Kind != ami.KindChallengeSent || len(ev.Detail) == 0 {
		return 0
	}
	return t.Hasher.Session(ev.Detail)
}

// account returns the account that an event names, and reports whether the event is the challenge of a
// call: there chan_sip names the account by the URI of From (capture 20).
func account(ev ami.Event) (name []byte, call bool) {
	if ev.Kind != ami.KindChallengeSent || ev.Service != ami.ServiceSIP {
		return ev.Account, false
	}

	for _, scheme := range []string{"sip:", "sips:"} {
		if rest, ok := bytes.CutPrefix(ev.Account, []byte(scheme)); ok {
			user, _, _ := bytes.Cut(rest, []byte("@"))
			return user, true
		}
	}
	return ev.Account, false
}
