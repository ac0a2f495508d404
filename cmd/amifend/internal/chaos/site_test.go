//go:build chaos

package chaos

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/firewall/firewalltest"
)

// site is a machine with the program, its config, and PBXs.
type site struct {
	*firewalltest.NS
	dir     string
	state   string // the directory of the journal
	servers []server
	pbxs    []*amitest.PBX // those that behave, or that a round makes misbehave
	lines   string         // more of the config
	client  *control.Client
	running *process
}

// server is a PBX in the config.
type server struct{ name, address, more string }

func newSite(t testing.TB, pbxs int) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{NS: firewalltest.New(t), dir: dir, state: filepath.Join(dir, "state")}
	s.client = control.NewClient(filepath.Join(dir, "s.sock"))
	for range pbxs {
		s.addPBX(t, amitest.Config{})
	}
	t.Cleanup(func() {
		if s.running != nil && !s.running.ended() {
			s.running.kill()
		}
		if t.Failed() && s.running != nil {
			t.Logf("the end of the log:\n%s", s.running.log())
		}
	})
	return s
}

// addPBX starts a PBX on the loopback of the machine.
func (s *site) addPBX(t testing.TB, c amitest.Config) *amitest.PBX {
	t.Helper()
	c.Username, c.Secret = "amifend", "right"
	var pbx *amitest.PBX
	s.Do(t, func() (err error) {
		pbx, err = amitest.Listen("127.0.0.1:0", c)
		return err
	})
	t.Cleanup(pbx.Close)
	s.pbxs = append(s.pbxs, pbx)
	s.servers = append(s.servers, server{name: "pbx" + strconv.Itoa(len(s.servers)+1), address: pbx.Addr()})
	return pbx
}

// config writes the config, and returns its path.
func (s *site) config(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	for _, one := range s.servers {
		fmt.Fprintf(&b, "[[server]]\nname = %q\naddress = %q\nusername = \"amifend\"\nsecret = \"right\"\n%s\n",
			one.name, one.address, one.more)
	}
	fmt.Fprintf(&b, "[state]\ndirectory = %q\n[control]\nsocket = %q\n[log]\nformat = \"json\"\n%s\n",
		s.state, filepath.Join(s.dir, "s.sock"), s.lines)
	path := filepath.Join(s.dir, "config.toml")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// launch starts the program in the machine's network, and does not wait.
func (s *site) launch(t testing.TB) *process {
	t.Helper()
	p := &process{
		cmd:  exec.Command(program, "run", "--config", s.config(t)),
		done: make(chan struct{}),
	}
	out, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.Do(t, p.cmd.Start)
	go p.read(bufio.NewScanner(out))
	s.running = p
	return p
}

// start starts the program, and waits until it answers and is logged in to all PBXs that are there.
// It returns how long that took.
func (s *site) start(t testing.TB) (*process, time.Duration) {
	t.Helper()
	p := s.launch(t)
	took := within(t, soon, "it answers and is logged in", func() bool {
		if p.ended() {
			t.Fatalf("it ended: %v\n%s", p.err, p.log())
		}
		st, err := s.status(t)
		up := 0
		for _, one := range st.Servers {
			if one.Connected {
				up++
			}
		}
		return err == nil && up >= len(s.pbxs)
	})
	return p, took
}

// status asks for the status, for a second at most.
func (s *site) status(t testing.TB) (control.Status, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	return s.client.Status(ctx)
}

// guess has an attacker try accounts over TCP: four of them are a ban.
func guess(pbx *amitest.PBX, source netip.Addr, n int) {
	p := amitest.NewPeer(netip.AddrPortFrom(source, 5060).String())
	p.Transport = "TCP"
	for i := range n {
		pbx.Emit(p.GuessAccount(strconv.Itoa(100 + i))...)
	}
}

// attacker returns the address of an attacker. No two are in one /24, which would be banned whole.
func attacker(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(20 + i>>16), byte(i >> 8), byte(i), 7})
}

// bans returns what the kernel has.
func (s *site) bans(t testing.TB) map[netip.Prefix]bool {
	t.Helper()
	table, err := firewall.Open(firewall.Options{Table: "amifend", NetNS: s.FD()})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	list, err := table.Bans(t.Context())
	if err != nil {
		return nil
	}
	out := make(map[netip.Prefix]bool, len(list))
	for _, e := range list {
		out[e.Prefix] = true
	}
	return out
}

// isBanned reports whether the kernel drops the packets by which a source attacks over TCP.
func (s *site) isBanned(t testing.TB, source netip.Addr) bool {
	t.Helper()
	table, err := firewall.Open(firewall.Options{Table: "amifend", NetNS: s.FD()})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	for _, scope := range []firewall.Scope{firewall.ScopeAll, firewall.ScopeStream} {
		_, ok, err := table.Element(t.Context(), netip.PrefixFrom(source, source.BitLen()), scope)
		if err == nil && ok {
			return true
		}
	}
	return false
}

// bansOne has a new attacker guess at a PBX until it is banned, and returns how long that took. It
// shows that amifend does its work.
func (s *site) bansOne(t testing.TB, pbx *amitest.PBX, source netip.Addr) time.Duration {
	t.Helper()
	began := time.Now()
	guess(pbx, source, 4)
	within(t, soon, fmt.Sprintf("%s is banned", source), func() bool { return s.isBanned(t, source) })
	return time.Since(began)
}

// announced returns the prefixes that the log says are banned, and not lifted later.
func announced(p *process) (out []netip.Prefix) {
	for _, l := range p.said("banned") {
		if a, err := netip.ParseAddr(l.text("source")); err == nil {
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return out
}

// written waits until the journal has written all that it knows.
func (s *site) written(t testing.TB) {
	t.Helper()
	within(t, soon, "the journal has written all", func() bool {
		st, err := s.status(t)
		return err == nil && st.Journal != nil && st.Journal.Waiting == 0 && st.Journal.Problem == ""
	})
}

// reboot takes the kernel's state away, and leaves the disk: the table is gone, and so are the
// elements.
func (s *site) reboot(t testing.TB) {
	t.Helper()
	if out, err := s.Command("nft", "flush", "ruleset"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
