package policy

import (
	"testing"
	"time"
)

func canaries(o *Options) { o.Canaries = []string{"canary", "honey"} }

// Whatever names a canary account bans at once: attempts, challenges, successes; over a stream all
// traffic.
func TestCanaryBansAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name  string
		o     Observation
		scope Scope
	}{
		{"a guess", wrong(attacker, "canary"), ScopeSIP},
		{"another one", wrong(attacker, "honey"), ScopeSIP},
		{
			"an unknown account",
			event(KindInvalidAccountID, ServicePJSIP, attacker, "canary", "c"), ScopeSIP,
		},
		{"a challenge", event(KindChallengeSent, ServicePJSIP, attacker, "canary", "c"), ScopeSIP},
		{
			"a weak kind", event(KindRequestNotSupported, ServicePJSIP, attacker, "canary", "c"),
			ScopeSIP,
		},
		{
			"a success without a password",
			event(KindSuccessfulAuth, ServicePJSIP, attacker, "canary", "c"), ScopeSIP,
		},
		{"a success over UDP", success(attacker, "canary"), ScopeSIP},
		{"a success over a stream", overStream(success(attacker, "canary")), ScopeAll},
		{"a guess over a stream", overStream(wrong(attacker, "canary")), ScopeAll},
		{"chan_sip", event(KindInvalidPassword, ServiceSIP, attacker, "canary", "c"), ScopeSIP},
		{"AMI", event(KindInvalidAccountID, ServiceAMI, attacker, "canary", "c"), ScopeAll},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, canaries)
			l.feed(tt.o)
			v := l.banned()
			want := time.Hour
			if tt.scope == ScopeSIP {
				want = 10 * time.Minute
			}
			if v.Rule != RuleCanary || v.Scope != tt.scope || v.Duration != want ||
				v.Attempts != 1 ||
				len(v.Evidence) != 1 {
				t.Errorf("got %s", brief(v))
			}
		})
	}
}

func TestWhatIsNoCanary(t *testing.T) {
	for name, o := range map[string]Observation{
		"another account": wrong(attacker, "canary1"),
		"another case":    wrong(attacker, "Canary"),
		"no account":      wrong(attacker, ""),
		"an account the PBX denies is": {
			Kind: KindChallengeSent, Service: ServicePJSIP, Unknown: true,
			Source: addrPort(hostAddr(attacker), 1), Account: hasher.Label([]byte("canary")),
		},
	} {
		l := newLab(t, canaries)
		l.feed(o)
		if len(l.got) != 0 {
			t.Errorf("%s: got %v", name, l.told())
		}
	}
}

// A success as a canary proves nothing.
func TestCanaryProvesNothing(t *testing.T) {
	l := newLab(t, canaries)
	l.feed(success(attacker, "canary"))
	if x := l.e.Explain(hostAddr(attacker)); x.Proved || x.Owns != 0 {
		t.Errorf("proved %v, owns %d", x.Proved, x.Owns)
	}
}

// Traps keep within the limits of forgeable evidence: never a proved source, nor what is protected,
// and a budget.
func TestForgedTrapsCutOffNoPhone(t *testing.T) {
	for name, o := range map[string]Observation{
		"canary":    wrong(phone, "canary"),
		"injection": injected(wrong(phone, "1007")),
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, canaries)
			l.feed(registered(phone))
			l.feed(repeat(100, o)...)
			l.noBan()
			if n := l.count(ActionAlert, RuleProvedGuessing); n != 1 {
				t.Errorf("got %v, want it told once", l.told())
			}
			l = newLab(t, canaries)
			l.e.Protect(
				l.now,
				NewProtected([]ProtectedEntry{{hostKey(hostAddr(phone)).prefix(), "trunk"}}, nil),
			)
			l.feed(o, overStream(o))
			l.quiet()

			l = newLab(t, canaries, func(o *Options) { o.ForgeablePerMinute = 3 })
			for i := range 9 {
				o.Source = addrPort(hostAddr("10.9.0.1").Next(), uint16(5060))
				for range i {
					o.Source = addrPort(o.Source.Addr().Next(), 5060)
				}
				l.feed(o)
			}
			if n := l.e.Stats().Bans; n != 3 {
				t.Errorf("bans in a minute: got %d, want 3", n)
			}
			l = newLab(t, canaries)
			l.feed(registered(phone))
			l.feed(overStream(o), overStream(wrong(phone, "canary")))
			if v := l.got[0]; name == "canary" && (len(l.got) == 0 || v.Scope != ScopeAll) {
				t.Errorf("over a stream: got %v", l.told())
			}
		})
	}
}

// An injection bans its sender at once, whatever it pretends to be, and nobody whom its text names.
func TestInjectionBansAtOnce(t *testing.T) {
	for _, o := range []Observation{
		registered(attacker), wrong(attacker, "1007"), forged(attacker),
		event(KindNone, ServiceOther, attacker, "", ""),
		event(KindChallengeSent, ServicePJSIP, attacker, "1007", "c"),
	} {
		for _, stream := range []bool{false, true} {
			l := newLab(t)
			o.Injected, o.Stream = true, stream
			l.feed(o)
			want := ScopeSIP
			if stream && o.Service == ServicePJSIP {
				want = ScopeAll
			}
			if v := l.banned(); v.Rule != RuleInjection || v.Scope != want ||
				len(v.Evidence) != 1 ||
				v.Evidence[0].Kind != KindInjection {
				t.Errorf("%v, stream %v: got %s", o.Kind, stream, brief(v))
			}
			if x := l.e.Explain(hostAddr(attacker)); x.Proved || x.Owns != 0 {
				t.Errorf("%v: it proves its sender", o.Kind)
			}
		}
	}
}

// Forged traps from many addresses of a prefix ban the addresses, not the prefix: each is a single
// packet.
func TestForgedTrapsBanNoPrefix(t *testing.T) {
	for _, base := range []string{"203.0.113.1", "2001:db8:bad::1"} {
		l := newLab(t, canaries)
		a := hostAddr(base)
		for range 3 {
			o := wrong(base, "canary")
			o.Source = addrPort(a, 5060)
			l.feed(o)
			a = a.Next()
		}
		for _, v := range l.got {
			if !v.Prefix.IsSingleIP() {
				t.Errorf("got %s", brief(v))
			}
		}
	}
}
