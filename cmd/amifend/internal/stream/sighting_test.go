package stream

import (
	"net/netip"
	"testing"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/policy"
)

func TestTranslation(t *testing.T) {
	hasher := policy.NewHasher(1)
	src := netip.MustParseAddrPort("203.0.113.5:5061")

	local := netip.MustParseAddrPort("192.0.2.10:5070")
	for name, test := range map[string]struct {
		ev   ami.Event
		want policy.Observation
	}{
		"a guess": {
			ami.Event{
				Kind: ami.KindInvalidAccountID, Service: ami.ServicePJSIP,
				Transport: ami.TransportUDP, Source: src, Local: local, Account: []byte("100"),
				Session: []byte("x"),
			},
			policy.Observation{
				Kind: policy.KindInvalidAccountID, Service: policy.ServicePJSIP, Source: src,
				LocalPort: 5070, Account: hasher.Label([]byte("100")),
				Session: hasher.Session([]byte("x")),
			},
		},
		"a proof over TLS": {
			ami.Event{
				Kind: ami.KindSuccessfulAuth, Service: ami.ServiceSIP, Transport: ami.TransportTLS,
				Source: src, UsingPassword: true,
			},
			policy.Observation{
				Kind: policy.KindSuccessfulAuth, Service: policy.ServiceSIP, Source: src,
				Stream: true, Password: true, Account: hasher.Label(nil),
				Session: hasher.Session(nil),
			},
		},
		"nobody": {
			ami.Event{
				Kind: ami.KindChallengeResponseFailed, Service: ami.ServiceUnknown,
				Transport: ami.TransportWSS, Source: src, Account: []byte("<unknown>"),
			},
			policy.Observation{
				Kind: policy.KindChallengeResponseFailed, Source: src, Stream: true, Unknown: true,
				Account: hasher.Label([]byte("<unknown>")), Session: hasher.Session(nil),
			},
		},
		"a round trip": {
			ami.Event{
				Kind: ami.KindInvalidPassword, Service: ami.ServiceSIP, Transport: ami.TransportUDP,
				Source: src, RoundTrip: true,
			},
			policy.Observation{
				Kind: policy.KindInvalidPassword, Service: policy.ServiceSIP, Source: src,
				Account: hasher.Label(nil), Session: hasher.Session(nil),
			},
		},
		"an injection": {
			ami.Event{
				Kind: ami.KindInvalidAccountID, Service: ami.ServiceAMI,
				Transport: ami.TransportTCP, Source: src, Taint: ami.TaintDuplicate,
			},
			policy.Observation{
				Kind: policy.KindInvalidAccountID, Service: policy.ServiceAMI, Source: src,
				Stream: true, Injected: true, Account: hasher.Label(nil),
				Session: hasher.Session(nil),
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tr := NewTranslator(3, hasher, clock.New())
			got, ok := tr.Sighting(test.ev)
			test.want.Server = 3
			test.want.At = got.At
			if !ok || got.Observation != test.want {
				t.Errorf("got  %+v\nwant %+v", got.Observation, test.want)
			}
		})
	}

	tr := NewTranslator(0, hasher, clock.New())
	if _, ok := tr.Sighting(ami.Event{Kind: ami.KindInvalidAccountID}); ok {
		t.Error("an event without a source is a sighting")
	}
}

// Every kind that Asterisk has is one of the engine's, by the same name.
func TestKinds(t *testing.T) {
	tr := NewTranslator(0, policy.Hasher{}, clock.New())
	kind := func(k ami.Kind) policy.Kind {
		s, _ := tr.Sighting(ami.Event{Kind: k, Source: netip.MustParseAddrPort("203.0.113.5:5060")})
		return s.Kind
	}
	for k := ami.KindUnknown + 1; int(k) < ami.NumKinds; k++ {
		if kind(k).String() != k.String() {
			t.Errorf("%s becomes %s", k, kind(k))
		}
	}

	if kind(ami.KindUnknown) != policy.KindNone {
		t.Error("an unknown kind is evidence")
	}
}
