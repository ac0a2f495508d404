package refusals

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	phone    = netip.MustParseAddr("192.0.2.7")
	attacker = netip.MustParseAddr("192.0.2.66")
)

func udp(a netip.Addr) Key { return Key{Addr: a} }
func tcp(a netip.Addr) Key { return Key{Addr: a, Stream: true} }

// pbx plays a PBX: what the kernel counts and what AMI says.
type pbx struct {
	j        *Judge
	at       int64
	counters map[Key]uint64
	events   map[Key][2]uint32
}

// newPBX returns a PBX on which a phone registered, so that it is known to raise ChallengeSent.
func newPBX() *pbx {
	p := &pbx{j: New(), at: 1, counters: map[Key]uint64{}, events: map[Key][2]uint32{}}
	p.look()
	p.look()
	p.challenge(udp(phone), 1)
	p.look()
	return p
}

// challenge refuses requests, and says so.
func (p *pbx) challenge(k Key, n uint32) {
	p.counters[k] += uint64(n)
	e := p.events[k]
	e[0] += n
	p.events[k] = e
}

// hide refuses requests, and says nothing.
func (p *pbx) hide(k Key, n uint64) { p.counters[k] += n }

func (p *pbx) look() []Silent {
	for k, n := range p.counters {
		p.j.Refused(k, n)
	}
	for k, e := range p.events {
		p.j.Explained(k, e[0], e[1])
	}
	clear(p.events)
	p.at += int64(3 * time.Second)
	return p.j.Look(p.at, true)
}

func TestSilent(t *testing.T) {
	for _, tt := range []struct {
		name string
		play func(*pbx)
		want []Silent
	}{
		{"a phone", func(p *pbx) { p.challenge(udp(attacker), 100) }, nil},
		{"two", func(p *pbx) { p.hide(udp(attacker), 2) }, nil},
		{
			"three", func(p *pbx) { p.hide(udp(attacker), 3) },
			[]Silent{{Key: udp(attacker), Refused: 3, Unseen: 3}},
		},
		{"failures explain", func(p *pbx) {
			p.hide(udp(attacker), 9)
			p.events[udp(attacker)] = [2]uint32{1, 6}
		}, nil},
		{
			"at a phone's address", func(p *pbx) { p.challenge(udp(phone), 50); p.hide(udp(phone), 4) },
			[]Silent{{Key: udp(phone), Refused: 55, Unseen: 4}},
		},
		{"segments that were sent again", func(p *pbx) {
			p.challenge(tcp(attacker), 40)
			p.hide(tcp(attacker), 5)
		}, nil},
		{
			"a quarter over TCP", func(p *pbx) { p.challenge(tcp(attacker), 15); p.hide(tcp(attacker), 5) },
			[]Silent{{Key: tcp(attacker), Refused: 20, Unseen: 5}},
		},
		{"events of another transport do not explain", func(p *pbx) {
			p.hide(udp(attacker), 3)
			p.events[tcp(attacker)] = [2]uint32{9, 0}
		}, []Silent{{Key: udp(attacker), Refused: 3, Unseen: 3}}},
		{
			"the loudest first", func(p *pbx) { p.hide(udp(phone), 3); p.hide(udp(attacker), 4) },
			[]Silent{
				{Key: udp(attacker), Refused: 4, Unseen: 4}, {Key: udp(phone), Refused: 4, Unseen: 3},
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPBX()
			tt.play(p)
			got := p.look()
			if len(got) != len(tt.want) {
				t.Fatalf("got %+v, want %+v", got, tt.want)
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Errorf("got %+v, want %+v", got[i], tt.want[i])
				}
			}
			for _, s := range p.look() {
				if !s.Confirmed {
					t.Errorf("%+v is not confirmed by the second look", s)
				}
			}
		})
	}
}

func TestCounters(t *testing.T) {
	// An element that expired begins at 0 again.
	p := newPBX()
	p.challenge(udp(attacker), 10)
	p.look()
	p.counters[udp(attacker)] = 0
	p.hide(udp(attacker), 3)
	if got := p.look(); len(got) != 1 || got[0].Unseen != 3 {
		t.Errorf("a counter that began anew: %+v", got)
	}

	// What stands at the beginning is not held against anybody.
	p = newPBX()
	p.hide(udp(attacker), 50)
	p.j.Begin()
	p.look()
	p.challenge(udp(phone), 1)
	if got := p.look(); got != nil {
		t.Errorf("after a beginning: %+v", got)
	}
	p.hide(udp(attacker), 3)
	if got := p.look(); len(got) != 1 {
		t.Errorf("after a beginning, then three: %+v", got)
	}

	// A counter that is missing for a moment.
	p = newPBX()
	p.hide(udp(attacker), 2)
	p.look()
	n := p.counters[udp(attacker)]
	delete(p.counters, udp(attacker))
	p.look()
	p.counters[udp(attacker)] = n + 1
	if got := p.look(); len(got) != 1 || got[0].Unseen != 3 {
		t.Errorf("after a gap in the walk: %+v", got)
	}

	// And one that is gone.
	delete(p.counters, udp(attacker))
	for range absent + 1 {
		p.look()
	}
	if n := p.j.Len(); n != 1 {
		t.Errorf("%d addresses are remembered, want the phone's", n)
	}

	// The same entry twice in a look.
	p = newPBX()
	p.j.Refused(udp(attacker), 1)
	p.j.Refused(udp(attacker), 2)
	if got := p.look(); got != nil {
		t.Errorf("an entry that came twice: %+v", got)
	}
}

func TestStates(t *testing.T) {
	// Without a ChallengeSent nobody is accused.
	p := &pbx{j: New(), counters: map[Key]uint64{}, events: map[Key][2]uint32{}}
	p.look()
	p.look()
	p.hide(udp(attacker), 10)
	if got := p.look(); got != nil || p.j.State() != StateBegins {
		t.Errorf("at the beginning: %+v, %s", got, p.j.State())
	}
	p.hide(udp(attacker), 10)
	p.events[udp(attacker)] = [2]uint32{0, 5}
	if got := p.look(); got != nil || p.j.State() != StateFiltered {
		t.Errorf("without ChallengeSent: %+v, %s", got, p.j.State())
	}

	// The first one shows that they come.
	p.challenge(udp(phone), 1)
	if got := p.look(); len(got) != 1 || p.j.State() != StateJudges {
		t.Errorf("with ChallengeSent: %+v, %s", got, p.j.State())
	}

	// Most addresses are silent: a second SIP server.
	p = newPBX()
	for i := range byte(6) {
		p.hide(udp(netip.AddrFrom4([4]byte{10, 0, 0, i})), 3)
	}
	if got := p.look(); got != nil || p.j.State() != StateDoubt {
		t.Errorf("most are silent: %+v, %s", got, p.j.State())
	}
	p.counters = map[Key]uint64{}
	for range absent + int(doubtFor/(3*time.Second)) + 1 {
		p.look()
	}
	p.hide(udp(attacker), 3)
	if got := p.look(); len(got) != 1 || p.j.State() != StateJudges {
		t.Errorf("after the doubt: %+v, %s", got, p.j.State())
	}

	// A look that is not timely accuses nobody, and loses nothing.
	p = newPBX()
	p.j.Refused(udp(attacker), 5)
	if got := p.j.Look(p.at, false); got != nil {
		t.Errorf("late events: %+v", got)
	}
	p.j.Explained(udp(attacker), 5, 0)
	if got := p.look(); got != nil {
		t.Errorf("after late events: %+v", got)
	}
}

// Small differences do not add up over hours, and credit does not last.
func TestDifferencesAreForgotten(t *testing.T) {
	p := newPBX()
	for range 20 {
		p.hide(udp(attacker), 1)
		p.look()
		p.at += int64(settle)
		if got := p.look(); got != nil {
			t.Fatalf("after a difference each ten minutes: %+v", got)
		}
	}

	p.challenge(udp(attacker), 1)
	p.events[udp(attacker)] = [2]uint32{100, 0}
	p.look()
	p.at += int64(settle)
	p.look()
	p.hide(udp(attacker), 3)
	if got := p.look(); len(got) != 1 {
		t.Errorf("after credit was forgotten: %+v", got)
	}
}

// A flood of forged sources fills the memory, and accuses nobody.
func TestBounded(t *testing.T) {
	p := newPBX()
	flood := func(from, to uint32) {
		for i := from; i < to; i++ {
			k := udp(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 10<<24+i))))
			p.challenge(k, 2)
		}
	}
	flood(0, MostKeys+5000)
	if got := p.look(); got != nil || p.j.Len() != MostKeys {
		t.Errorf("%d silent, %d remembered", len(got), p.j.Len())
	}
	p.counters = map[Key]uint64{}
	for range absent + 1 {
		p.look()
	}
	for i := range uint32(100) { // those that were turned away come in with what the kernel has counted
		k := udp(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 10<<24+MostKeys+1000+i))))
		p.counters[k] = 7
	}
	if got := p.look(); got != nil {
		t.Errorf("after the flood: %+v", got)
	}
}

// TestPropertyOrdinary: however answers, events and looks interleave, as long as an event comes within
// half a second of its answer, nobody is accused; and whoever hides three requests or more is.
func TestPropertyOrdinary(t *testing.T) {
	const half = int64(500 * time.Millisecond)
	rapid.Check(t, func(t *rapid.T) {
		hidden := rapid.IntRange(0, 6).Draw(t, "hidden")
		misses := rapid.IntRange(0, 5).Draw(t, "misses")
		type change struct {
			at    int64
			key   Key
			event bool
		}
		var changes []change
		for range rapid.IntRange(1, 60).Draw(t, "answers") {
			at := rapid.Int64Range(0, int64(40*time.Second)).Draw(t, "at")
			k := udp(netip.AddrFrom4([4]byte{10, 0, 0, rapid.Byte().Draw(t, "phone")}))
			k.Stream = rapid.Bool().Draw(t, "stream")
			changes = append(changes, change{at: at, key: k},
				change{at + rapid.Int64Range(-half/2, half-1).Draw(t, "delay"), k, true})
		}
		for range hidden {
			at := rapid.Int64Range(int64(7*time.Second), int64(40*time.Second)).Draw(t, "hidden at")
			changes = append(changes, change{at: at, key: udp(attacker)})
		}

		// The stages of a look: counters at a time, events half a second later.
		j, counters := New(), map[Key]uint64{}
		j.Explained(udp(phone), 1, 0)
		accused := map[Key]bool{}
		for from, to := -half, int64(0); to < int64(50*time.Second); from, to = to, to+int64(3*time.Second) {
			for _, c := range changes {
				if !c.event && c.at >= from && c.at < to || from < 0 && !c.event && c.at < to {
					counters[c.key]++
				}
			}
			for k, n := range counters {
				// A walk misses some.
				if (int(k.Addr.As4()[3])+int(to/int64(time.Second)))%5 != misses {
					j.Refused(k, n)
				}
			}
			for _, c := range changes {
				if c.event && c.at < to+half && (c.at >= from+half || from < 0) {
					j.Explained(c.key, 1, 0)
				}
			}
			for _, s := range j.Look(to+half, true) {
				accused[s.Key] = true
			}
		}

		for k := range accused {
			if k != udp(attacker) || hidden < Least {
				t.Fatalf("%v is accused, with %d hidden", k, hidden)
			}
		}
		if hidden >= Least && !accused[udp(attacker)] {
			t.Fatalf("%d hidden requests are not seen", hidden)
		}
	})
}
