package policy

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

const stranger = "198.51.100.13:47919"

// The events of one request each, as PJSIP raises them.
func unknownUser(account, call string) []Observation {
	return []Observation{
		event(KindInvalidAccountID, ServicePJSIP, stranger, account, call),
		event(KindChallengeSent, ServicePJSIP, stranger, unknown, call),
	}
}

func unknownUserWithCredentials(account, call string) []Observation {
	return []Observation{
		event(KindInvalidAccountID, ServicePJSIP, stranger, account, call),
		event(KindChallengeResponseFailed, ServicePJSIP, stranger, unknown, call),
	}
}

func aclRefused(account, call string) []Observation {
	return []Observation{
		event(KindFailedACL, ServicePJSIP, stranger, account, call),
		event(KindChallengeSent, ServicePJSIP, stranger, unknown, call),
	}
}

func wrongPassword(account, call string) []Observation {
	return []Observation{event(KindChallengeResponseFailed, ServicePJSIP, stranger, account, call)}
}

// refusedAlone is what a request with credentials leaves while Asterisk holds InvalidAccountID back
// (capture 12).
func refusedAlone(call string) []Observation {
	return []Observation{event(KindChallengeResponseFailed, ServicePJSIP, stranger, unknown, call)}
}

func challengedAlone(account, call string) []Observation {
	return []Observation{event(KindChallengeSent, ServicePJSIP, stranger, account, call)}
}

func chanSIPACL(account, session string) []Observation {
	return []Observation{event(KindFailedACL, ServiceSIP, stranger, account, session)}
}

// without leaves out a kind, as an eventfilter in manager.conf does.
func without(kind Kind, os []Observation) []Observation {
	return slices.DeleteFunc(slices.Clone(os), func(o Observation) bool { return o.Kind == kind })
}

// interleaved orders the events of pipelined requests as a flood shows them: all failures, then all
// companions.
func interleaved(requests ...[]Observation) []Observation {
	var first, second []Observation
	for _, r := range requests {
		first = append(first, r[0])
		second = append(second, r[1:]...)
	}
	return append(first, second...)
}

func TestAttemptsAreRequestsNotEvents(t *testing.T) {
	type steps = []Observation
	cat := func(parts ...steps) steps { return slices.Concat(parts...) }
	times := func(n int, f func(i int) steps) steps {
		var out steps
		for i := range n {
			out = append(out, f(i)...)
		}
		return out
	}
	account := func(i int) string { return fmt.Sprint("u", i) }

	for _, tt := range []struct {
		name   string
		events steps
		want   uint64
	}{
		{"unknown user without credentials", unknownUser("a", "c"), 1},
		{"unknown user with credentials at once", unknownUserWithCredentials("a", "c"), 1},
		{
			"a deleted extension's phone: challenged, then answers",
			cat(unknownUser("a", "c"), unknownUserWithCredentials("a", "c")), 1,
		},
		{
			"the same, ChallengeSent filtered out",
			without(KindChallengeSent, cat(unknownUser("a", "c"), unknownUserWithCredentials("a", "c"))),
			1,
		},
		{
			"the same, three retries",
			times(3, func(int) steps { return cat(unknownUser("a", "c"), unknownUserWithCredentials("a", "c")) }),
			3,
		},
		{
			"the same, InvalidAccountID of the answer held back",
			cat(unknownUser("a", "c"), refusedAlone("c")), 1,
		},
		{
			"an answer to another account is another attempt",
			cat(unknownUser("a", "c"), unknownUserWithCredentials("b", "c")), 2,
		},
		{
			"a second answer is another attempt",
			cat(unknownUser("a", "c"), unknownUserWithCredentials("a", "c"), unknownUserWithCredentials("a", "c")),
			2,
		},
		{
			"credentials at once are no challenge to answer",
			times(3, func(int) steps { return unknownUserWithCredentials("a", "c") }), 3,
		},
		{
			"one Call-ID, many accounts",
			times(4, func(i int) steps { return unknownUser(account(i), "c") }), 4,
		},
		{
			"one Call-ID, one account, never credentials",
			times(4, func(int) steps { return unknownUser("a", "c") }), 4,
		},
		{
			"the same, pipelined",
			interleaved(unknownUser("a", "c"), unknownUser("a", "c"), unknownUser("a", "c"), unknownUser("a", "c")),
			4,
		},
		{
			"the same with credentials, pipelined",
			interleaved(unknownUserWithCredentials("a", "c"), unknownUserWithCredentials("a", "c")),
			2,
		},
		{
			"many accounts pipelined on one Call-ID",
			interleaved(unknownUser("a", "c"), unknownUser("b", "c"), unknownUser("d", "c"), unknownUser("e", "c")),
			4,
		},
		{
			"two accounts in turns on one Call-ID",
			times(4, func(i int) steps { return unknownUser(account(i%2), "c") }), 4,
		},
		{"endpoint with an ACL", aclRefused("3000", "c"), 1},
		{
			"endpoint with an ACL, many on one Call-ID",
			times(4, func(i int) steps { return aclRefused(account(i), "c") }), 4,
		},
		{
			"svcrack: one challenge, then guesses on one Call-ID",
			cat(challengedAlone("2000", "c"), times(5, func(int) steps { return wrongPassword("2000", "c") })),
			5,
		},
		{
			"a guess at a known account is no companion",
			cat(unknownUser("a", "c")[:1], wrongPassword("1001", "c")), 2,
		},
		{
			"a guess at a known account is no answer either",
			cat(unknownUser("a", "c"), wrongPassword("1001", "c")), 2,
		},
		{"refused on <unknown> alone", cat(refusedAlone("c"), refusedAlone("d")), 2},
		{
			"one companion excuses one event",
			cat(unknownUserWithCredentials("a", "c"), refusedAlone("c")), 2,
		},
		{
			"challenges are no evidence",
			times(9, func(i int) steps { return challengedAlone(account(i), account(i)) }), 0,
		},
		{
			"chan_sip: an ACL refusal comes twice",
			cat(chanSIPACL("3000", "p"), chanSIPACL("3000", "p")), 1,
		},
		{
			"chan_sip: another account is another attempt",
			cat(chanSIPACL("3000", "p"), chanSIPACL("3001", "p")), 2,
		},
		{
			"chan_sip: one excuse a refusal",
			times(4, func(int) steps { return chanSIPACL("3000", "p") }), 2,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, func(o *Options) { o.Threshold = 100 })
			l.feed(tt.events...)
			l.wait(3 * time.Second)
			if got := l.e.Stats().Counted; got != tt.want {
				t.Errorf("attempts: got %d, want %d", got, tt.want)
			}
		})
	}
}

// What comes with another server, port, session or sort of transport is another request.
func TestKeyOfOneRequest(t *testing.T) {
	base := unknownUserWithCredentials("a", "c")
	for name, change := range map[string]func(*Observation){
		"server":  func(o *Observation) { o.Server = 1 },
		"port":    func(o *Observation) { o.Source = event(KindNone, 0, "198.51.100.13:1", "", "").Source },
		"session": func(o *Observation) { o.Session++ },
		"stream":  func(o *Observation) { o.Stream = true },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			other := base[1]
			change(&other)
			l.feed(base[0], other)
			if got := l.e.Stats().Counted; got != 2 {
				t.Errorf("attempts: got %d, want 2", got)
			}
		})
	}
}

func TestCompanionComesWithinTwoSeconds(t *testing.T) {
	for gap, want := range map[time.Duration]uint64{1900 * time.Millisecond: 2, 2100 * time.Millisecond: 3} {
		l := newLab(t)
		l.feed(unknownUser("a", "c")[0], unknownUser("b", "c")[0])
		l.wait(gap)
		l.feed(refusedAlone("c")...)
		l.feed(refusedAlone("c")...)
		if got := l.e.Stats().Counted; got != want {
			t.Errorf("gap %v: got %d attempts, want %d", gap, got, want)
		}
	}
}

func TestAnswerComesWithin32Seconds(t *testing.T) {
	for gap, want := range map[time.Duration]uint64{31 * time.Second: 1, 33 * time.Second: 2} {
		l := newLab(t)
		l.feed(unknownUser("a", "c")...)
		l.wait(gap)
		l.feed(unknownUserWithCredentials("a", "c")...)
		if got := l.e.Stats().Counted; got != want {
			t.Errorf("gap %v: got %d attempts, want %d", gap, got, want)
		}
	}
}

// An attacker on one Call-ID is banned at the same request as with fresh ones, whatever it varies
// and whatever the operator filters.
func TestReusedKeysAreBannedAsFastAsFreshOnes(t *testing.T) {
	for name, request := range map[string]func(i int) []Observation{
		"unknown accounts":    func(i int) []Observation { return unknownUser(fmt.Sprint(i), "c") },
		"one unknown account": func(int) []Observation { return unknownUser("a", "c") },
		"unknown accounts, credentials": func(i int) []Observation {
			return unknownUserWithCredentials(fmt.Sprint(i), "c")
		},
		"one account, credentials":       func(int) []Observation { return unknownUserWithCredentials("a", "c") },
		"accounts, no ChallengeSent":     func(i int) []Observation { return unknownUser(fmt.Sprint(i), "c")[:1] },
		"one account, no ChallengeSent":  func(int) []Observation { return unknownUser("a", "c")[:1] },
		"endpoints with an ACL":          func(i int) []Observation { return aclRefused(fmt.Sprint(i), "c") },
		"InvalidAccountID always absent": func(int) []Observation { return refusedAlone("c") },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			n := 0
			for ; len(l.got) == 0 && n < 10; n++ {
				l.feed(request(n)...)
			}
			if v := l.banned(); n != 4 || v.Attempts != 4 {
				t.Errorf("banned after %d requests with %d attempts, want 4", n, v.Attempts)
			}
		})
	}
}

// A request that was held counts when nothing says that it bore credentials, though no further
// event comes.
func TestHeldAttemptIsCountedByTime(t *testing.T) {
	l := newLab(t)
	for _, call := range []string{"c", "d"} {
		l.feed(unknownUser("a", call)[0], unknownUser("a", call)[0])
	}
	l.quiet()
	certain := l.now + companionWindow
	l.wait(3 * time.Second)
	if v := l.banned(); v.At != certain || v.Attempts != 4 ||
		v.Evidence[3].Kind != KindInvalidAccountID {
		t.Errorf("got %s", brief(v))
	}
}

// Forgetting keys to make room must never lose an attempt; at worst it counts one twice.
func TestFloodOfKeysHidesNoAttempt(t *testing.T) {
	l := newLab(t)
	l.feed(unknownUser("a", "c")...)
	l.feed(unknownUser("a", "c")[0]) // held
	flood := event(KindInvalidAccountID, ServicePJSIP, "10.0.0.1", "x", "x")
	for i := range 2 * maxRequests {
		flood.Session, flood.At = uint64(i), l.now
		l.e.Observe(flood)
	}
	if n := l.e.requests.Len(); n > maxRequests {
		t.Errorf("keys: %d, more than %d", n, maxRequests)
	}
	l.got = nil
	l.feed(unknownUser("a", "c")...)
	l.feed(unknownUser("b", "c")...)
	if v := l.banned(); v.Attempts != 4 {
		t.Errorf("got %d attempts, want 4", v.Attempts)
	}
}

// The same where every key that is remembered is held: the flood's own attempts count, one each.
func TestFloodOfHeldKeysHidesNoAttempt(t *testing.T) {
	l := newLab(t, func(o *Options) { o.Threshold = 1e6 })
	o := unknownUser("a", "c")[0]
	for i := range maxRequests + 1000 {
		o.Session, o.At = uint64(i), l.now
		l.e.Observe(o)
		l.e.Observe(o)
	}
	if got := l.e.Stats().EvictedRequests; got != 1000 {
		t.Errorf("evicted: got %d, want 1000", got)
	}
	for range 100 {
		l.wait(40 * time.Second)
	}
	if got, want := l.e.Stats().Counted, uint64(2*(maxRequests+1000)); got != want {
		t.Errorf("attempts: got %d, want %d", got, want)
	}
	if n := l.e.requests.Len(); n != 0 {
		t.Errorf("keys after their time: got %d, want 0", n)
	}
}
