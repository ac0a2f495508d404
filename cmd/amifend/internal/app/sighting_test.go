package app

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/policy"
)

func TestTranslation(t *testing.T) {
	hasher := policy.NewHasher(1)
	src, local := netip.MustParseAddrPort("203.0.113.5:5061"), netip.MustParseAddrPort("192.0.2.10:5070")
	for name, test := range map[string]struct {
		ev   ami.Event
		want policy.Observation
	}{
		"a guess": {
			ami.Event{Kind: ami.KindInvalidAccountID, Service: ami.ServicePJSIP, Transport: ami.TransportUDP, Source: src, Local: local, Account: []byte("100"), Session: []byte("x")},
			policy.Observation{Kind: policy.KindInvalidAccountID, Service: policy.ServicePJSIP, Source: src, LocalPort: 5070, Account: hasher.Label([]byte("100")), Session: hasher.Session([]byte("x"))},
		},
		"a proof over TLS": {
			ami.Event{Kind: ami.KindSuccessfulAuth, Service: ami.ServiceSIP, Transport: ami.TransportTLS, Source: src, UsingPassword: true},
			policy.Observation{Kind: policy.KindSuccessfulAuth, Service: policy.ServiceSIP, Source: src, Stream: true, Password: true, Account: hasher.Label(nil), Session: hasher.Session(nil)},
		},
		"nobody": {
			ami.Event{Kind: ami.KindChallengeResponseFailed, Service: ami.ServiceUnknown, Transport: ami.TransportWSS, Source: src, Account: []byte("<unknown>")},
			policy.Observation{Kind: policy.KindChallengeResponseFailed, Source: src, Stream: true, Unknown: true, Account: hasher.Label([]byte("<unknown>")), Session: hasher.Session(nil)},
		},
		"a round trip": {
			ami.Event{Kind: ami.KindInvalidPassword, Service: ami.ServiceSIP, Transport: ami.TransportUDP, Source: src, RoundTrip: true},
			policy.Observation{Kind: policy.KindInvalidPassword, Service: policy.ServiceSIP, Source: src, Account: hasher.Label(nil), Session: hasher.Session(nil)},
		},
		"an injection": {
			ami.Event{Kind: ami.KindInvalidAccountID, Service: ami.ServiceAMI, Transport: ami.TransportTCP, Source: src, Taint: ami.TaintDuplicate},
			policy.Observation{Kind: policy.KindInvalidAccountID, Service: policy.ServiceAMI, Source: src, Stream: true, Injected: true, Account: hasher.Label(nil), Session: hasher.Session(nil)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tr := translator{server: 3, hasher: hasher, clock: newClock()}
			got, ok := tr.sighting(test.ev)
			test.want.Server, test.want.At = 3, got.At
			if !ok || got.Observation != test.want {
				t.Errorf("got  %+v\nwant %+v", got.Observation, test.want)
			}
		})
	}
	tr := translator{hasher: hasher, clock: newClock()}
	if _, ok := tr.sighting(ami.Event{Kind: ami.KindInvalidAccountID}); ok {
		t.Error("an event without a source is a sighting")
	}
}

// Every kind that Asterisk has is one of the engine's, by the same name.
func TestKinds(t *testing.T) {
	tr := translator{clock: newClock()}
	kind := func(k ami.Kind) policy.Kind {
		s, _ := tr.sighting(ami.Event{Kind: k, Source: netip.MustParseAddrPort("203.0.113.5:5060")})
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

func TestLag(t *testing.T) {
	start := time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)
	type event struct {
		after time.Duration // since the one before
		made  time.Duration // the PBX's clock, relative to reception
		lag   time.Duration
	}
	for name, events := range map[string][]event{
		"in time":                {{0, 0, 0}, {time.Second, -time.Millisecond, time.Millisecond}},
		"late":                   {{0, 0, 0}, {time.Second, -3 * time.Second, 3 * time.Second}},
		"a clock that is behind": {{0, -time.Hour, 0}, {time.Second, -time.Hour - time.Second, time.Second}},
		"a clock that is ahead":  {{0, time.Hour, 0}, {time.Second, time.Hour - time.Second, time.Second}},
		"set forward":            {{0, 0, 0}, {time.Second, time.Hour, 0}, {time.Second, time.Hour - time.Second, time.Second}},
		"set back, and in the end believed": {
			{0, 0, 0}, {time.Second, -time.Hour, time.Hour}, {6 * time.Minute, -time.Hour, time.Hour}, {6 * time.Minute, -time.Hour, 0},
		},
		"after a silence": {{0, 0, 0}, {time.Hour, -time.Minute, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			var m lagMeter
			now := start
			for i, e := range events {
				now = now.Add(e.after)
				if got := m.measure(now.UnixNano(), now.Add(e.made)); got != e.lag {
					t.Errorf("event %d: lag %s, want %s", i, got, e.lag)
				}
			}
			if got := m.measure(now.UnixNano(), time.Time{}); got != 0 {
				t.Errorf("an event without a time lags %s", got)
			}
		})
	}
}

// An attacker's EventTV does not move what the real ones are measured against.
func TestLagOfAnInjection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := translator{clock: newClock()}
		src := netip.MustParseAddrPort("203.0.113.5:5061")
		tr.sighting(ami.Event{Source: src, Time: time.Now()})
		tr.sighting(ami.Event{Source: src, Time: time.Now().Add(1000 * time.Hour), Taint: ami.TaintDuplicate})
		if s, _ := tr.sighting(ami.Event{Source: src, Time: time.Now()}); s.made != s.At {
			t.Errorf("a real event seems %s late", time.Duration(s.At-s.made))
		}
	})
}

// A step of the system's clock moves neither the daemon's time nor what people read.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		c.wall -= int64(20 * 365 * 24 * time.Hour) // as if the system's clock had been set since
		until := c.now() + int64(time.Hour)
		if got := c.wallTime(until); !got.Equal(time.Now().Add(time.Hour)) {
			t.Errorf("people read %s", got)
		}
		if got := time.Until(c.deadline(until)); got != time.Hour {
			t.Errorf("the kernel gets %s", got)
		}
		time.Sleep(time.Minute)
		if got := c.left(until); got != 59*time.Minute {
			t.Errorf("%s left", got)
		}
	})
}
