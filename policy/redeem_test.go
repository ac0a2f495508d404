package policy

import (
	"fmt"
	"testing"
	"time"
)

// Where Asterisk knows phones by auth_username, it calls their first requests unknown when five
// come within five seconds (capture 12): the success of the same request takes that back.
func TestRequestThatSucceedsWasNoFailure(t *testing.T) {
	l := newLab(t)
	for i := range 20 {
		call, port := fmt.Sprint(i), fmt.Sprintf("%s:%d", office, 20000+i)
		l.feed(
			event(KindInvalidAccountID, ServicePJSIP, port, fmt.Sprint("name", i), call),
			event(KindChallengeSent, ServicePJSIP, port, unknown, call),
		)
		o := success(port, fmt.Sprint("1", i))
		o.Session = hasher.Session([]byte(call))
		l.feed(o)
	}
	l.quiet()
	if s := l.source(office); s.forgeable != 0 || s.slowForgeable != 0 || s.failed != 0 ||
		s.guess != 0 ||
		s.slowGuess != 0 {
		t.Errorf(
			"held against it: %v, %v, %d accounts, told %v, %v",
			s.forgeable,
			s.slowForgeable,
			s.failed,
			s.guess,
			s.slowGuess,
		)
	}
}

// A success with another key, or too late, takes nothing back.
func TestSuccessOfAnotherRequestTakesNothingBack(t *testing.T) {
	for name, change := range map[string]func(l *lab, o *Observation){
		"the same":        func(*lab, *Observation) {},
		"another Call-ID": func(_ *lab, o *Observation) { o.Session++ },
		"another port":    func(_ *lab, o *Observation) { o.Source = addrPort(o.Source.Addr(), 9) },
		"another server":  func(_ *lab, o *Observation) { o.Server++ },
		"over a stream":   func(_ *lab, o *Observation) { o.Stream = true },
		"33 s later":      func(l *lab, _ *Observation) { l.wait(33 * time.Second) },
	} {
		l := newLab(t)
		l.feed(guesses(1, phone)...)
		o := registered(phone)
		o.Session = guesses(1, phone)[0].Session
		change(l, &o)
		l.feed(o)
		if got := l.source(phone).forgeable == 0; got != (name == "the same") {
			t.Errorf("%s: taken back: %v", name, got)
		}
	}
}

// It takes back its own failure only, not what the account failed before.
func TestRequestThatSucceedsRedeemsOnlyItself(t *testing.T) {
	l := newLab(t)
	l.feed(repeat(3, forged(phone))...)
	o := registered(phone)
	o.Session = forged(phone).Session + 2
	l.feed(o)
	if got := l.source(phone).forgeable; got < 2.99 {
		t.Errorf("score: got %v, want 3", got)
	}
}
