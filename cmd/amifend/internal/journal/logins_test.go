package journal

import (
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// How accounts logged in is summed up over hours, also over those that are merged before they are
// written.
func TestLogins(t *testing.T) {
	j := start(t, options(t.TempDir()))
	hour := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	used := func(h int, server, name string, ways Ways, networks uint64) Total {
		return Total{
			Hour: hour.Add(time.Duration(h) * time.Hour), Server: server, Name: name, Account: true,
			Logins: 1, Ways: ways, Networks: networks,
		}
	}
	j.Count(func() []Total {
		return []Total{
			used(-1, "a", `"100"`, ByTLS, 1<<63), // before
			used(0, "a", `"100"`, ByUDP, 1<<63), used(0, "a", `"100"`, ByUDP, 1),
			used(1, "a", `"100"`, ByTCP, 2|1<<63),
			used(1, "b", `"100"`, ByTLS|ChanSIP, 4),
			used(1, "c", `"200"`, ChanSIP, 0), // attempts only
			used(1, "a", Others, ByUDP, 0),
			{Hour: hour, Server: "a", Name: "10.0.0.1", Logins: 1},
		}
	})
	if err := j.WriteTotals(t.Context()); err != nil {
		t.Fatal(err)
	}

	accounts, chanSIP, err := j.Logins(t.Context(), hour.Add(17*time.Minute))
	want := []Used{
		{"a", `"100"`, ByUDP | ByTCP, 3, 3}, {"b", `"100"`, ByTLS | ChanSIP, 1, 1},
	}
	if err != nil || !slices.Equal(accounts, want) || !slices.Equal(chanSIP, []string{"b", "c"}) {
		t.Errorf("%+v, %q, %v", accounts, chanSIP, err)
	}
}

// Addresses of one network have one bit, and those of many have many.
func TestNetworkBit(t *testing.T) {
	bit := func(text string) uint64 { return NetworkBit(netip.MustParseAddr(text)) }
	for _, same := range [][2]string{
		{"192.0.2.1", "192.0.2.254"},
		{"192.0.2.1", "::ffff:192.0.2.7"},
		{"2001:db8:1::1", "2001:db8:1:ffff::1"},
	} {
		if a, b := bit(same[0]), bit(same[1]); a != b || bits.OnesCount64(a) != 1 {
			t.Errorf("%v: %x, %x", same, a, b)
		}
	}
	if NetworkBit(netip.Addr{}) != 0 {
		t.Error("no address has a network")
	}

	var four, six uint64
	for i := range 200 {
		four |= bit(fmt.Sprintf("10.0.%d.1", i))
		six |= bit(fmt.Sprintf("2001:db8:%x::1", i))
	}
	if bits.OnesCount64(four) < 50 || bits.OnesCount64(six) < 50 {
		t.Errorf("%d and %d of 64 bits", bits.OnesCount64(four), bits.OnesCount64(six))
	}
}
