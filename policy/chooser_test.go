package policy

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestWhoChooses is the table that everything else rests on, row by row, as it was measured.
func TestWhoChooses(t *testing.T) {
	for _, tt := range []struct {
		service          Service
		stream           bool
		failure, success Chooser
	}{
		{ServiceAMI, true, ChooserNobody, ChooserNobody},
		{ServicePJSIP, true, ChooserNobody, ChooserNobody},
		{ServicePJSIP, false, ChooserSpoofer, ChooserSpooferWithAccount},
		{ServiceSIP, true, ChooserAnybody, ChooserAnybodyWithAccount},
		{ServiceSIP, false, ChooserAnybody, ChooserAnybodyWithAccount},
		{ServiceOther, true, ChooserAnybody, ChooserAnybodyWithAccount},
		{ServiceOther, false, ChooserAnybody, ChooserAnybodyWithAccount},
		{ServiceIAX2, false, ChooserSpoofer, ChooserSpooferWithAccount},
		{ServiceAMI, false, ChooserAnybody, ChooserAnybodyWithAccount},
		{Service(200), true, ChooserAnybody, ChooserAnybodyWithAccount},
	} {
		for kind := range KindCount {
			want := tt.failure
			if kind == KindSuccessfulAuth {
				want = tt.success
			}
			if got := WhoChooses(tt.service, tt.stream, kind); got != want {
				t.Errorf("%v, stream %v, %v: %v, want %v", tt.service, tt.stream, kind, got, want)
			}
		}
	}
}

// TestWhoChoosesConfirmed: only what PJSIP tells of UDP becomes certain by a nonce.
func TestWhoChoosesConfirmed(t *testing.T) {
	for service := range serviceCount {
		for _, stream := range []bool{false, true} {
			for kind := range KindCount {
				o := Observation{Service: service, Stream: stream, Kind: kind, confirmed: true}
				want := WhoChooses(service, stream, kind)
				if service == ServicePJSIP && !stream {
					want = ChooserRoundTrip
				}
				if got := o.Chooser(); got != want {
					t.Errorf("%v, stream %t, %v: %v, want %v", service, stream, kind, got, want)
				}
			}
		}
	}
}

// forgeableObservations draws observations whose address somebody could have chosen.
func forgeableObservations(t *rapid.T, low, high int) []Observation {
	os := anyObservations(t, low, high)
	for i := range os {
		if os[i].Chooser().Proven() {
			os[i].Stream = false
			if os[i].Service == ServiceAMI {
				os[i].Service = ServiceSIP
			}
		}
	}
	return os
}

// TestPropertyChosenAddresses: whatever somebody could have sent in the names of others, successes
// included, bans nobody from everything, and nobody who is proved at all. What anybody could have
// sent without forging a packet bans for ten minutes, again and again.
func TestPropertyChosenAddresses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := mustNew(t, func(o *Options) { o.Canaries = []string{"b"} })
		anybody := rapid.Bool().Draw(t, "anybody")
		os := forgeableObservations(t, 50, 400)
		for i := range os {
			if anybody {
				os[i].Service = ServiceSIP
			}
		}

		play(e, os, func(_ Observation, vs []Verdict) {
			for _, v := range vs {
				if v.Action != ActionBan {
					continue
				}
				if v.Scope != ScopeSIP || v.Chooser.Proven() {
					t.Fatalf("got %s, on evidence that could be chosen", brief(v))
				}
				if anybody && (v.Duration > 10*time.Minute || v.Strike != 0) {
					t.Fatalf("got %s, on evidence that anybody could have sent", brief(v))
				}
				if v.Prefix.IsSingleIP() && e.Explain(v.Prefix.Addr()).Proved {
					t.Fatalf("got %s, of a proved source", brief(v))
				}
				for _, a := range world {
					if addr := netip.MustParseAddr(a); v.Prefix.Contains(addr) &&
						e.Explain(addr).Proved {
						t.Fatalf("got %s, which holds the proved %v", brief(v), addr)
					}
				}
			}
		})
	})
}

// TestPropertyProvenFailuresStay: a success that could have been forged takes nothing from a proven
// score.
func TestPropertyProvenFailuresStay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := mustNew(t, off(RuleMisconfigured))
		score := func() (proven, slow float32) {
			r := e.sources.Get(hostKey(hostAddr(attacker)).host())
			if r == 0 {
				return 0, 0
			}
			s := *e.sources.Val(r)
			return s.proven, s.slowProven
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			account := rapid.SampledFrom([]string{"1001", "1002"}).Draw(t, "account")
			o := wrong(attacker, account)
			success := rapid.Bool().Draw(t, "success")
			if success {
				o = registered(attacker)
				o.Account = hasher.Label([]byte(account))
			}
			o.Stream = !success && rapid.Bool().Draw(t, "stream")
			o.At = start
			before, slowBefore := score()
			e.Observe(o)
			if after, slow := score(); after < before || slow < slowBefore {
				t.Fatalf(
					"%v took %v, %v from what is proven",
					o.Kind,
					before-after,
					slowBefore-slow,
				)
			}
		}
	})
}

// chanSIPWrong is what anybody can have chan_sip say of any address: a wrong password, over any
// transport, with a round trip.
func chanSIPWrong(source, account string) Observation {
	o := event(KindInvalidPassword, ServiceSIP, source, account, "m")
	o.Stream = true
	return o
}

// TestAnybodysBanNeverGrows: an hour of forged failures after the other makes ten minutes each, and
// no strike that would make a later ban longer.
func TestAnybodysBanNeverGrows(t *testing.T) {
	l := newLab(t)
	const victim = "203.0.113.99"
	for range 20 {
		l.feed(repeat(7, chanSIPWrong(victim, "1001"))...)
		l.wait(time.Hour)
	}
	if n := l.count(ActionBan, RuleScore) + l.count(ActionBan, RuleLongMemory); n < 10 {
		t.Fatalf("%d bans of twenty: %v", n, l.told())
	}
	for _, v := range l.got {
		if v.Action == ActionBan &&
			(v.Scope != ScopeSIP || v.Duration != 10*time.Minute || v.Strike != 0) {
			t.Errorf("got %s", brief(v))
		}
	}

	// Forged packets make the first ban then, as if nothing had been.
	l.wait(30 * 24 * time.Hour)
	l.drop()
	l.feed(guesses(4, victim)...)
	if v := l.banned(); v.Strike != 1 || v.Duration != 10*time.Minute {
		t.Errorf("got %s", brief(v))
	}
}

// TestAnybodysEvidenceLeavesNeighboursAlone: what anybody did in the names of a /24 does not make
// it a prefix of offenders.
func TestAnybodysEvidenceLeavesNeighboursAlone(t *testing.T) {
	l := newLab(t)
	for i := range 4 {
		l.feed(repeat(7, chanSIPWrong(fmt.Sprintf("203.0.113.%d", i+1), "1001"))...)
		l.wait(time.Hour)
	}
	l.drop()
	l.feed(guesses(4, "203.0.113.77")...)
	if v := l.banned(); !v.Prefix.IsSingleIP() {
		t.Errorf("got %s", brief(v))
	}
}

// TestMixedEvidence: a ban that needs what anybody could have sent is brief.
func TestMixedEvidence(t *testing.T) {
	l := newLab(t)
	l.feed(chanSIPWrong(attacker, "1001"))
	l.feed(guesses(3, attacker)...)
	if v := l.banned(); v.Strike != 0 || v.Duration != 10*time.Minute ||
		v.Chooser != ChooserAnybody {
		t.Errorf("got %s, %v", brief(v), v.Chooser)
	}

	// The rest alone would do, a day later.
	l.wait(24 * time.Hour)
	l.drop()
	l.feed(guesses(5, attacker)...)
	if v := l.got[len(l.got)-1]; v.Action != ActionBan || v.Chooser != ChooserAnybody {
		t.Errorf("what anybody sent still counts: got %s, %v", brief(v), v.Chooser)
	}
	l.wait(30 * 24 * time.Hour)
	l.drop()
	l.feed(guesses(4, attacker)...)
	if v := l.banned(); v.Strike != 1 || v.Chooser != ChooserSpoofer {
		t.Errorf("got %s, %v", brief(v), v.Chooser)
	}
}

// TestForgedSuccessBansNoPhone: a spoofer with an account raises failures and a success in the name
// of a phone that works, from one port, again and again.
func TestForgedSuccessBansNoPhone(t *testing.T) {
	l := newLab(t)
	for range 10 {
		l.feed(registered(phone))
		l.feed(repeat(9, wrong(phone+":40000", "own"))...)
		l.feed(success(phone+":40000", "own"))
		l.wait(2 * time.Hour)
	}
	l.noBan()
	if n := l.count(ActionAlert, RuleCompromised); n == 0 {
		t.Errorf("that the password of the account is known was not told: %v", l.told())
	}
}

// TestVouchers: an account shields four new addresses an hour and sixteen a day by successes that
// could have been forged, a /64 counts as one, and renewing costs nothing.
func TestVouchers(t *testing.T) {
	l := newLab(t)
	addr := func(i int) string { return fmt.Sprintf("192.0.%d.7", i) }
	shielded := func() (n int) {
		for i := range 40 {
			if l.proved(addr(i)) {
				n++
			}
		}
		return n
	}

	for i := range 10 {
		l.feed(success(addr(i), "mine"))
	}
	if n := shielded(); n != vouchersAnHour {
		t.Fatalf("%d addresses within an hour, want %d", n, vouchersAnHour)
	}
	if v := l.alerted(RuleSpoofSuspected); string(v.Account.Bytes()) != "mine" ||
		v.Sources != vouchersAnHour {
		t.Errorf("told: %s, %d addresses", brief(v), v.Sources)
	}
	l.feed(overStream(success(addr(30), "mine"))) // nobody could have chosen that one
	if !l.proved(addr(30)) {
		t.Error("a success over TCP needs no voucher")
	}

	// A restart gives no new ones.
	log := &saved{}
	log.stop(l.e)
	l.e, _ = log.recall(t, l.e.opt, l.now)
	l.feed(success(addr(11), "mine"))
	if l.proved(addr(11)) {
		t.Error("after a restart there is room for more")
	}

	for hour := range 10 {
		l.wait(time.Hour)
		for i := range 4 {
			l.feed(success(addr(0), "mine"), success(addr(12+4*hour%20+i), "mine"))
		}
	}
	if n := shielded(); n != vouchersADay+1 {
		t.Errorf("%d addresses within a day, want %d and the one over TCP", n, vouchersADay)
	}

	l.wait(25 * time.Hour)
	for i := range 8 {
		l.feed(success(host6(i), "mine")) // of one /64
	}
	for i := range 8 {
		if !l.proved(host6(i)) {
			t.Errorf("address %d of one /64 is not proved", i)
		}
	}
}

// TestGuessingBehindManyNames: each forged source fails once, so none is banned; the account is
// told with the number of sources, and a hundred accounts at most, the worst first, and the others
// in one line.
func TestGuessingBehindManyNames(t *testing.T) {
	l := newLab(t)
	next := 0
	guess := func(sources int, account string) {
		for range sources {
			next++
			l.feed(wrong(fmt.Sprintf("11.%d.%d.1", next>>8, next&255), account))
		}
	}

	guess(30, "1001")
	v := l.got[0]
	if v.Rule != RuleAccountAttacked || string(v.Account.Bytes()) != "1001" ||
		v.Sources != accountAttackers ||
		v.Prefix.IsValid() {
		t.Errorf("got %s of %d sources", brief(v), v.Sources)
	}

	for i := range 150 {
		guess(accountAttackers, fmt.Sprint("small", i))
	}
	guess(3*accountAttackers, "worst")
	l.wait(time.Minute)
	guess(1, "small149")

	told, more := map[string]bool{}, 0
	for _, v := range l.got {
		if v.Rule != RuleAccountAttacked {
			continue
		}
		told[string(v.Account.Bytes())] = true
		more = max(more, v.More)
	}
	if !told["worst"] || len(told) > maxOpen+2 { // the worst one, and the line
		t.Errorf("%d accounts were told, the worst among them: %v", len(told), told["worst"])
	}
	if more < 50 || more > 53 {
		t.Errorf("the line counts %d further accounts, want those that were left out", more)
	}
}
