//go:build packages

package packaging

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"
)

// The addresses of the machine, where the lab's Asterisk listens, and of its router.
const (
	pbxAddress = "192.0.2.10"
	router     = "192.0.2.1"
)

// newcomer goes the way of docs/install.md on a fresh machine with a real Asterisk, as an ordinary
// user with sudo: from the package to the first ban in the kernel, and back to nothing.
func newcomer(t *testing.T, release, deb string) {
	m := boot(t, release)
	outside := m.connect(t)
	m.asterisk(t)
	m.run(t, `echo "127.0.0.1 localhost $(hostname)" >/etc/hosts; : >/etc/resolv.conf # nobody answers
		useradd --create-home alice; echo 'alice ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/alice`)
	m.copyIn(t, deb, "/home/alice/amifend.deb")
	before := m.run(t, listing)

	began := time.Now()
	step := func(command string, want ...string) {
		t.Helper()
		out := m.run(t, "cd /home/alice; su alice -c '"+command+"' 2>&1")
		t.Logf("%5.1f s  %s", time.Since(began).Seconds(), command)
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("%s does not print %q:\n%s", command, w, out)
			}
		}
	}

	step("sudo apt-get install -y ./amifend.deb", "next: sudo amifend init")
	step("sudo amifend init --yes --reload-asterisk", "Found Asterisk", "100.64.9.9  trunk",
		`logged in as "amifend"`, "result: all ", "is started, also after a reboot")

	// Observing: told, and not done.
	wait := func(command, want string) {
		t.Helper()
		eventually(t, command+" prints "+want, func() bool {
			return strings.Contains(m.run(t, "su alice -c '"+command+"' || :"), want)
		})
		t.Logf("%5.1f s  %s", time.Since(began).Seconds(), command)
	}
	invite(t, outside, 5)
	wait("sudo amifend status", "1 source would have been banned")
	m.fails(t, banned)

	// A trial that nobody keeps: systemd puts the line back.
	config := m.run(t, "cat /etc/amifend/config.toml")
	line := func(want string) func() bool {
		return func() bool { return m.run(t, "grep '^observe' /etc/amifend/config.toml") == want+"\n" }
	}
	step("sudo amifend enforce --trial 2s", "amifend bans now, ", "-observe = true\n+observe = false",
		"and the line is put back\nby amifend-enforce-")
	eventually(t, "the line is put back", line("observe = true"))
	t.Logf("%5.1f s  the line is put back", time.Since(began).Seconds())
	if now := m.run(t, "cat /etc/amifend/config.toml"); now != config {
		t.Errorf("after the trial the config is not as it was:\n%s", now)
	}
	wait("sudo amifend status", "amifend only observes")

	// A trial that a restart ends: told, until a person decides.
	step("sudo amifend enforce", "amifend bans now, on trial until")
	m.run(t, "systemctl list-timers --all | grep -q amifend-enforce-; systemctl restart amifend")
	wait("sudo amifend status", "was not kept")
	if !line("observe = false")() {
		t.Error("the daemon put the line back")
	}
	step("sudo amifend enforce --put-back", "Nobody has kept the trial", "+observe = true")
	wait("sudo amifend status", "nobody is banned: observe is on")

	// On trial: the next attempt bans.
	step("sudo amifend enforce", "amifend bans now, on trial until", "+observe = false")
	invite(t, outside, 2)
	eventually(t, "the kernel has the ban", func() bool { return m.command(banned).Run() == nil })
	t.Logf("%5.1f s  the ban is in the kernel", time.Since(began).Seconds())
	step("sudo amifend keep", "1 ban kept")
	m.fails(t, "systemctl list-timers --all | grep amifend-enforce-")
	if !line("observe = false")() {
		t.Error("kept, and the config says to observe")
	}
	step("sudo amifend bans", attacker)

	// And back: also what init wrote for Asterisk.
	step("sudo apt-get purge -y amifend", "removed its manager user")
	m.fails(t, "nft list table inet amifend")
	compare(t, m, before)
}

// connect gives the machine a network, and returns the name of a network namespace outside of it,
// where the attacker's address is.
func (m *machine) connect(t *testing.T) string {
	t.Helper()
	name := "amifend-packages-" + m.pid
	output(t, "ip", "netns", "add", name)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", name).Run() })
	output(t, "ip", "-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", m.pid)
	for _, address := range []string{router + "/24", attacker + "/32"} {
		output(t, "ip", "-n", name, "address", "add", address, "dev", "eth0")
	}
	output(t, "ip", "-n", name, "link", "set", "eth0", "up")

	inside := []string{"--target", m.pid, "--net", "ip"}
	for _, args := range []string{
		"link set lo up", "address add " + pbxAddress + "/24 dev eth0", "link set eth0 up",
		"route add default via " + router,
	} {
		output(t, "nsenter", append(inside, strings.Fields(args)...)...)
	}
	return name
}

// asterisk starts a real Asterisk in the machine. The lab builds it, once.
func (m *machine) asterisk(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("../examples/lab/build-asterisk.sh", "sid").CombinedOutput(); err != nil {
		t.Fatalf("build an Asterisk: %v\n%s", err, out)
	}
	cache := os.Getenv("AMIFEND_LAB_CACHE")
	if cache == "" {
		cache = "/var/cache/amifend"
	}
	out, err := exec.Command("testdata/asterisk.sh", filepath.Join(cache, "sid"), m.path("/")).CombinedOutput()
	if err != nil {
		t.Fatalf("put Asterisk into the machine: %v\n%s", err, out)
	}

	m.run(t, "systemctl daemon-reload; systemctl enable --now asterisk")
	eventually(t, "Asterisk is up", func() bool {
		out, _ := m.command("asterisk -rx 'core waitfullybooted'").Output()
		return strings.Contains(string(out), "fully booted")
	})
}

// invite has the attacker call from an account that does not exist, some times, over UDP.
func invite(t *testing.T, namespace string, times int) {
	t.Helper()
	from := net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(attacker), 5060))
	to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(pbxAddress), 5060))
	var failed error
	done := make(chan struct{})
	go func() {
		defer close(done)

		// Never unlocked, as in pbx.
		runtime.LockOSThread()
		ns, err := netns.GetFromName(namespace)
		if err != nil {
			failed = err
			return
		}
		defer ns.Close()
		if failed = netns.Set(ns); failed != nil {
			return
		}
		c, err := net.DialUDP("udp4", from, to)
		if err != nil {
			failed = err
			return
		}
		defer c.Close()

		for range times {
			call := time.Now().UnixNano()
			_, err := fmt.Fprintf(c, "INVITE sip:600@%[1]s SIP/2.0\r\n"+
				"Via: SIP/2.0/UDP %[2]s:5060;branch=z9hG4bK%[3]d\r\n"+
				"Max-Forwards: 70\r\nFrom: <sip:nobody@%[2]s>;tag=%[3]d\r\nTo: <sip:600@%[1]s>\r\nCall-ID: %[3]d\r\n"+
				"CSeq: 1 INVITE\r\nContact: <sip:nobody@%[2]s:5060>\r\nContent-Length: 0\r\n\r\n",
				pbxAddress, attacker, call)
			if err != nil {
				failed = err
				return
			}
		}
	}()

	<-done
	if failed != nil {
		t.Fatalf("attack: %v", failed)
	}
}
