package sensor

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
	"github.com/amifend/amifend/policy/nonce"
)

// drained is a log of challenges that has none.
type drained struct{ p *prover }

func (d drained) Drain(f func()) error {
	d.p.Drained()
	f()
	return nil
}

// refusal is a refusal over UDP as the kernel logs it.
func refusal(t *testing.T, from, to netip.AddrPort, received netip.Addr, n nonce.Nonce) *firewall.Challenge {
	t.Helper()
	text := fmt.Sprintf("SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP h;rport=1;received=%s;branch=z9\r\n"+
		"WWW-Authenticate: Digest realm=\"asterisk\",nonce=\"%s\"\r\n\r\n", received, n)
	size := 28 + len(text)
	p := []byte{0x45, 0, byte(size >> 8), byte(size), 0, 0, 0, 0, 64, 17, 0, 0}
	p = append(append(p, from.Addr().AsSlice()...), to.Addr().AsSlice()...)
	p = append(p, byte(from.Port()>>8), byte(from.Port()), byte(to.Port()>>8), byte(to.Port()),
		byte((size-20)>>8), byte(size-20), 0, 0)
	c := firewall.ParseChallenge(append(p, text...))
	if c.Cut || !c.Plain {
		t.Fatalf("%+v", c)
	}
	return &c
}

// TestProve: an event is told as proven once its nonce is known to have left for its source alone, and
// only of a PBX on this machine.
func TestProve(t *testing.T) {
	for name, tt := range map[string]struct {
		host string
		port uint16 // of the event
		want bool
	}{
		"on this machine": {"127.0.0.1", 5060, true},
		"another port":    {"127.0.0.1", 5070, false},
		"elsewhere":       {"203.0.113.1", 5060, false},
	} {
		t.Run(name, func(t *testing.T) {
			out := make(chan stream.Sighting, 1)
			s, sessions := newSensor(t, &recorder{}, out, protect.Server{Name: "pbx", Host: tt.host})
			s.Witness = NewWitness()
			s.locate(sessions)
			own := s.Watcher.Own()
			i := 0
			for i < len(own) && !own[i].Is4() {
				i++
			}
			if i == len(own) {
				t.Fatalf("no own address in %v", own)
			}
			from := netip.AddrPortFrom(own[i], 5060)
			if tt.host != "127.0.0.1" {
				from = netip.AddrPortFrom(netip.MustParseAddr(tt.host), 5060)
			}

			p := newProver(s)
			p.judge.Begin(wall() - int64(2*time.Second))
			number := uint32(0)
			send := func(to netip.Addr, n nonce.Nonce) {
				p.Challenge(number, refusal(t, from, netip.AddrPortFrom(to, 5060), to, n))
				number++
			}
			second := uint32(time.Now().Unix())
			for i := range nonce.GenuineFrom {
				n := nonce.Nonce{Second: second}
				n.Sum[0] = byte(i)
				send(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), n)
			}
			s.Witness.watched.Store(&map[uint16]bool{0: true}) // the session of a test is never up

			n := nonce.Nonce{Second: second}
			n.Sum[15] = 1
			source := netip.MustParseAddrPort("198.51.100.9:4000")
			send(source.Addr(), n)
			o := policy.Observation{
				At: s.Clock.Now() - int64(claimTime), Source: source, LocalPort: tt.port,
				Kind: policy.KindChallengeResponseFailed, Service: policy.ServicePJSIP, Confirmable: true,
			}
			p.wait = append(p.wait, claim{o, n}, claim{o, nonce.Nonce{Second: second}})
			if err := p.decide(drained{p}); err != nil {
				t.Fatal(err)
			}
			if len(out) != map[bool]int{true: 1}[tt.want] || s.Status().Proven != uint64(len(out)) {
				t.Fatalf("%d are told, %+v", len(out), s.Status())
			}
			if tt.want {
				if got := <-out; !got.Confirm || got.Observation != o {
					t.Errorf("told %+v", got)
				}
			}
			if len(p.wait) != 0 {
				t.Errorf("%d wait", len(p.wait))
			}

			// Nobody is watched whose session is down.
			p.publish()
			if s.Witness.Watches(0) {
				t.Error("watched, and the session is down")
			}
		})
	}
}

// A claim waits until what left before its event is read, and one that waited too long is dropped.
func TestClaimsWait(t *testing.T) {
	s, _ := newSensor(t, &recorder{}, make(chan stream.Sighting, 1),
		protect.Server{Name: "pbx", Host: "192.0.2.1"})
	s.Witness = NewWitness()
	p := newProver(s)
	now := s.Clock.Now()
	p.wait = []claim{
		{seen: policy.Observation{At: now - int64(time.Minute)}},
		{seen: policy.Observation{At: now + int64(time.Hour)}},
	}
	if err := p.decide(drained{p}); err != nil {
		t.Fatal(err)
	}
	if len(p.wait) != 1 || p.left(p.wait[0]) < 59*time.Minute {
		t.Errorf("%d wait", len(p.wait))
	}
	for range mostClaims + 1 {
		s.Witness.Claim(policy.Observation{}, nonce.Nonce{}) // it does not wait
	}
}

// broken is a log of challenges that fails.
type broken struct{}

var errBroken = errors.New("broken")

func (broken) Drain(func()) error { return errBroken }

// A log that fails ends the prover, which is then started again: without that, nothing is proven until
// the next refusal.
func TestProverEndsWithItsLog(t *testing.T) {
	s, _ := newSensor(t, &recorder{}, nil, protect.Server{Name: "pbx", Host: "192.0.2.1"})
	s.Witness = NewWitness()
	s.Witness.Claim(policy.Observation{}, nonce.Nonce{})
	if err := newProver(s).decideAll(t.Context(), broken{}); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
}

// The prover may look before anybody is located.
func TestProverBeforeAnybodyIsLocated(t *testing.T) {
	s, _ := newSensor(t, &recorder{}, nil, protect.Server{Name: "pbx", Host: "127.0.0.1"})
	s.Witness = NewWitness()
	p := newProver(s)
	p.publish()
	if s.Witness.Watches(0) || p.told["pbx"] == "" {
		t.Errorf("told %v", p.told)
	}
}

func TestStrayAlert(t *testing.T) {
	victim, reader := netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("198.51.100.20")
	a := strayAlert("pbx", nonce.Stray{To: victim, Name: reader, Names: 1, Answers: 2})
	want := "server pbx sent 2 refusals within a minute to 203.0.113.9"
	if a.Source != reader.String() || !strings.Contains(a.Text, want) {
		t.Errorf("%+v", a)
	}
	a = strayAlert("pbx", nonce.Stray{To: reader, Name: victim, Names: nonce.SpoofedFrom, Answers: 7})
	if a.Source != reader.String() || !strings.Contains(a.Text, "reads the answers there") {
		t.Errorf("%+v", a)
	}
}

// Destinations that a sender chooses open a bounded number of conditions.
func TestStraysAreBounded(t *testing.T) {
	s, _ := newSensor(t, &recorder{}, nil, protect.Server{Name: "pbx", Host: "127.0.0.1"})
	p := newProver(s)
	for round := range 3 {
		for i := range 50 {
			to := netip.AddrFrom4([4]byte{203, 0, byte(round), byte(i)})
			p.noteStray(&nonce.Answer{At: wall(), To: to, Received: netip.MustParseAddr("198.51.100.20")})
		}
		p.tellStrays()
	}
	if n := len(s.Alerts.Keys("answers_led_astray")); n == 0 || n > mostStrays+1 {
		t.Errorf("%d conditions", n)
	}
}
