package policy

import (
	"fmt"
	"math"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// witnessed is an observation over UDP of a PBX whose nonces are watched.
func witnessed(o Observation) Observation { o.Confirmable = true; return o }

// confirm confirms an observation.
func (l *lab) confirm(o Observation) {
	l.now += int64(50 * time.Millisecond)
	l.take(l.e.Confirm(l.now, o))
}

// proven feeds observations over UDP, and confirms each a moment later.
func (l *lab) proven(os ...Observation) {
	for _, o := range os {
		l.confirm(l.feedOne(witnessed(o)))
	}
}

// feedOne feeds an observation, and returns it as it was fed.
func (l *lab) feedOne(o Observation) Observation {
	l.now += int64(time.Millisecond)
	o.At = l.now
	l.take(l.e.Observe(o))
	return o
}

// TestConfirmedGuesserIsBannedFromAll: over UDP as over TCP, at the same attempt, for as long.
func TestConfirmedGuesserIsBannedFromAll(t *testing.T) {
	over := func(feed func(l *lab, o Observation)) Verdict {
		l := newLab(t)
		for i := range 7 {
			feed(l, repeat(i+1, wrong(attacker, "1001"))[i])
		}
		return l.got[len(l.got)-1]
	}
	udp := over(func(l *lab, o Observation) { l.proven(o) })
	tcp := over(func(l *lab, o Observation) { l.feed(overStream(o)) })
	if udp.Action != ActionBan || udp.Scope != ScopeAll || udp.Chooser != ChooserRoundTrip ||
		udp.Rule != RuleProvenScore {
		t.Errorf("got %s, %v", brief(udp), udp.Chooser)
	}
	if udp.Duration < tcp.Duration || udp.Duration > tcp.Duration+time.Second ||
		udp.Strike != tcp.Strike || udp.Attempts != tcp.Attempts || len(udp.Evidence) != len(tcp.Evidence) {
		t.Errorf("over UDP %s, over TCP %s", brief(udp), brief(tcp))
	}
	for _, ev := range udp.Evidence {
		if !ev.Proven() {
			t.Errorf("evidence %+v", ev)
		}
	}
}

// TestNoBanWaitsForTheNonce: the ban of the SIP ports comes at once. When the nonces turn out clean it
// grows: the same strike, and each attempt counts once.
func TestNoBanWaitsForTheNonce(t *testing.T) {
	l := newLab(t)
	var fed []Observation
	for _, o := range repeat(7, wrong(attacker, "1001")) {
		fed = append(fed, l.feedOne(witnessed(o)))
	}
	if v := l.banned(); v.Scope != ScopeSIP || v.Duration != 10*time.Minute || v.Attempts != 7 {
		t.Fatalf("got %s", brief(v))
	}

	l.drop()
	for _, o := range fed {
		l.confirm(o)
	}
	v := l.banned()
	if v.Scope != ScopeAll || v.Duration != l.e.opt.BanTime || v.Strike != 1 || v.Attempts != 7 {
		t.Errorf("got %s", brief(v))
	}
	s := l.source(attacker)
	if s.forgeable != 0 || s.slowForgeable != 0 || s.strikes != 1 || s.attempts != 7 {
		t.Errorf("%+v", s)
	}

	l.drop()
	for _, o := range fed {
		l.confirm(o)
	}
	l.quiet()
	if got := l.source(attacker); got != s {
		t.Errorf("confirmed again: %+v, before %+v", got, s)
	}
	if st := l.e.Stats(); st.Counted != 7 || st.Confirmed != 7 {
		t.Errorf("%+v", st)
	}
}

// TestOneForgedAmongProven: a ban that needs what was not confirmed stays as short as ever.
func TestOneForgedAmongProven(t *testing.T) {
	l := newLab(t)
	l.proven(repeat(6, wrong(attacker, "1001"))...)
	l.quiet()
	l.feed(witnessed(wrong(attacker, "1001")))
	if v := l.banned(); v.Scope != ScopeSIP || v.Duration != 10*time.Minute || v.Chooser.Proven() {
		t.Errorf("got %s", brief(v))
	}
}

// TestConfirmUnknownAccounts: the event with the nonce is folded into the one that was counted.
func TestConfirmUnknownAccounts(t *testing.T) {
	for name, first := range map[string]bool{"with credentials at once": true, "after a challenge": false} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			for i := range 4 {
				session, account := fmt.Sprint(i), fmt.Sprint("guess", i)
				invalid := event(KindInvalidAccountID, ServicePJSIP, attacker, account, session)
				l.feedOne(witnessed(invalid))
				if !first {
					l.feedOne(witnessed(event(KindChallengeSent, ServicePJSIP, attacker, unknown, session)))
					l.feedOne(witnessed(invalid))
				}
				l.proven(event(KindChallengeResponseFailed, ServicePJSIP, attacker, unknown, session))
			}
			v := l.got[len(l.got)-1]
			if v.Scope != ScopeAll || v.Attempts != 4 || v.Strike != 1 {
				t.Errorf("got %v", l.told())
			}
			if st := l.e.Stats(); st.Counted != 4 || st.Confirmed != 4 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// TestConfirmedPhoneWithAnOldPassword: misconfigured_endpoint has its say before.
func TestConfirmedPhoneWithAnOldPassword(t *testing.T) {
	l := newLab(t)
	l.feed(registered(phone))
	for range 60 {
		l.proven(wrong(phone, "1007"))
		l.wait(20 * time.Second)
	}
	l.noBan()
	if l.source(phone).proven != 0 {
		t.Errorf("%+v", l.source(phone))
	}
}

// TestForgedFailuresAtAStalePhone: whatever is forged in its name, a phone with an old password is not
// held to account for its own failures, which are few.
func TestForgedFailuresAtAStalePhone(t *testing.T) {
	for name, own := range map[string]func(l *lab, o Observation){
		"over UDP, confirmed": func(l *lab, o Observation) { l.proven(o) },
		"over TCP":            func(l *lab, o Observation) { l.feed(overStream(o)) },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.feed(registered(phone))
			for range 60 {
				for range 30 {
					l.feed(witnessed(wrong(phone, "1007")))
				}
				own(l, wrong(phone, "1007"))
				l.wait(20 * time.Second)
			}
			l.noBan()
		})
	}
}

// TestConfirmedGuesserOfItsOwnAccount: what is let pass of an account is limited for attempts that are
// confirmed, too.
func TestConfirmedGuesserOfItsOwnAccount(t *testing.T) {
	l := newLab(t)
	l.feed(registered(phone))
	l.proven(repeat(perMinute, wrong(phone, "1007"))...)
	l.noBan()
	if n := l.e.Stats().Excused; n != perMinute {
		t.Fatalf("%d are let pass", n)
	}
	l.proven(repeat(7, wrong(phone, "1007"))...)
	if l.count(ActionBan, RuleProvenScore) != 1 || !l.isBanned(phone) {
		t.Errorf("got %v", l.told())
	}
}

// TestConfirmedGuesserAtAPhone: who guesses others' accounts at the address of a phone that proved
// itself is told as certain, and banned from the SIP ports for ten minutes.
func TestConfirmedGuesserAtAPhone(t *testing.T) {
	l := newLab(t)
	l.feed(registered(phone))
	for i := range 40 {
		l.proven(wrong(phone, fmt.Sprint(2000+i)))
	}
	if n := l.count(ActionBan, RuleProvenScore); n != 1 {
		t.Fatalf("got %v", l.told())
	}
	for _, v := range l.got {
		if v.Action == ActionBan && (v.Scope != ScopeSIP || v.Duration != 10*time.Minute ||
			v.Chooser != ChooserRoundTrip) {
			t.Errorf("got %s", brief(v))
		}
	}
	var told Verdict
	for _, v := range l.got {
		if v.Rule == RuleProvedGuessing && v.Scope != ScopeNone {
			told = v
		}
	}
	if told.Rule != RuleProvedGuessing || told.Chooser != ChooserRoundTrip || told.Scope != ScopeSIP ||
		len(told.Users) != 1 {
		t.Errorf("told %s", brief(told))
	}

	// The same without nonces is only told.
	l = newLab(t)
	l.feed(registered(phone))
	for i := range 40 {
		l.feed(witnessed(wrong(phone, fmt.Sprint(2000+i))))
	}
	l.noBan()
}

// TestConfirmedGuesserInAnOffice: many accounts log in from the address, so the others must not be
// cut off, whether or not their successes could have been forged.
func TestConfirmedGuesserInAnOffice(t *testing.T) {
	for name, login := range map[string]func(l *lab, o Observation){
		"over TCP":            func(l *lab, o Observation) { l.feed(overStream(o)) },
		"over UDP":            func(l *lab, o Observation) { l.feed(o) },
		"over UDP, confirmed": func(l *lab, o Observation) { l.proven(o) },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			for i := range 6 {
				login(l, success(office, fmt.Sprint("user", i)))
			}
			for i := range 40 {
				l.proven(wrong(office, fmt.Sprint(2000+i)))
			}
			l.noBan()
			rule := RuleSharedGuessing
			if name == "over UDP" {
				rule = RuleProvedGuessing
			}
			if l.count(ActionAlert, rule) == 0 {
				t.Errorf("got %v, want %v", l.told(), rule)
			}
		})
	}
}

// TestConfirmedSuccess: who mistypes over UDP and then gets in is forgiven, as over TCP.
func TestConfirmedSuccess(t *testing.T) {
	l := newLab(t)
	l.proven(repeat(3, wrong(attacker, "1001"))...)
	before := l.source(attacker)
	if before.proven == 0 {
		t.Fatalf("%+v", before)
	}

	o := l.feedOne(witnessed(success(attacker, "1001")))
	if s := l.source(attacker); s.proven != before.proven || s.flags&lateProof == 0 || s.flags&firmProof != 0 {
		t.Errorf("a success that could be forged forgave what is proven: %+v", s)
	}
	l.confirm(o)
	s := l.source(attacker)
	if s.proven != 0 || s.attempts != 0 || s.flags&lateProof != 0 || s.flags&firmProof == 0 || s.owns != 1 {
		t.Errorf("%+v", s)
	}
	l.quiet()
}

// TestConfirmedFind: a success after failures that were not typos proves nothing, confirmed or not.
func TestConfirmedFind(t *testing.T) {
	l := newLab(t)
	l.proven(repeat(6, wrong(attacker, "1001"))...)
	l.proven(success(attacker, "1001"))
	if l.proved(attacker) || l.count(ActionAlert, RuleCompromised) != 1 || !l.isBanned(attacker) {
		t.Errorf("proved %v, told %v", l.proved(attacker), l.told())
	}
}

// TestNotConfirmed: each of these changes nothing.
func TestNotConfirmed(t *testing.T) {
	known := witnessed(wrong(attacker, "1001"))
	over := func(service Service, change func(o *Observation)) Observation {
		o := witnessed(event(KindInvalidPassword, service, attacker, "1001", "w"))
		if change != nil {
			change(&o)
		}
		return o
	}
	for name, tt := range map[string]struct {
		o      Observation
		before func(l *lab)
		claim  func(o *Observation)
	}{
		"not watched":        {o: wrong(attacker, "1001")},
		"chan_sip":           {o: over(ServiceSIP, nil)},
		"AMI over UDP":       {o: over(ServiceAMI, func(o *Observation) { o.Stream = false })},
		"an unknown service": {o: over(ServiceOther, nil)},
		"injected":           {o: over(ServicePJSIP, func(o *Observation) { o.Injected = true })},
		"pardoned": {o: known, before: func(l *lab) {
			l.e.Pardon(l.now, hostPrefix(attacker))
		}},
		"all pardoned": {o: known, before: func(l *lab) { l.e.PardonAll(l.now) }},
		"forgiven":     {o: known, before: func(l *lab) { l.feed(success(attacker, "1001")) }},
		"protected": {o: known, before: func(l *lab) {
			p := NewProtected([]ProtectedEntry{{hostPrefix(attacker), "allow"}}, nil)
			l.take(l.e.Protect(l.now, p))
		}},
		"late": {o: known, before: func(l *lab) { l.wait(time.Minute) }},
		"another source": {o: known, claim: func(o *Observation) {
			o.Source = addrPort(hostAddr(phone), 5060)
		}},
		"another port": {o: known, claim: func(o *Observation) {
			o.Source = addrPort(hostAddr(attacker), 5061)
		}},
		"another server": {o: known, claim: func(o *Observation) { o.Server++ }},
		"another time":   {o: known, claim: func(o *Observation) { o.At++ }},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			o := l.feedOne(tt.o)
			if tt.before != nil {
				tt.before(l)
			}
			if tt.claim != nil {
				tt.claim(&o)
			}
			proven := func() float32 {
				if r := l.e.sources.Get(hostKey(hostAddr(attacker)).host()); r != 0 {
					return l.e.sources.Val(r).proven
				}
				return 0
			}
			l.drop()
			l.confirm(o)
			l.quiet()
			if proven() != 0 || l.e.Stats().Confirmed != 0 {
				t.Errorf("proven %v, %+v", proven(), l.e.Stats())
			}
		})
	}
}

// TestTwoAtTheSameTime: a forged attempt that comes in the very moment of a true one is not confirmed in
// its place.
func TestTwoAtTheSameTime(t *testing.T) {
	l := newLab(t)
	o := l.feedOne(witnessed(wrong(attacker, "1001")))
	forged := witnessed(wrong(attacker, "1002"))
	forged.At = o.At
	l.take(l.e.Observe(forged))
	l.confirm(o)
	if s := l.source(attacker); s.proven != 0 || s.attempts != 2 || l.e.Stats().Confirmed != 0 {
		t.Errorf("%+v, %+v", s, l.e.Stats())
	}
}

// TestConfirmedBotnet: each source of a /24 guesses with nonces of its own. The prefix is banned as on
// proven evidence.
func TestConfirmedBotnet(t *testing.T) {
	l := newLab(t)
	for i := range 4 {
		for j := range 7 {
			l.proven(wrong(fmt.Sprintf("203.0.113.%d", 10+i), fmt.Sprint(1000+j)))
		}
	}
	for _, v := range l.got {
		if v.Action == ActionBan && v.Prefix.Bits() == 24 && v.Scope == ScopeAll {
			return
		}
	}
	t.Errorf("got %v", l.told())
}

// TestPropertyConfirmedIsAsOverTCP: attempts over UDP that are all confirmed leave the scores that
// they leave over TCP, whatever comes between an attempt and its confirmation.
func TestPropertyConfirmedIsAsOverTCP(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		udp, tcp := newLab(t), newLab(t)
		sources := []string{"198.51.100.1", "203.0.113.9", "2001:db8:bad::1", "2001:db8:bad::2"}
		for range rapid.IntRange(1, 12).Draw(t, "attempts") {
			o := wrong(rapid.SampledFrom(sources).Draw(t, "source"),
				rapid.SampledFrom([]string{"1001", "1002", "1003"}).Draw(t, "account"))
			udp.proven(o)
			tcp.now = udp.now - int64(time.Millisecond)
			tcp.feed(overStream(o))
			wait := rapid.SampledFrom([]time.Duration{0, time.Second, time.Hour}).Draw(t, "wait")
			udp.wait(wait)
			tcp.wait(wait)
		}

		for _, a := range sources {
			r := udp.e.sources.Get(hostKey(hostAddr(a)).host())
			if r == 0 {
				continue
			}
			udp.e.decay(udp.e.sources.Val(r))
			tcp.e.decay(tcp.e.sources.Val(tcp.e.sources.Get(hostKey(hostAddr(a)).host())))
			got, want := *udp.e.sources.Val(r), tcp.source(a)
			// A ban over UDP comes one attempt earlier where the weight as forgeable evidence is larger.
			if got.strikes != 0 || want.strikes != 0 {
				continue
			}
			if math.Abs(float64(got.proven-want.proven)) > 1e-3 || got.forgeable > 1e-3 ||
				got.attempts != want.attempts || got.failedProven != want.failedProven {
				t.Fatalf("%s over UDP:\n%+v\nover TCP:\n%+v", a, got, want)
			}
		}
	})
}

// TestPropertyConfirmedAccusesNobodyElse: whatever is sent in the names of others, and whatever an
// attacker's own attempts are confirmed: nobody but the attacker is banned from everything, and nobody
// who is proved at all.
func TestPropertyConfirmedAccusesNobodyElse(t *testing.T) {
	own := netip.MustParseAddr("198.51.100.1")
	rapid.Check(t, func(t *rapid.T) {
		e := mustNew(t, nil)
		var claims []Observation
		check := func(vs []Verdict) {
			for _, v := range vs {
				if v.Action != ActionBan || v.Prefix == netip.PrefixFrom(own, 32) {
					continue
				}
				if v.Scope != ScopeSIP || v.Chooser.Proven() {
					t.Fatalf("got %s: not the attacker's", brief(v))
				}
				for _, a := range world {
					addr := netip.MustParseAddr(a)
					if addr != own && v.Prefix.Contains(addr) && e.Explain(addr).Proved {
						t.Fatalf("got %s, which holds the proved %v", brief(v), addr)
					}
				}
			}
		}
		os := forgeableObservations(t, 50, 300)
		for i := range os {
			o := os[i]
			o.Confirmable = true
			check(e.Observe(o))
			if o.Source.Addr() == own {
				claims = append(claims, o)
			}
			for len(claims) > 0 && rapid.Bool().Draw(t, "confirm") {
				check(e.Confirm(o.At, claims[0]))
				claims = claims[1:]
			}
		}
	})
}

// TestConfirmAllocatesNothing: not in a flood either, in which more wait than are remembered.
func TestConfirmAllocatesNothing(t *testing.T) {
	e := mustNew(t, nil)
	o := witnessed(wrong("198.51.100.1", "1001"))
	now, n := start, uint32(0)
	step := func() {
		n++
		now += int64(time.Millisecond)
		o.Source = netip.AddrPortFrom(netip.AddrFrom4([4]byte{11, byte(n >> 16), byte(n >> 8), byte(n)}), 5060)
		o.At = now
		e.Observe(o)
		if n%3 == 0 {
			e.Confirm(now, o)
		}
	}
	for range 2 * maxTentatives {
		step()
	}

	// A fraction of an allocation would be rounded to none.
	many := func() {
		for range 300 {
			step()
		}
	}
	if got := testing.AllocsPerRun(10, many); got > 0 {
		t.Errorf("%v allocations", got)
	}
}
