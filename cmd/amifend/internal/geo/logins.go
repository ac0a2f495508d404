package geo

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/policy"
)

// mostNoted is how many logins may wait to be looked at.
const mostNoted = 512

// Logins opens a condition when an account logs in from a country that is not expected. It bans
// nobody.
type Logins struct {
	atlas    *Atlas
	never    func(netip.Addr) bool
	in       chan login
	wake     chan struct{}
	on       atomic.Bool
	mu       sync.Mutex
	expected []string
}

// login is a successful login.
type login struct {
	seen   policy.Observation
	server string
}

// NewLogins returns one that expects logins from countries only; from all, if there are none. never
// reports whether an address is allowed, or one of ours.
func NewLogins(a *Atlas, countries []string, never func(netip.Addr) bool) *Logins {
	l := &Logins{
		atlas: a, never: never, in: make(chan login, mostNoted), wake: make(chan struct{}, 1),
	}
	l.Expect(countries)
	return l
}

// Expect changes the countries. It does not wait. Open conditions end: those that go on are opened
// anew.
func (l *Logins) Expect(countries []string) {
	l.mu.Lock()
	l.expected = countries
	l.mu.Unlock()
	l.on.Store(len(countries) > 0)

	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Note hands over what a server has seen. Only successful logins count. It neither waits nor
// allocates. Where logins come faster than they are looked at, some are left out.
func (l *Logins) Note(o policy.Observation, server string) {
	// The policy believes the same successes, see [policy.Chooser].
	believed := o.Kind == policy.KindSuccessfulAuth && !o.Unknown && !o.Injected &&
		(o.Password || o.Chooser().Proven())
	if !believed || !l.on.Load() {
		return
	}
	select {
	case l.in <- login{o, server}:
	default:
	}
}

// Book is the part of [alerts.Book] that the logins need.
type Book interface {
	Raise(key string, a alerts.Alert, s alerts.Span)
	Resolve(key string, s alerts.Span)
	Keys(kind string) []string
}

// Run looks at the logins until ctx ends.
func (l *Logins) Run(ctx context.Context, b Book) {
	first := true
	for {
		select {
		case <-ctx.Done():
			return

		// A restart with the same config ends nothing. Without expected countries nothing is left open.
		case <-l.wake:
			if !first || !l.on.Load() {
				for _, key := range b.Keys(alerts.UnexpectedCountry) {
					b.Resolve(key, alerts.Span{})
				}
			}
			first = false
		case one := <-l.in:
			if key, a, ok := l.judge(&one); ok {
				b.Raise(key, a, alerts.Span{})
			}
		}
	}
}

// judge returns the alert for a login from an unexpected country, and its key. An unknown country is
// no reason for one.
func (l *Logins) judge(one *login) (key string, a alerts.Alert, ok bool) {
	addr := one.seen.Source.Addr().Unmap().WithZone("")
	if isPrivate(addr) || l.never(addr) {
		return "", a, false
	}

	origin := l.atlas.Located(addr)
	l.mu.Lock()
	expected := l.expected
	l.mu.Unlock()
	if origin == nil || origin.Country == "" || len(expected) == 0 ||
		slices.Contains(expected, origin.Country) {
		return "", a, false
	}

	account := ami.Quote(one.seen.Account.Bytes())
	a = alerts.Alert{
		Kind: alerts.UnexpectedCountry, Source: addr.String(), Account: account, Server: one.server,
		Text: l.text(one, origin, expected),
		Do: "ask the user; if it was not them, change the password of the account; if it was: add the " +
			"country to [geo] expected_countries, or amifend allow " + addr.String(),
	}
	return alerts.Key(a.Kind, one.server, account, origin.Country), a, true
}

// text says what happened, and how certain it is.
func (l *Logins) text(one *login, o *control.Origin, expected []string) string {
	text := fmt.Sprintf("the account logged in from %s; expected: %s", o,
		strings.Join(expected, ", "))
	switch {
	case one.seen.Chooser().Proven():
		return text
	case one.seen.Stream:
		return text + "; the address may be forged"
	}
	return text + "; over UDP: the address may be forged"
}

// shared are the addresses between carriers and their customers (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

// isPrivate reports whether an address is in no country.
func isPrivate(a netip.Addr) bool {
	return !a.IsValid() || !a.IsGlobalUnicast() || a.IsPrivate() || shared.Contains(a)
}
