package nonce

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

// The world of the tests: a PBX, a phone in whose name others send, and two attackers.
const (
	began = 1_795_876_000
	sip   = 5060
)

var (
	victim   = netip.MustParseAddr("203.0.113.99")
	attacker = netip.MustParseAddr("198.51.100.20")
	other    = netip.MustParseAddr("198.51.100.30")
)

// nonceOf returns the nonce that the PBX makes for an address in a second.
func nonceOf(second uint32, a netip.Addr) Nonce {
	n := Nonce{Second: second}
	copy(n.Sum[:], a.AsSlice())
	n.Sum[15] = 1
	return n
}

// lab is a judge with the time, and the sequence of the answers that left.
type lab struct {
	*Judge
	at  int64
	seq uint32
}

// newLab returns a judge that works for server 0.
func newLab() *lab {
	l := &lab{Judge: New(1), at: began * int64(time.Second)}
	l.Begin(l.at)
	l.wait(time.Second)
	for i := range GenuineFrom {
		a := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
		l.send(plain(a), l.nonce(a))
	}
	return l
}

func (l *lab) wait(d time.Duration) { l.at += int64(d) }

func (l *lab) second() uint32 { return secondOf(l.at) }

func (l *lab) nonce(a netip.Addr) Nonce { return nonceOf(l.second(), a) }

// plain is an answer to an ordinary request of an address.
func plain(a netip.Addr) Answer {
	return Answer{Known: true, Port: sip, To: a, Received: a, Plain: true}
}

// maddr is an answer to a request in the name of an address that has it sent elsewhere.
func maddr(name, to netip.Addr) Answer {
	a := plain(name)
	a.To, a.Plain = to, false
	return a
}

// send has an answer leave, and be read.
func (l *lab) send(a Answer, ns ...Nonce) bool {
	a.At, a.Nonces = l.at, ns
	l.seq++
	return l.Answer(l.seq, &a)
}

// lose has an answer leave unread.
func (l *lab) lose() { l.seq++ }

// clean judges a failure in the name of an address.
func (l *lab) clean(n Nonce, from netip.Addr) bool { return l.Clean(n, 0, sip, from, l.at) }

func TestGenuine(t *testing.T) {
	l := newLab()
	v6 := netip.MustParseAddr("2001:db8:bad::20")
	for name, tt := range map[string]struct {
		from netip.Addr
		ns   []Nonce
	}{
		"IPv4":                {victim, []Nonce{l.nonce(victim)}},
		"IPv6":                {v6, []Nonce{l.nonce(v6)}},
		"IPv4-mapped":         {netip.AddrFrom16(other.As16()), []Nonce{l.nonce(other)}},
		"three algorithms":    {attacker, []Nonce{l.nonce(attacker), l.nonce(attacker), l.nonce(attacker)}},
		"the second realm":    {attacker, []Nonce{nonceOf(l.second(), victim.Next()), l.nonce(attacker)}},
		"again in one second": {victim, []Nonce{l.nonce(victim)}},
	} {
		if l.send(plain(tt.from), tt.ns...) {
			t.Errorf("%s: went astray", name)
		}
		for _, n := range tt.ns {
			if !l.clean(n, tt.from) {
				t.Errorf("%s: %s is not clean", name, n)
			}
		}
	}

	// A wrong password fails with a nonce of any age. It is remembered for a while.
	n := l.nonce(victim)
	l.wait(Lifetime * time.Second)
	if !l.clean(n, victim) {
		t.Error("not clean after its lifetime")
	}
	l.wait(time.Second)
	if l.clean(n, victim) {
		t.Error("clean for ever")
	}
}

// leakedTo is the attack in which a nonce goes to the victim, and then, by maddr, somewhere else.
func leakedTo(to string) func(l *lab) Nonce {
	return func(l *lab) Nonce {
		l.send(plain(victim), l.nonce(victim))
		l.send(maddr(victim, netip.MustParseAddr(to)), l.nonce(victim))
		return l.nonce(victim)
	}
}

// TestHoles is the attacks of which each gave a false proof by the rule "it was sent there".
func TestHoles(t *testing.T) {
	for name, attack := range map[string]func(l *lab) Nonce{
		"a made-up one": func(l *lab) Nonce { return nonceOf(l.second(), netip.MustParseAddr("192.0.2.200")) },
		"the attacker's own": func(l *lab) Nonce {
			l.send(plain(attacker), l.nonce(attacker))
			return l.nonce(attacker)
		},
		"A: leaked by maddr after it went to the victim": leakedTo(attacker.String()),
		"A: leaked before": func(l *lab) Nonce {
			l.send(maddr(victim, attacker), l.nonce(victim))
			l.send(plain(victim), l.nonce(victim))
			return l.nonce(victim)
		},
		"A: by a name that resolves to IPv6": leakedTo("2001:db8::1"),
		"A: from another port of the PBX": func(l *lab) Nonce {
			l.send(plain(victim), l.nonce(victim))
			leak := maddr(victim, attacker)
			leak.Port = 5160
			l.send(leak, l.nonce(victim))
			return l.nonce(victim)
		},
		"A: a leak that DNS delayed": func(l *lab) Nonce {
			n := l.nonce(victim)
			l.send(plain(victim), n)
			l.wait(5 * time.Second)
			l.send(maddr(victim, attacker), n)
			return n
		},
		"A: a delayed leak alone": func(l *lab) Nonce {
			n := l.nonce(victim)
			l.wait(5 * time.Second)
			l.send(maddr(victim, attacker), n)
			l.send(plain(victim), l.nonce(victim))
			return n
		},
		"A: to multicast": leakedTo("224.0.1.75"),
		"A: to loopback":  leakedTo("127.0.0.1"),
		"A: in a long answer, which is cut": func(l *lab) Nonce {
			l.send(plain(victim), l.nonce(victim))
			leak := maddr(victim, attacker)
			leak.Cut = true
			l.send(leak)
			return l.nonce(victim)
		},
		"A: with a challenge that cannot be read": func(l *lab) Nonce {
			l.send(plain(victim), l.nonce(victim))
			leak := maddr(victim, attacker)
			leak.Malformed = true
			l.send(leak, l.nonce(victim))
			return l.nonce(victim)
		},
		"B: the attacker's, planted by maddr": func(l *lab) Nonce {
			l.send(maddr(attacker, victim), l.nonce(attacker))
			return l.nonce(attacker)
		},
		"B: in a Via that is not plain": func(l *lab) Nonce {
			a := plain(victim)
			a.Plain = false
			l.send(a, l.nonce(attacker))
			return l.nonce(attacker)
		},
		"B: without received": func(l *lab) Nonce {
			a := plain(victim)
			a.Received = netip.Addr{}
			l.send(a, l.nonce(attacker))
			return l.nonce(attacker)
		},
		"D: a text that is no challenge": func(l *lab) Nonce {
			l.send(plain(victim), l.nonce(victim))
			return nonceOf(l.second(), attacker)
		},
		"E: two Vias": func(l *lab) Nonce {
			a := plain(victim)
			a.Plain = false
			l.send(a, l.nonce(victim))
			return l.nonce(victim)
		},
		"F: by another program of the machine": func(l *lab) Nonce {
			a := plain(victim)
			a.Known = false
			l.send(a, l.nonce(attacker))
			return l.nonce(attacker)
		},
		"F: by another port of the machine": func(l *lab) Nonce {
			a := plain(victim)
			a.Port = 5080
			l.send(a, l.nonce(attacker))
			return l.nonce(attacker)
		},
		"F: by another PBX of the machine": func(l *lab) Nonce {
			a := plain(victim)
			a.Server = 1
			l.send(a, l.nonce(attacker))
			return l.nonce(attacker)
		},
		"F: the leak was lost": func(l *lab) Nonce {
			l.send(plain(victim), l.nonce(victim))
			l.lose()
			l.send(plain(other), l.nonce(other))
			return l.nonce(victim)
		},
		"F: the leak was lost before": func(l *lab) Nonce {
			l.lose()
			l.send(plain(victim), l.nonce(victim))
			return l.nonce(victim)
		},
		"F: the leak of this second was lost before": func(l *lab) Nonce {
			l.lose()
			l.send(plain(other), l.nonce(other))
			l.send(plain(victim), l.nonce(victim))
			return l.nonce(victim)
		},
		"F: the gap is still open": func(l *lab) Nonce {
			l.Overrun(l.at)
			l.wait(2 * time.Second)
			l.send(plain(victim), l.nonce(victim)) // it was there before the overrun was noticed
			return l.nonce(victim)
		},
		"F: the tail of the gap": func(l *lab) Nonce {
			l.Overrun(l.at)
			l.wait(2 * time.Second)
			l.Drained()
			l.lose()
			l.send(plain(victim), l.nonce(victim))
			return l.nonce(victim)
		},
		"F: the rules were away": func(l *lab) Nonce {
			l.send(plain(victim), l.nonce(victim))
			l.Gap(l.at)
			return l.nonce(victim)
		},
		"F: the rules were away in this second": func(l *lab) Nonce {
			l.Gap(l.at)
			l.send(plain(victim), l.nonce(victim))
			return l.nonce(victim)
		},
		"F: the reader begins anew": func(l *lab) Nonce {
			l.send(plain(victim), l.nonce(victim))
			l.Begin(l.at)
			l.seq = 0
			l.send(plain(victim), l.nonce(victim))
			return l.nonce(victim)
		},
		"F: the clock was set back": func(l *lab) Nonce {
			n := l.nonce(victim) // leaked unseen, long ago
			l.wait(time.Hour)
			l.send(plain(other), l.nonce(other))
			l.wait(-time.Hour)
			l.send(plain(victim), n)
			return n
		},
		"F: from the future": func(l *lab) Nonce {
			n := nonceOf(l.second()+1, victim)
			l.send(plain(victim), n)
			l.wait(time.Second)
			l.send(plain(victim), n)
			return n
		},
		"an old one": func(l *lab) Nonce {
			n := nonceOf(l.second()-3, victim)
			l.send(plain(victim), n)
			return n
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab()
			l.wait(time.Second)
			if n := attack(l); l.clean(n, victim) {
				t.Error("proven")
			}
		})
	}
}

// After a gap the first answer reveals its end, and what comes in later seconds counts again.
func TestAfterAGap(t *testing.T) {
	l := newLab()
	l.Overrun(l.at)
	l.Drained()
	l.lose()
	l.wait(time.Minute)
	for i, want := range []bool{false, true, true} {
		n := l.nonce(victim)
		l.send(plain(victim), n)
		if got := l.clean(n, victim); got != want {
			t.Errorf("try %d: %v", i+1, got)
		}
		l.wait(time.Second)
	}
}

// A judge works for a server after so many nonces of its form, and no more after another one.
func TestWorks(t *testing.T) {
	j := &lab{Judge: New(1), at: began * int64(time.Second)}
	j.send(plain(victim), j.nonce(victim)) // before it began
	if j.clean(j.nonce(victim), victim) {
		t.Error("it has not begun")
	}
	j.Begin(j.at)
	j.wait(time.Second)
	for i := range GenuineFrom {
		if j.Works(0) {
			t.Fatalf("it works after %d nonces", i)
		}
		j.send(plain(victim), nonceOf(j.second(), netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})))
		j.send(plain(victim), nonceOf(j.second(), netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))) // the same
	}
	if !j.Works(0) || j.Works(1) {
		t.Error("it must work for server 0 alone")
	}

	j.send(plain(victim), j.nonce(victim))
	bad := plain(other)
	bad.Malformed = true
	j.send(bad)
	if j.Works(0) || j.clean(j.nonce(victim), victim) {
		t.Error("it works for a server with other nonces")
	}
}

// More nonces than there is room for: the oldest are given up, with all of their second.
func TestBounded(t *testing.T) {
	l := newLab()
	l.wait(time.Second)
	first := l.nonce(victim)
	l.send(plain(victim), first)
	l.send(maddr(other, attacker), l.nonce(other))
	flood := func() {
		for i := range uint32(MostNonces) {
			a := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 11<<24+i)))
			l.send(plain(a), l.nonce(a))
		}
	}

	flood()
	l.send(plain(other), l.nonce(other)) // what voided it is forgotten
	if l.clean(first, victim) || l.clean(l.nonce(other), other) || l.Len() > MostNonces {
		t.Errorf("clean after the flood; %d nonces", l.Len())
	}
	l.wait(time.Second)
	l.send(plain(victim), l.nonce(victim))
	if !l.clean(l.nonce(victim), victim) {
		t.Error("not clean in the next second")
	}
}

func TestTrusted(t *testing.T) {
	l := newLab()
	if l.Trusted(victim, l.at) {
		t.Error("trusted right after the beginning: an answer may have been missed")
	}
	l.wait(AstrayTime)
	if !l.Trusted(victim, l.at) {
		t.Error("not trusted")
	}

	// Hole C: a spoofer with an account has the answers sent elsewhere.
	if !l.send(maddr(victim, attacker), l.nonce(victim)) {
		t.Error("it did not go astray")
	}
	if l.Trusted(victim, l.at) || !l.Trusted(other, l.at) {
		t.Error("trusted is who should not be, or the other way round")
	}
	l.wait(AstrayTime)
	if !l.Trusted(victim, l.at) {
		t.Error("not trusted again")
	}

	hidden := maddr(netip.Addr{}, attacker)
	l.send(hidden)
	if l.Trusted(victim, l.at) {
		t.Error("it may have been the victim's")
	}

	l.wait(blindTime)
	for i := range mostAstray + 1 {
		l.send(maddr(netip.AddrFrom4([4]byte{11, 0, byte(i >> 8), byte(i)}), attacker))
	}
	if l.Trusted(victim, l.at) {
		t.Error("more went astray than are remembered")
	}
}

func TestAllocatesNothing(t *testing.T) {
	l := newLab()
	i := uint32(0)
	ns := make([]Nonce, 1)
	step := func() {
		i++
		if i%100 == 0 {
			l.wait(time.Second)
		}
		a := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(make([]byte, 0, 4), i)))
		ns[0] = l.nonce(a)
		if i%7 == 0 {
			l.send(maddr(a, attacker), ns...)
		} else {
			l.send(plain(a), ns...)
		}
		l.clean(ns[0], a)
	}
	for range 3 * MostNonces {
		step()
	}
	if n := testing.AllocsPerRun(10000, step); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAnswer(b *testing.B) {
	l := newLab()
	ns := []Nonce{{}}
	for i := range b.N {
		if i%1000 == 0 {
			l.wait(time.Second)
		}
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		ns[0] = l.nonce(a)
		l.send(plain(a), ns...)
		l.clean(ns[0], a)
	}
}
