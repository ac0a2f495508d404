package policy

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// What an attacker gains: README.md says it. Each property draws a way to attack and compares it
// with attacking plainly.

// rotated draws a change of all that an attacker can choose.
func rotated(t *rapid.T, stream *rapid.Generator[bool]) func(Observation) Observation {
	port := rapid.Uint16Range(1024, 65535).Draw(t, "port")
	session := rapid.Uint64Range(0, 3).Draw(t, "session")
	server := rapid.Uint16Range(0, 3).Draw(t, "server")
	overTCP := stream.Draw(t, "stream")
	return func(o Observation) Observation {
		o.Source = addrPort(o.Source.Addr(), port)
		o.Session, o.Server, o.Stream = session, server, overTCP
		return o
	}
}

// Nothing by rotating ports, Call-IDs, transports or servers.
func TestPropertyRotatingGainsNothing(t *testing.T) {
	kinds := map[string]struct {
		plain int
		next  func(i int) Observation
	}{
		"unknown accounts": {
			4,
			func(i int) Observation { return event(KindInvalidAccountID, ServicePJSIP, attacker, fmt.Sprint(i), "") },
		},
		"refused": {
			4,
			func(int) Observation { return event(KindChallengeResponseFailed, ServicePJSIP, attacker, unknown, "") },
		},
		"one password": {4, func(i int) Observation { return wrong(attacker, fmt.Sprint(i)) }},
		"one account":  {7, func(int) Observation { return wrong(attacker, "1007") }},
		"chan_sip": {
			7,
			func(int) Observation { return event(KindInvalidPassword, ServiceSIP, attacker, "1007", "") },
		},
	}
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				l := &lab{t: t, e: mustNew(t, nil), now: start}
				streams := rapid.SampledFrom([]*rapid.Generator[bool]{
					rapid.Just(false), rapid.Just(true), rapid.Bool(),
				}).
					Draw(t, "streams")
				n := l.attemptsUntil(
					20,
					time.Millisecond,
					func(i int) Observation { return rotated(t, streams)(kind.next(i)) },
				)
				most := kind.plain
				if name == "one password" {
					// in turns over UDP and TCP: what is forged makes nothing that is proven
					// heavier
					most++
				}
				if n == 0 || n > most {
					t.Fatalf("banned at attempt %d, plainly at %d", n, kind.plain)
				}
			})
		})
	}
}

// By pausing an attacker gets twenty attempts at most, if it makes one in half a day or more often.
func TestPropertyPausingGainsLittle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &lab{t: t, e: mustNew(t, nil), now: start}
		gaps := rapid.SampledFrom([]*rapid.Generator[int]{
			rapid.IntRange(1, 300), rapid.IntRange(1, 12*3600), rapid.IntRange(11*3600, 12*3600),
			rapid.SampledFrom([]int{1, 1, 1200, 6 * 3600}),
		}).Draw(t, "pace")
		unknownAccounts := rapid.Bool().Draw(t, "unknown")
		n := 0
		for ; n < 40 && !l.isBanned(attacker); n++ {
			l.wait(time.Duration(gaps.Draw(t, "gap")) * time.Second)
			o := wrong(attacker, "1007")
			if unknownAccounts {
				o = event(KindInvalidAccountID, ServicePJSIP, attacker, "u", fmt.Sprint(n))
			}
			l.feed(o)
		}
		if n > 20 {
			t.Fatalf("banned at attempt %d", n)
		}
	})
}

// By interleaving attempts with successes of an account that it owns, an attacker sprays no more accounts:
// over a stream it is banned at the fourth failure, as if it owned none, or sooner.
func TestPropertyInterleavingGainsNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &lab{t: t, e: mustNew(t, nil), now: start}
		guesses := 0
		for step := 0; step < 60 && !l.isBanned(attacker); step++ {
			if rapid.IntRange(0, 2).Draw(t, "step") == 0 {
				o := registered(attacker)
				o.Stream = rapid.Bool().Draw(t, "stream")
				l.feed(o)
				continue
			}
			guesses++
			o := event(
				KindInvalidAccountID,
				ServicePJSIP,
				attacker,
				fmt.Sprint(step),
				fmt.Sprint(step),
			)
			if rapid.Bool().Draw(t, "known") {
				o = wrong(attacker, fmt.Sprint(step))
			}
			l.every(time.Second, overStream(o))
		}
		if guesses > 5 {
			t.Fatalf("banned after %d guesses", guesses)
		}
	})
}

// An owner may guess one account at the rate of a misconfigured phone, and no faster.
func TestPropertyOwnerGuessesSlowly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &lab{t: t, e: mustNew(t, nil), now: start}
		l.feed(registered(attacker))
		if rapid.Bool().Draw(t, "more accounts") {
			l.feed(success(attacker, "1001"))
		}
		admitted := 0
		for l.now < start+int64(10*time.Minute) && !l.isBanned(attacker) {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				l.wait(time.Duration(rapid.IntRange(1, 60).Draw(t, "pause")) * time.Second)
			case 1:
				l.feed(registered(attacker))
			default:
				admitted++
				l.every(100*time.Millisecond, overStream(wrong(attacker, "1008")))
			}
		}
		if limit := 10*perMinute + perRebootMinute + 7; admitted > limit {
			t.Fatalf("%d guesses in ten minutes, more than %d", admitted, limit)
		}
	})
}

// What is forged in the name of an address that never proved itself bans it for ten minutes, on the
// SIP ports only.
func TestPropertyForgedVictims(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &lab{t: t, e: mustNew(t, func(o *Options) { o.Canaries = []string{"b"} }), now: start}
		os := anyObservations(t, 50, 300)
		for _, o := range os {
			o.Stream = false
			if o.Kind == KindSuccessfulAuth {
				o.Password = false // that cannot be forged
			}
			l.take(l.e.Observe(o))
		}
		for _, v := range l.got {
			if v.Action != ActionBan {
				continue
			}
			limit := 10 * time.Minute
			for range v.Strike - 1 {
				limit = max(limit*4, time.Hour)
			}
			if v.Scope != ScopeSIP || v.Duration > limit {
				t.Fatalf("got %s", brief(v))
			}
		}
	})
}

// Nothing that others forge makes the ban of an attacker later, shorter or smaller than it is when
// it attacks alone.
func TestPropertyOthersDoNotDelayABan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		attack := func(i int) Observation {
			return overStream(
				event(
					KindInvalidAccountID,
					ServicePJSIP,
					"198.51.100.99",
					fmt.Sprint(i),
					fmt.Sprint(i),
				),
			)
		}
		l := &lab{t: t, e: mustNew(t, nil), now: start}
		noise := anyObservations(t, 10, 60)
		n := l.attemptsUntil(9, time.Millisecond, func(i int) Observation {
			for range min(len(noise), rapid.IntRange(0, 20).Draw(t, "between")) {
				o := noise[0]
				noise = noise[1:]
				o.At = l.now
				if rapid.Bool().Draw(t, "in its name") {
					o.Source = addrPort(hostAddr("198.51.100.99"), 5060)
					o.Stream, o.Password = false, false
				}
				l.take(l.e.Observe(o))
			}
			return attack(i)
		})
		if n == 0 || n > 4 {
			t.Fatalf("banned at attempt %d, alone at 4", n)
		}
		for i := range 4 {
			l.feed(attack(10 + i)) // it becomes one of all traffic
		}
		b, _ := l.e.Ban(hostAddr("198.51.100.99"))
		if b.Scope != ScopeAll || b.Until < l.now+int64(59*time.Minute) {
			t.Fatalf("got %v until %v", b.Scope, time.Duration(b.Until-l.now))
		}
	})
}

// An office whose first event was a success is never banned for what others forge in its name,
// however they choose accounts, kinds, ports but those of its phones, and times; nor for its own
// phones' successes, first ones included, amid that.
func TestPropertyForgersCannotBanAnOffice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &lab{
			t:   t,
			e:   mustNew(t, func(o *Options) { o.Canaries = []string{"canary"} }),
			now: start,
		}
		register := func(i int) { l.feed(success(fmt.Sprintf("%s:%d", office, 20000+i), fmt.Sprint(1000+i))) }
		register(0)
		for range rapid.IntRange(5, 40).Draw(t, "steps") {
			l.wait(
				time.Duration(
					rapid.SampledFrom([]int{0, 1, 20, 61, 3600, 5 * 3600}).Draw(t, "gap"),
				) * time.Second,
			)
			if rapid.IntRange(0, 2).Draw(t, "step") == 0 {
				register(rapid.IntRange(0, 4).Draw(t, "phone"))
			} else {
				o := event(
					Kind(rapid.IntRange(0, int(KindCount)-1).Draw(t, "kind")),
					rapid.SampledFrom([]Service{ServicePJSIP, ServiceSIP}).Draw(t, "service"),
					fmt.Sprintf("%s:%d", office, rapid.SampledFrom([]int{5060, 5061, 31337}).Draw(t, "port")),
					rapid.SampledFrom([]string{"1000", "1001", "1002", "x", unknown, "canary", ""}).
						Draw(t, "account"), "c")
				o.Injected = rapid.IntRange(0, 9).Draw(t, "injected") == 9
				l.feed(repeat(rapid.SampledFrom([]int{1, 3, 6, 25, 80}).Draw(t, "n"), o)...)
			}
			if l.now-int64(18*time.Hour) > int64(l.source(office).proofAt)*int64(time.Second) {
				register(0)
			}
			l.noBan()
		}
	})
}
