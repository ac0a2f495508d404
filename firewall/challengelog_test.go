package firewall

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// visits records what a log of challenges reports.
type visits struct {
	mu      sync.Mutex
	numbers []uint32
	seen    []string
	lost    int
	changed int
}

func (v *visits) Challenge(number uint32, c *Challenge) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.numbers = append(v.numbers, number)
	v.seen = append(v.seen, fmt.Sprintf("%v>%v %v %t %t %d", c.From.Port(), c.To.Addr(),
		c.Received, c.Plain, c.Cut, c.n))
}

func (v *visits) Lost()    { v.mu.Lock(); v.lost++; v.mu.Unlock() }
func (v *visits) Changed() { v.mu.Lock(); v.changed++; v.mu.Unlock() }
func (v *visits) Drained() {}

// take returns what was seen since, once as much was.
func (v *visits) take(t *testing.T, n int) []string {
	t.Helper()
	for range 500 {
		v.mu.Lock()
		if len(v.seen) >= n {
			out := v.seen
			v.seen = nil
			v.mu.Unlock()
			return out
		}
		v.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%d challenges were seen, want %d", len(v.seen), n)
	return nil
}

// watchChallenges reads the refusals of a site, once its rules are seen.
func watchChallenges(t *testing.T, table *Table) (*visits, *ChallengeLog) {
	t.Helper()
	v := &visits{}
	l, err := table.OpenChallenges(v)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, l.Close()); err != nil {
			t.Error(err)
		}
	})
	return v, l
}

func challengeTo(received string) string {
	return refusalOf("Via: SIP/2.0/UDP h;rport=5060;received="+received+";branch=z9", authOK)
}

func TestChallengeLog(t *testing.T) {
	s := newSite(t, Options{Sensor: &Sensor{}})
	needSensor(t, s.table)
	v, l := watchChallenges(t, s.table)

	// From whatever port, and to this machine itself; whole up to 4,096 bytes, and never longer.
	long := func(n int) string {
		text := challengeTo(attacker4)
		return strings.Replace(text, "\r\n\r\n", "\r\nX: "+strings.Repeat("x", n-len(text)-5)+"\r\n\r\n", 1)
	}
	s.sendUDP(t, pbx4, "5060", attacker4, challengeTo(attacker4), long(4096-8), long(4096-7), long(9000))
	s.sendUDP(t, pbx4, "5160", attacker4, challengeTo(phone4))
	s.sendUDP(t, pbx6, "5060", attacker6, challengeTo(attacker6))
	s.sendUDP(t, pbx4, "5060", pbx4, challengeTo(phone4))
	s.sendUDP(t, pbx4, "5060", attacker4, "SIP/2.0 200 OK\r\n\r\n", "SIP/2.0 403 Forbidden\r\n\r\n",
		"SIP/2.0 407 Proxy\r\n\r\n")
	got := v.take(t, 6)
	want := []string{
		"5060>192.0.2.66 192.0.2.66 true false 1",
		"5060>192.0.2.66 192.0.2.66 true false 1",
		"5160>192.0.2.66 192.0.2.7 true false 1",
		"5060>2001:db8::66 2001:db8::66 true false 1",
		"5060>192.0.2.1 192.0.2.7 true false 1",
		"5060>192.0.2.66 invalid IP false false 0",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for i, n := range v.numbers {
		if n != uint32(i) {
			t.Errorf("numbers %v", v.numbers)
		}
	}

	// Bans of ours are no change of the rules. Everything else in the table may be.
	changed := func() int {
		t.Helper()
		if err := l.Drain(nil); err != nil {
			t.Fatal(err)
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		n := v.changed
		v.changed = 0
		return n
	}
	changed()
	if _, err := s.table.Apply(t.Context(), []Change{
		ban("198.51.100.77/32", ScopeAll, time.Minute),
	}); err != nil {
		t.Fatal(err)
	}
	if n := changed(); n != 0 {
		t.Errorf("a ban is told as %d changes", n)
	}
	for _, damage := range []string{
		"insert rule inet amifend challenged accept", "flush ruleset",
	} {
		s.pbx.NFT(t, damage)
		if n := changed(); n == 0 {
			t.Errorf("%s is not told", damage)
		}
		ensure(t, s.table)
		if n := changed(); n == 0 {
			t.Errorf("after %s the rules were laid out, and that is not told", damage)
		}
	}
	s.pbx.NFT(t, "add table inet other")
	if n := changed(); n != 0 {
		t.Error("a change of another table is told")
	}
	if v.lost != 0 {
		t.Errorf("lost %d", v.lost)
	}
}

// A flood that is not read in time is reported, and its numbers show how much was lost.
func TestChallengesLost(t *testing.T) {
	s := newSite(t, Options{Sensor: &Sensor{}})
	needSensor(t, s.table)
	v := &visits{}
	l, err := s.table.OpenChallenges(v)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.conn.SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}

	var flood []string
	for range 200 {
		flood = append(flood, challengeTo(attacker4))
	}
	drain := func() {
		if err := l.Drain(nil); err != nil {
			t.Fatal(err)
		}
	}
	s.sendUDP(t, pbx4, "5060", attacker4, flood...)
	drain()
	if read := len(v.numbers); v.lost == 0 || read == 0 || read >= len(flood) {
		t.Fatalf("read %d of %d, told %d times", read, len(flood), v.lost)
	}
	s.sendUDP(t, pbx4, "5060", attacker4, flood[0])
	drain()
	if last := v.numbers[len(v.numbers)-1]; int(last) != len(flood) {
		t.Errorf("the last number is %d, want %d", last, len(flood))
	}
}
