package judge

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
	"github.com/amifend/amifend/policy"
)

func TestMasked(t *testing.T) {
	const msg = "most failures come from one address that is never banned: the PBX does not see " +
		"real sources"
	type (
		seeFunc  = func(server uint16, addr string, n int)
		passFunc = func(time.Duration)
	)
	tell := func(t *testing.T, play func(see seeFunc, pass passFunc)) *logtest.Book {
		said, log := logtest.New()
		prot := policy.NewProtected([]policy.ProtectedEntry{{
			Prefix: netip.MustParsePrefix("172.17.0.0/16"), Reason: "our own address",
		}}, nil)
		m := newHidden(log, alerts.New(alerts.Options{Log: log}), policy.DefaultOptions().Weights, 2)
		at := int64(1e18)
		play(func(server uint16, addr string, n int) {
			for range n {
				s := stream.Sighting{
					Observation: policy.Observation{
						At:     at,
						Server: server,
						Kind:   policy.KindInvalidAccountID,
						Source: netip.MustParseAddrPort(addr + ":5060"),
					},
				}

				m.check(&s, []string{"a", "b"}, prot)
			}
		}, func(d time.Duration) { at += int64(d) })

		if len(m.reported) > hiddenMost {
			t.Errorf("remembers %d addresses", len(m.reported))
		}

		return said
	}

	for name, test := range map[string]struct {
		play func(see seeFunc, pass passFunc)
		want int
	}{
		"docker-proxy": {func(see seeFunc, _ passFunc) { see(0, "172.17.0.1", 200) }, 1},
		"loopback":     {func(see seeFunc, _ passFunc) { see(0, "127.0.0.1", 200) }, 1},
		"too few":      {func(see seeFunc, _ passFunc) { see(0, "172.17.0.1", 19) }, 0},
		"an attacker":  {func(see seeFunc, _ passFunc) { see(0, "203.0.113.1", 200) }, 0},
		"most are others'": {func(see seeFunc, _ passFunc) {
			see(0, "203.0.113.1", 60)
			see(0, "172.17.0.1", 50)
		}, 0},
		"another PBX sees sources": {func(see seeFunc, _ passFunc) {
			see(1, "203.0.113.1", 900)
			see(0, "172.17.0.1", 30)
		}, 1},
		"spread over a day": {func(see seeFunc, pass passFunc) {
			for range 100 {
				see(0, "172.17.0.1", 10)
				pass(11 * time.Minute)
			}
		}, 0},
		"again the next day": {func(see seeFunc, pass passFunc) {
			see(0, "172.17.0.1", 50)
			pass(25 * time.Hour)
			see(0, "172.17.0.1", 50)
		}, 2},
		"many allowlisted": {func(see seeFunc, pass passFunc) {
			for i := range 1500 {
				see(0, fmt.Sprintf("172.17.%d.%d", 1+i/250, i%250), 25)
				pass(11 * time.Minute)
			}
		}, 1500},
	} {
		t.Run(name, func(t *testing.T) {
			ls := tell(t, test.play).Count(t, test.want, msg, "")
			if test.want == 1 &&
				(ls[0].Text("server") != "a" || ls[0].Text("do") == "" || ls[0].Text("protected_as") == "") {
				t.Errorf("said %v", ls[0])
			}
		})
	}
}

// A success, or a challenge, is no failure; an injection is one.
func TestMaskedCountsFailures(t *testing.T) {
	_, log := logtest.New()
	m := newHidden(log, alerts.New(alerts.Options{Log: log}), policy.DefaultOptions().Weights, 1)

	src := netip.MustParseAddrPort("192.0.2.1:5060")
	for _, o := range []policy.Observation{
		{Kind: policy.KindSuccessfulAuth, Source: src},
		{Kind: policy.KindChallengeSent, Source: src},
		{Kind: policy.KindInvalidPassword, Source: src},
		{Kind: policy.KindSuccessfulAuth, Injected: true, Source: src},
	} {
		m.check(&stream.Sighting{Observation: o}, []string{"a"}, nil)
	}

	if m.votes[0].failures != 2 {
		t.Errorf("%d failures", m.votes[0].failures)
	}
}
