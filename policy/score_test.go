package policy

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// The attempt at which each kind bans, at the defaults and within seconds.
func TestAttemptThatBans(t *testing.T) {
	for _, tt := range []struct {
		o     Observation
		want  int
		scope Scope
	}{
		{event(KindInvalidAccountID, ServicePJSIP, attacker, "a", "c"), 4, ScopeSIP},
		{event(KindFailedACL, ServicePJSIP, attacker, "a", "c"), 4, ScopeSIP},
		{event(KindFailedACL, ServiceSIP, attacker, "a", "c"), 4, ScopeSIP},
		{event(KindChallengeResponseFailed, ServicePJSIP, attacker, unknown, "c"), 4, ScopeSIP},
		{event(KindChallengeResponseFailed, ServicePJSIP, attacker, "1001", "c"), 7, ScopeSIP},
		{event(KindInvalidPassword, ServiceSIP, attacker, "1001", "c"), 7, ScopeSIP},
		{event(KindInvalidTransport, ServiceSIP, attacker, "1001", "c"), 13, ScopeSIP},
		{event(KindRequestNotSupported, ServicePJSIP, attacker, "1001", "c"), 13, ScopeSIP},
		{event(KindInvalidAccountID, ServiceAMI, attacker, "admin", "c"), 4, ScopeAll},
		{event(KindFailedACL, ServiceAMI, attacker, "admin", "c"), 4, ScopeAll},
		{event(KindChallengeResponseFailed, ServiceAMI, attacker, "", "c"), 7, ScopeAll},
		{event(KindInvalidPassword, ServiceAMI, attacker, "admin", "c"), 7, ScopeAll},
		{event(KindRequestNotAllowed, ServiceAMI, attacker, "admin", "c"), 7, ScopeAll},
		{event(KindRequestBadFormat, ServiceAMI, attacker, "admin", "c"), 7, ScopeAll},
		{event(KindSessionLimit, ServiceAMI, attacker, "admin", "c"), 13, ScopeAll},
		{overStream(event(KindInvalidAccountID, ServicePJSIP, attacker, "a", "c")), 4, ScopeAll},
		{
			overStream(event(KindChallengeResponseFailed, ServicePJSIP, attacker, "1001", "c")), 7,
			ScopeAll,
		},
		{event(KindChallengeSent, ServicePJSIP, attacker, "1001", "c"), 0, ScopeNone},
		{event(KindLoadAverageLimit, ServiceAMI, attacker, "", "c"), 0, ScopeNone},
		{event(KindNone, ServiceOther, attacker, "", "c"), 0, ScopeNone},
		{event(KindCount+7, ServiceOther, attacker, "", "c"), 0, ScopeNone},
	} {
		t.Run(fmt.Sprint(tt.o.Service, tt.o.Kind, tt.o.Stream, tt.o.Unknown), func(t *testing.T) {
			l := newLab(t)
			for i, o := range repeat(20, tt.o) {
				l.feed(o)
				if len(l.got) == 0 {
					continue
				}
				if v := l.banned(); i+1 != tt.want || v.Attempts != tt.want ||
					v.Scope != tt.scope ||
					v.Score <= 3 {
					t.Errorf(
						"request %d: got %+v, want scope %v at attempt %d",
						i+1,
						v,
						tt.scope,
						tt.want,
					)
				}
				return
			}
			if tt.want != 0 {
				t.Error("never banned")
			}
		})
	}
}

// The score must be above the threshold: at it is not enough, though all attempts come at the same
// instant and the weights do not add up exactly.
func TestScoreAtThresholdBansNobody(t *testing.T) {
	for weight, want := range map[float64]int{1: 4, 0.5: 7, 0.1: 31, 0.3: 11, 3: 2, 3.5: 1} {
		l := newLab(t, func(o *Options) { o.Weights[KindInvalidPassword] = weight })
		n := 0
		for ; len(l.got) == 0; n++ {
			o := event(KindInvalidPassword, ServiceSIP, attacker, "a", fmt.Sprint(n))
			o.At = l.now
			l.take(l.e.Observe(o))
		}
		if n != want {
			t.Errorf("weight %v: banned at attempt %d, want %d", weight, n, want)
		}
	}
}

func TestScoreHalvesInHalfLife(t *testing.T) {
	l := newLab(t)
	o := event(KindInvalidAccountID, ServiceAMI, attacker, "a", "c")
	l.feed(repeat(3, o)...)
	l.wait(20 * time.Minute) // 1.5
	l.feed(o)                // 2.5
	l.quiet()
	l.feed(o)
	if v := l.banned(); v.Score < 3.49 || v.Score > 3.5 || v.Attempts != 5 {
		t.Errorf("score %v after %d attempts, want 3.5 after 5", v.Score, v.Attempts)
	}
}

func TestAttemptsBeginAnewWhenTheScoreIsGone(t *testing.T) {
	l := newLab(t)
	o := event(KindInvalidAccountID, ServiceAMI, attacker, "a", "c")
	for _, swept := range []bool{false, true} {
		l.got = nil
		l.feed(repeat(3, o)...)
		// one attempt is remembered for two weeks, three for 25 days
		l.now += int64(30 * 24 * time.Hour)
		if swept {
			l.wait(0)
		}
		l.feed(repeat(4, o)...)
		if v := l.banned(); v.Attempts != 4 || len(v.Evidence) != 4 {
			t.Errorf(
				"swept %v: got %d attempts and %d pieces of evidence, want 4",
				swept,
				v.Attempts,
				len(v.Evidence),
			)
		}
		l.wait(1000 * time.Hour)
	}
}

func TestTimeThatStepsBackIsNoTime(t *testing.T) {
	l := newLab(t)
	o := event(KindInvalidAccountID, ServiceAMI, attacker, "a", "c")
	for i, o := range repeat(4, o) {
		o.At = start - int64(i)*int64(time.Hour)
		l.take(l.e.Observe(o))
	}
	if v := l.banned(); v.At != start {
		t.Errorf("banned at %d, want %d", v.At, start)
	}
}

func TestServersShareOneScore(t *testing.T) {
	l := newLab(t)
	for i, o := range repeat(4, event(KindInvalidAccountID, ServicePJSIP, attacker, "a", "c")) {
		o.Server = uint16(i)
		l.feed(o)
	}
	if v := l.banned(); v.Evidence[3].Server != 3 {
		t.Errorf("got %+v", v.Evidence)
	}
}

// An injection attempt is evidence against its sender, whatever event it pretends to be; over UDP
// it is forgeable.
func TestInjectionIsEvidence(t *testing.T) {
	for _, kind := range []Kind{KindSuccessfulAuth, KindChallengeSent, KindInvalidAccountID, KindNone} {
		for _, stream := range []bool{false, true} {
			l := newLab(t)
			o := event(kind, ServicePJSIP, attacker, "a", "c")
			o.Injected, o.Password, o.Stream = true, true, stream
			l.feed(repeat(4, o)...)
			want := ScopeSIP
			if stream {
				want = ScopeAll
			}
			if v := l.banned(); v.Scope != want || v.Evidence[0].Kind != KindInjection {
				t.Errorf("%v: got %s", kind, brief(v))
			}
		}
	}
}

func TestEvidenceIsTheLatestOldestFirst(t *testing.T) {
	l := newLab(t)
	for i := range 13 {
		l.feed(event(KindSessionLimit, ServiceAMI, fmt.Sprintf("%s:%d", attacker, i), "admin", ""))
	}
	v := l.banned()
	if len(v.Evidence) != evidenceKept {
		t.Fatalf("got %d, want %d", len(v.Evidence), evidenceKept)
	}
	for i, ev := range v.Evidence {
		if ev.Port != uint16(i+5) || string(ev.Account.Bytes()) != "admin" || ev.Weight != 0.25 ||
			!ev.Proven() {
			t.Errorf(
				"evidence %d: got port %d, account %q, weight %v; want port %d",
				i,
				ev.Port,
				ev.Account.Bytes(),
				ev.Weight,
				i+5,
			)
		}
	}
}

// Addresses that are no host's: never scored, whatever the list says.
func TestBuiltinAddressesAreNeverBanned(t *testing.T) {
	for _, a := range []string{
		"127.0.0.1", "127.8.9.1", "::1", "::", "0.0.0.0", "224.0.0.1", "239.255.255.250", "ff02::1", "255.255.255.255",
		"::ffff:127.0.0.1", "::ffff:0.0.0.0",
	} {
		l := newLab(t)
		o := event(KindInvalidAccountID, ServiceAMI, attacker, "a", "c")
		o.Source = netip.AddrPortFrom(netip.MustParseAddr(a), 5060)
		l.feed(repeat(9, o)...)
		l.quiet()
		if s := l.e.Stats(); s.Sources != 0 {
			t.Errorf("%s: %d records", a, s.Sources)
		}
	}
}

func TestInvalidSourceIsCountedAndSkipped(t *testing.T) {
	l := newLab(t)
	l.feed(repeat(9, Observation{Kind: KindInvalidAccountID, Stream: true})...)
	l.quiet()
	if got := l.e.Stats().Invalid; got != 9 {
		t.Errorf("invalid: got %d, want 9", got)
	}
}

func TestMappedAndZonedAddressesAreOneSource(t *testing.T) {
	l := newLab(t)
	o := event(KindInvalidAccountID, ServiceAMI, attacker, "a", "c")
	l.feed(o, o)
	o.Source = netip.AddrPortFrom(netip.MustParseAddr("::ffff:"+attacker), 1)
	l.feed(o, o)
	if v := l.banned(); v.Prefix.String() != attacker+"/32" {
		t.Errorf("got %v", v.Prefix)
	}
	l = newLab(t)
	o.Source = netip.AddrPortFrom(netip.MustParseAddr("fe80::1%eth0"), 1)
	l.feed(o, o)
	o.Source = netip.AddrPortFrom(netip.MustParseAddr("fe80::1"), 1)
	l.feed(o, o)
	if v := l.banned(); v.Prefix.String() != "fe80::1/128" {
		t.Errorf("got %v", v.Prefix)
	}
}
