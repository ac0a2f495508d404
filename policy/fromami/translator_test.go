package fromami

import (
	"net/netip"
	"testing"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/policy"
)

// event has another value in every field, so that none can be left out or taken for another.
var event = ami.Event{
	Time: time.Unix(7, 0), Kind: ami.KindInvalidPassword, Service: ami.ServiceSIP, Transport: ami.TransportTCP,
	Source: netip.MustParseAddrPort("203.0.113.5:5062"), Local: netip.MustParseAddrPort("192.0.2.10:5060"),
	Account: []byte("1001"), Session: []byte("0x1234"), RoundTrip: true,
}

func TestObservation(t *testing.T) {
	h := policy.NewHasher(7)
	got, ok := Translator{Server: 3, Hasher: h}.Observation(event, 99)
	want := policy.Observation{
		At: 99, Source: event.Source, Server: 3, LocalPort: 5060, Kind: policy.KindInvalidPassword, Service: policy.ServiceSIP,
		Stream: true, Session: h.Session([]byte("0x1234")), Account: h.Label([]byte("1001")),
	}
	if !ok || got != want {
		t.Errorf("got %+v, %v; want %+v", got, ok, want)
	}
	udp := event
	udp.Transport, udp.Account, udp.UsingPassword, udp.Taint = ami.TransportUDP, []byte("<unknown>"), true, ami.TaintTorn
	if got, _ := (Translator{Hasher: h}).Observation(udp, 0); got.Stream || !got.Unknown || !got.Password || !got.Injected {
		t.Errorf("got %+v; want a forgeable injection on an unknown account", got)
	}
	if _, ok := (Translator{Hasher: h}).Observation(ami.Event{Kind: ami.KindFailedACL}, 0); ok {
		t.Error("an event without a source was translated")
	}
}

// TestEveryKindAndService: what Asterisk can raise has a meaning for the engine, and the same name.
func TestEveryKindAndService(t *testing.T) {
	for k := ami.KindUnknown + 1; int(k) < ami.NumKinds; k++ {
		if got := kinds[k].String(); got != k.String() {
			t.Errorf("kind %s is %s to the engine", k, got)
		}
	}
	for _, s := range []ami.Service{ami.ServicePJSIP, ami.ServiceSIP, ami.ServiceAMI} {
		if got := services[s].String(); got != s.String() {
			t.Errorf("service %s is %s to the engine", s, got)
		}
	}
}

// In the challenge of a call chan_sip names the caller by a URI, elsewhere by name; in PJSIP it is no URI's place.
func TestAccountOfACall(t *testing.T) {
	h := policy.NewHasher(7)
	for _, tt := range []struct {
		kind    ami.Kind
		service ami.Service
		account string
		want    string
		call    bool
	}{
		{ami.KindChallengeSent, ami.ServiceSIP, "sip:1001@192.0.2.10", "1001", true},
		{ami.KindChallengeSent, ami.ServiceSIP, "sips:1001@192.0.2.10", "1001", true},
		{ami.KindChallengeSent, ami.ServiceSIP, "1001", "1001", false},
		{ami.KindInvalidPassword, ami.ServiceSIP, "sip:1001@192.0.2.10", "sip:1001@192.0.2.10", false},
		{ami.KindChallengeSent, ami.ServicePJSIP, "sip:1001@192.0.2.10", "sip:1001@192.0.2.10", false},
	} {
		ev := event
		ev.Kind, ev.Service, ev.Account = tt.kind, tt.service, []byte(tt.account)
		if got, _ := (Translator{Hasher: h}).Observation(ev, 0); got.Account != h.Label([]byte(tt.want)) || got.Call != tt.call {
			t.Errorf("%s %s %s: got %q, a call: %v", tt.service, tt.kind, tt.account, got.Account.Bytes(), got.Call)
		}
	}
}

// Only a challenge has a nonce that is its own, and only chan_sip names it.
func TestChallenge(t *testing.T) {
	h := policy.NewHasher(7)
	nonce := []byte("0x1b2c")
	for name, tt := range map[string]struct {
		kind   ami.Kind
		detail []byte
		want   uint64
	}{
		"chan_sip's": {ami.KindChallengeSent, nonce, h.Session(nonce)},
		"PJSIP's":    {ami.KindChallengeSent, nil, 0},
		"a failure":  {ami.KindInvalidPassword, nonce, 0},
	} {
		ev := event
		ev.Kind, ev.Detail = tt.kind, tt.detail
		if got, _ := (Translator{Hasher: h}).Observation(ev, 0); got.Challenge != tt.want {
			t.Errorf("%s: got %x, want %x", name, got.Challenge, tt.want)
		}
	}
}

func TestAllocatesNothing(t *testing.T) {
	tr := Translator{Hasher: policy.NewHasher(policy.FixedSeed)}
	if n := testing.AllocsPerRun(100, func() { _, _ = tr.Observation(event, 0) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
