package peers

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/recording"
	"github.com/amifend/amifend/policy"
)

var begin = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

// tool is any of the peers.
type tool interface {
	Hear(ev *recording.Event, source netip.Addr) bool
}

// play lets failures of 203.0.113.5 be heard at times in seconds. It returns which of them got
// through, as 1 and 0.
func play(p tool, kind policy.Kind, seconds ...float64) string {
	var out strings.Builder

	for _, s := range seconds {
		ev := recording.Event{Observation: policy.Observation{
			At: begin.UnixNano() + int64(s*1e9), Kind: kind,
			Source: netip.MustParseAddrPort("203.0.113.5:5060"),
		}}

		if p.Hear(&ev, ev.Source.Addr()) {
			out.WriteByte('1')
		} else {
			out.WriteByte('0')
		}
	}
	return out.String()
}

// every returns n times, gap apart.
func every(from, gap float64, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = from + float64(i)*gap
	}
	return out
}

func TestRules(t *testing.T) {
	silent := func(int64, netip.Prefix, time.Duration) {}
	makers := map[string]func(allow []netip.Prefix) tool{
		"fail2ban": func(allow []netip.Prefix) tool { return NewFail2ban(allow, silent) },
		"AutoBan":  func(allow []netip.Prefix) tool { return NewAutoBan(allow, silent) },
		"classic":  func(allow []netip.Prefix) tool { return NewClassic(allow, silent) },
	}

	const failed = policy.KindInvalidAccountID
	ten := strings.Repeat("1", 10)
	for _, test := range []struct {
		tool, name string
		kind       policy.Kind
		seconds    []float64
		want       string
	}{
		// Each digit is an event: 1 got through, 0 did not.
		{"fail2ban", "the tenth bans", failed, every(0, 1, 12), ten + "00"},
		{"fail2ban", "for ten minutes", failed, append(every(0, 0, 10), 599, 600), ten + "01"},
		{
			"fail2ban", "then it counts anew", failed,
			append(every(0, 0, 10), append(every(600, 1, 10), 610)...), ten + ten + "0",
		},
		{"fail2ban", "ten in eleven minutes are too slow", failed, every(0, 70, 20), ten + ten},

		// The second ban of AutoBan is six times longer.
		{"AutoBan", "the tenth bans", failed, every(0, 1, 12), ten + "00"},
		{
			"AutoBan", "for twenty minutes, and on parole one more for two hours", failed,
			append(every(0, 0, 10), 1199, 1200, 8399, 8400), ten + "0101",
		},
		{
			"AutoBan", "after the parole it counts anew", failed,
			append(every(0, 0, 10), every(2401, 0, 11)...), ten + ten + "0",
		},
		{
			"AutoBan", "one each three minutes is too slow", failed, every(0, 180, 30),
			ten + ten + ten,
		},

		// The script runs each two minutes, and bans for ever.
		{
			"classic", "the next run of cron bans", failed, append(every(0, 1, 4), 119, 120, 1e7),
			"1111" + "100",
		},
		{"classic", "three are too few", failed, append(every(0, 1, 3), 1e6), "1111"},
		{
			"fail2ban", "challenges are no failures", policy.KindChallengeSent, every(0, 1, 12),
			ten + "11",
		},
		{
			"AutoBan", "successes are no failures", policy.KindSuccessfulAuth, every(0, 1, 12),
			ten + "11",
		},
		{
			"classic", "challenges are no failures", policy.KindChallengeSent, every(0, 100, 12),
			ten + "11",
		},
	} {
		if got := play(makers[test.tool](nil), test.kind, test.seconds...); got != test.want {
			t.Errorf("%s: %s: got through %s, want %s", test.tool, test.name, got, test.want)
		}

		// The same events of an allowed address ban nobody.
		allowed := makers[test.tool]([]netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")})
		if got := play(allowed, test.kind, test.seconds...); strings.Contains(got, "0") {
			t.Errorf("%s: %s: an address on the allowlist: got through %s",
				test.tool, test.name, got)
		}
	}
}

// TestTold: each ban is told of once, by address.
func TestTold(t *testing.T) {
	var told []string
	p := NewAutoBan(nil, func(at int64, prefix netip.Prefix, lasts time.Duration) {
		told = append(told, fmt.Sprint(time.Duration(at-begin.UnixNano()), prefix, lasts))
	})

	play(p, policy.KindInvalidPassword, every(0, 10, 20)...)
	if got := strings.Join(told, " "); got != "1m30s 203.0.113.5/32 20m0s" {
		t.Errorf("told %s", got)
	}
}

// TestBanOfWhomTheEventNames: a tool bans the address in the event. That keeps out packets from
// there, and none from elsewhere that name it.
func TestBanOfWhomTheEventNames(t *testing.T) {
	named, attacker := netip.MustParseAddr("203.0.113.5"), netip.MustParseAddr("198.51.100.20")
	silent := func(int64, netip.Prefix, time.Duration) {}

	for name, p := range map[string]tool{
		"fail2ban": NewFail2ban(nil, silent), "AutoBan": NewAutoBan(nil, silent),
		"classic": NewClassic(nil, silent),
	} {
		hear := func(second int, source netip.Addr) bool {
			return p.Hear(&recording.Event{Observation: policy.Observation{
				At:     begin.Add(time.Duration(second) * time.Second).UnixNano(),
				Source: netip.AddrPortFrom(named, 5060), Kind: policy.KindInvalidPassword,
			}}, source)
		}

		// The bans hit the named address, so they never stop the attacker.
		for i := range 12 {
			if !hear(i, attacker) {
				t.Errorf("%s: event %d: kept out, though its packet came from elsewhere", name, i)
			}
		}
		if hear(130, named) {
			t.Errorf("%s: a packet of the banned address got through", name)
		}
	}
}
