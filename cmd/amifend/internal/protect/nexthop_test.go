package protect

import (
	"os/exec"
	"runtime"
	"testing"

	"github.com/vishvananda/netns"
)

// sh runs a script in the namespace.
func (s *space) sh(script string) {
	s.t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	home, err := netns.Get()
	s.must(err)
	defer home.Close()

	s.must(netns.Set(s.ns))
	out, err := exec.Command("sh", "-ec", script).CombinedOutput()
	if err := netns.Set(home); err != nil {
		panic(err) // the thread must not be used in the wrong namespace
	}
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// Routes of next hop objects may name the gateway or not: see ip-sysctl, nexthop_compat_mode.
func TestGatewaysOfNextHopObjects(t *testing.T) {
	for _, mode := range []string{"0", "1"} {
		s := newSpace(t)
		s.ether("eth0", "192.0.2.10/24", "2001:db8:1::10/64")
		s.sh("echo " + mode + ` > /proc/sys/net/ipv4/nexthop_compat_mode
			ip nexthop add id 1 via 192.0.2.1 dev eth0
			ip nexthop add id 2 via 192.0.2.2 dev eth0
			ip nexthop add id 3 group 1/2
			ip nexthop add id 4 via 2001:db8:1::1 dev eth0
			ip nexthop add id 5 blackhole
			ip route add default nhid 3
			ip -6 route add default nhid 4`)

		w := s.watcher(Config{})
		set := snapshot(t, w)
		for _, gateway := range []string{"192.0.2.1", "192.0.2.2", "2001:db8:1::1"} {
			want := "next hop via eth0"
			if mode == "1" {
				want = "default gateway via eth0; " + want
			}
			if got := reasonOf(set, gateway); got != want {
				t.Errorf("compat mode %s: %s: reason %q, want %q", mode, gateway, got, want)
			}
		}

		// A change of an object changes the gateway without a change of the route.
		r := s.run(w)
		s.sh("ip nexthop replace id 1 via 192.0.2.7 dev eth0")
		r.until("192.0.2.7", "next hop via eth0")
	}
}
