package firewall

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"go4.org/netipx"

	"github.com/amifend/amifend/firewall/firewalltest"
)

// One operation is one Apply of n bans, each new to the kernel; ns/change is the cost of one of
// them.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{1, 10, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			ns := firewalltest.New(b)
			table := open(b, ns, Options{MaxBans: 1 << 20})
			all := manyBans(400_000)
			next := 0
			b.ResetTimer()

			for b.Loop() {
				// Every ban must be new: start again with an empty table when none is left.
				if next+n > len(all) {
					b.StopTimer()
					ns.NFT(b, "flush ruleset")
					ensure(b, table)
					next = 0
					b.StartTimer()
				}

				if rejected, err := table.Apply(b.Context(), all[next:next+n]); err != nil ||
					len(rejected) > 0 {
					b.Fatal(rejected, err)
				}
				next += n
			}

			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/change")
		})
	}
}

// One operation refreshes 1000 bans among 100,000.
func BenchmarkRefresh(b *testing.B) {
	table := open(b, firewalltest.New(b), Options{})
	all := manyBans(100_000)
	apply(b, table, all...)

	for _, updates := range []bool{true, false} {
		b.Run(map[bool]string{true: "update", false: "replace"}[updates], func(b *testing.B) {
			table.updates = updates
			for i := 0; b.Loop(); i++ {
				part := all[i*1000%len(all):][:1000]
				for j := range part {
					part[j].Until = part[j].Until.Add(time.Second)
				}
				apply(b, table, part...)
			}
		})
	}
}

// One operation is one Apply of 1000 new bans to a full set: all are rejected.
func BenchmarkApplyFull(b *testing.B) {
	table := open(b, firewalltest.New(b), Options{MaxBans: 1000})
	all := manyBans(2000)
	apply(b, table, all[:1000]...)

	for b.Loop() {
		if rejected, err := table.Apply(b.Context(), all[1000:]); err != nil ||
			len(rejected) != 1000 {
			b.Fatal(len(rejected), err)
		}
	}
}

// One operation reads back 100,000 bans.
func BenchmarkBans(b *testing.B) {
	table := open(b, firewalltest.New(b), Options{})
	apply(b, table, manyBans(100_000)...)
	for b.Loop() {
		if n := len(bans(b, table)); n != 100_000 {
			b.Fatal(n)
		}
	}
}

func BenchmarkElement(b *testing.B) {
	table := open(b, firewalltest.New(b), Options{})
	all := manyBans(100_000)
	apply(b, table, all...)

	for i := 0; b.Loop(); i++ {
		if _, ok, err := table.Element(b.Context(), all[i*7919%len(all)].Prefix,
			ScopeAll); err != nil || !ok {
			b.Fatal(ok, err)
		}
	}
}

// One operation lays out the table again, with 100,000 bans in it.
func BenchmarkEnsure(b *testing.B) {
	table := open(b, firewalltest.New(b),
		Options{Allow: prefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8")})
	apply(b, table, manyBans(100_000)...)
	for b.Loop() {
		ensure(b, table)
	}
}

// One operation is one datagram of a source that nobody banned, from a socket over a veth pair to a
// socket: the sender's CPU takes it through the receiver's rules. The table's share is the
// difference to "no table".
func BenchmarkPacket(b *testing.B) {
	for _, way := range []struct{ name, src, dst, port string }{
		{"IPv4 SIP", attacker4, pbx4, "5060"},
		{"IPv6 SIP", attacker6, pbx6, "5060"},
		{"IPv6 other", attacker6, pbx6, "20000"},
	} {
		for _, laidOut := range []bool{false, true} {
			b.Run(way.name+map[bool]string{false: ", no table", true: ""}[laidOut],
				func(b *testing.B) {
					s := newSite(b, Options{})
					if !laidOut {
						s.pbx.NFT(b, "flush ruleset")
					}

					// nobody reads: the kernel drops what is too much at the socket
					s.pbx.ListenUDP(b, net.JoinHostPort(way.dst, way.port))
					conn := s.outside.DialUDP(b, net.JoinHostPort(way.src, "0"),
						net.JoinHostPort(way.dst, way.port))

					datagram := make([]byte, 400)
					for b.Loop() {
						if _, err := conn.Write(datagram); err != nil {
							b.Fatal(err)
						}
					}
				})
		}
	}
}

// One operation is one datagram to the PBX, as in BenchmarkPacket, or one that leaves it, with the
// rules of the sensor and of the limiter. The source is a stranger beyond its limit that is observed:
// the longest way through the rules.
func BenchmarkPacketPastLimiter(b *testing.B) {
	register := []byte(request("REGISTER") + strings.Repeat("x", 280))
	for _, table := range []struct {
		name string
		o    Options
	}{
		{"base", Options{}},
		{"sensor", Options{Sensor: &Sensor{}}},
		{"limiter", Options{Limiter: &Limiter{}}},
		{"both", Options{Sensor: &Sensor{}, Limiter: &Limiter{}}},
	} {
		for _, way := range []struct {
			name, from, to string
			out, known     bool
		}{
			{name: "SIP of a stranger", from: "0", to: "5060"},
			{name: "SIP of a known phone", from: "0", to: "5060", known: true},
			{name: "RTP in", from: "0", to: "20000"},
			{name: "SIP out", from: "5060", to: "40000", out: true},
			{name: "RTP out", from: "20000", to: "40000", out: true},
		} {
			b.Run(table.name+", "+way.name, func(b *testing.B) {
				s := newSite(b, table.o)
				if table.o.Limiter != nil {
					needLimiter(b, s.table)
					arm(b, s.table, false)
				}
				if way.known && table.o.Limiter != nil {
					know(b, s.table, attacker4)
				}

				// Nobody reads: the kernel drops what is too much at the socket.
				from, to, src, dst := s.outside, s.pbx, attacker4, pbx4
				if way.out {
					from, to, src, dst = s.pbx, s.outside, pbx4, attacker4
				}
				to.ListenUDP(b, net.JoinHostPort(dst, way.to))
				conn := from.DialUDP(b, net.JoinHostPort(src, way.from), net.JoinHostPort(dst, way.to))
				for b.Loop() {
					if _, err := conn.Write(register); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// One operation is one datagram as of BenchmarkPacket, of a source that is in no deny list, while
// 100,000 prefixes are.
func BenchmarkPacketPastDenyLists(b *testing.B) {
	s := newSite(b, Options{})
	setDeny(b, s.table, manyDenied(b, 100_000, 0))
	s.pbx.ListenUDP(b, net.JoinHostPort(pbx4, "5060"))
	conn := s.outside.DialUDP(b, net.JoinHostPort(attacker4, "0"), net.JoinHostPort(pbx4, "5060"))

	datagram := make([]byte, 400)
	for b.Loop() {
		if _, err := conn.Write(datagram); err != nil {
			b.Fatal(err)
		}
	}
}

// One operation replaces deny lists of 100,000 prefixes, of which half stay.
func BenchmarkSetDeny(b *testing.B) {
	table := open(b, firewalltest.New(b), Options{})
	lists := []*netipx.IPSet{manyDenied(b, 100_000, 0), manyDenied(b, 100_000, 1)}
	setDeny(b, table, lists[0])
	for i := 1; b.Loop(); i++ {
		if err := table.SetDeny(b.Context(), denyPrefixes(lists[i%2])); err != nil {
			b.Fatal(err)
		}
	}
}

// One operation puts deny lists of 100,000 prefixes into a new table.
func BenchmarkFirstSetDeny(b *testing.B) {
	ns := firewalltest.New(b)
	table := open(b, ns, Options{})
	list := manyDenied(b, 100_000, 0)
	for b.Loop() {
		if err := table.SetDeny(b.Context(), denyPrefixes(list)); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		ns.NFT(b, "flush ruleset")
		ensure(b, table)
		b.StartTimer()
	}
}
