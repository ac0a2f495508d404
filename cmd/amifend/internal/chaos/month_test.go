//go:build chaos

package chaos

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/amifend/amifend/policy"
)

// month is the engine at work for a month of its own time, which comes with the events.
type month struct {
	t      *testing.T
	e      *policy.Engine
	now    time.Time
	phones map[netip.Addr]bool
	banned map[netip.Addr]int         // how often
	until  map[netip.Prefix]time.Time // of the bans that run
	most   int
	events int
}

// take notes verdicts, and looks at each.
func (m *month) take(verdicts []policy.Verdict) {
	for _, v := range verdicts {
		switch v.Action {
		case policy.ActionBan:
			m.until[v.Prefix] = m.now.Add(v.Duration)
			m.banned[v.Prefix.Addr()]++
			if v.Scope == policy.ScopeAll && m.phones[v.Prefix.Addr()] {
				m.t.Fatalf("%s: a phone, %s, is banned from everything by %s", m.now, v.Prefix, v.Rule)
			}
			if v.Duration <= 0 || v.Duration > policy.DefaultOptions().BanMax {
				m.t.Fatalf("%s: a ban of %s", m.now, v.Duration)
			}
		case policy.ActionUnban:
			delete(m.until, v.Prefix)
		default: // an alert changes no ban
		}
	}
	m.most = max(m.most, len(m.until))
}

// event feeds one event to the engine. Its requests are all different.
func (m *month) event(kind policy.Kind, source netip.Addr, account string, stream bool) {
	m.events++
	h := m.e.Hasher()
	m.take(m.e.Observe(policy.Observation{
		At: m.now.UnixNano(), Source: netip.AddrPortFrom(source, 5060), Kind: kind,
		Service: policy.ServicePJSIP, Stream: stream, Password: true,
		Account: h.Label([]byte(account)), Session: h.Session(fmt.Appendf(nil, "%d@pbx", m.events)),
	}))
}

// pass lets time pass. Bans run out without a verdict.
func (m *month) pass(d time.Duration) {
	m.now = m.now.Add(d)
	m.take(m.e.Advance(m.now.UnixNano()))
	for p, end := range m.until {
		if !end.After(m.now) {
			delete(m.until, p)
		}
	}
}

// A month with users who log in hourly and err at times, scanners, patient guessers and forgers.
func TestMonth(t *testing.T) {
	r := begin(t,
		"a month of virtual time with phones, typing errors, scanners and forgers (the engine; "+
			"time comes with the events)",
		"no phone is banned from everything, every scanner is banned, no ban is longer than "+
			"ban_max, the engine's bans are those announced",
	)
	rnd := rand.New(rand.NewPCG(6, uint64(time.Now().UnixNano())))
	o := policy.DefaultOptions()
	o.MaxSources, o.MaxBans = 20_000, 5_000
	e, err := policy.New(o)
	if err != nil {
		t.Fatal(err)
	}
	m := &month{
		t: t, e: e, now: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
		phones: map[netip.Addr]bool{}, banned: map[netip.Addr]int{}, until: map[netip.Prefix]time.Time{},
	}
	phone := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 51, byte(100 + i%50), byte(i)}) }
	const phones = 60
	for i := range phones {
		m.phones[phone(i)] = true
		m.event(policy.KindSuccessfulAuth, phone(i), fmt.Sprint(200+i), true)
	}

	scanners := 0
	for range times(3, 30) * 24 {
		for i := range phones {
			for range rnd.IntN(3) * rnd.IntN(2) { // a typing error or two
				m.event(policy.KindInvalidPassword, phone(i), fmt.Sprint(200+i), true)
			}
			m.event(policy.KindSuccessfulAuth, phone(i), fmt.Sprint(200+i), true)
			m.pass(time.Second)
		}
		for range 20 {
			for range 5 {
				m.event(policy.KindInvalidAccountID, attacker(scanners), "100", true)
				m.pass(time.Second)
			}
			if m.banned[attacker(scanners)] == 0 {
				t.Fatalf("%s: scanner %d is not banned", m.now, scanners)
			}
			scanners++
		}

		// Forged packets in the name of phones, and of everybody.
		for i := range 500 {
			m.event(policy.KindInvalidAccountID, phone(rnd.IntN(phones)), "100", false)
			m.event(policy.KindInvalidAccountID, forged(m.events+i, false), "100", false)
		}
		m.pass(time.Hour - time.Duration(phones+100)*time.Second)

		st := e.Stats()
		// A network beside them is remembered for so many sources (policy, flood_test.go).
		if st.Sources > o.MaxSources+o.MaxSources/12 || st.Bans > o.MaxBans || st.Bans != len(m.until) {
			t.Fatalf("%s: %d sources, %d bans, announced %d", m.now, st.Sources, st.Bans, len(m.until))
		}
		r.n++
	}
	r.note = fmt.Sprintf("N in hours; %d events, %d scanners, at most %s at once", m.events, scanners,
		plural(m.most, "ban"))
}
