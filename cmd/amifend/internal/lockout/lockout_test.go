package lockout

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/denylist"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/firewall/firewalltest"
)

// envServe makes the test binary a server: it takes one connection after the other at the address
// that is its value, until its input ends.
const envServe = "LOCKOUT_TEST_SERVE"

func TestMain(m *testing.M) {
	if addr := os.Getenv(envServe); addr != "" {
		if err := serve(addr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	firewalltest.Main(m)
}

func serve(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}

	fmt.Println("listening")
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Println("accepted")
			defer c.Close() // at the end
		}
	}()

	_, _ = os.Stdin.Read(make([]byte, 1))
	return l.Close()
}

// runAs runs a server in a namespace, under the name of a program and with a title as OpenSSH gives
// itself. It returns a reader of what the server says.
func runAs(t *testing.T, ns *firewalltest.NS, program, title, addr string) *bufio.Reader {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}

	// The kernel takes the name of a process from its file.
	path := filepath.Join(t.TempDir(), program)
	if err := os.WriteFile(path, self, 0o700); err != nil {
		t.Fatal(err)
	}

	cmd := exec.Command(path)
	cmd.Args = []string{title}
	cmd.Env = append(os.Environ(), envServe+"="+addr)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}

	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}

	// The server ends when its standard input does.
	cmd.Stderr = os.Stderr
	ns.Do(t, cmd.Start)
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server %s: %v", program, err)
		}
	})

	said := bufio.NewReader(out)
	await(t, said, "listening")
	return said
}

func await(t *testing.T, said *bufio.Reader, want string) {
	t.Helper()
	if line, err := said.ReadString('\n'); strings.TrimSpace(line) != want {
		t.Fatalf("the server said %q, %v, want %s", line, err, want)
	}
}

func noEnvironment(string) string { return "" }

// Who has logged in is found by the server's process and its socket; who only connects, or is
// connected to another program, is not.
func TestSessionsOfProcesses(t *testing.T) {
	ns, outside := firewalltest.New(t), firewalltest.New(t)
	firewalltest.Join(t, ns, outside, []string{"192.0.2.1/24", "2001:db8::1/64"},
		[]string{
			"192.0.2.50/24", "192.0.2.51/24", "192.0.2.66/24", "192.0.2.67/24",
			"192.0.2.68/24", "2001:db8::50/64",
		})
	for _, c := range []struct{ program, title, addr, from string }{
		{"sshd", "sshd: alice@pts/0", "192.0.2.1:22", "192.0.2.50:0"},
		{
			"sshd-session", "sshd-session: bob@example.org@notty", "[2001:db8::1]:2222",
			"[2001:db8::50]:0",
		},
		{"sshd", "sshd: carol@pts/7", "[::]:2022", "192.0.2.51:0"}, // IPv4 at a socket of IPv6
		{"sshd", "sshd: root [net]", "192.0.2.1:23", "192.0.2.66:0"},
		{"sshd", "sshd: alice@example.org [priv]", "192.0.2.1:24", "192.0.2.67:0"},
		{"asterisk", "sshd: mallory@pts/0", "192.0.2.1:5061", "192.0.2.68:0"},
	} {
		said := runAs(t, ns, c.program, c.title, c.addr)
		to := c.addr
		if strings.HasPrefix(to, "[::]") {
			to = "192.0.2.1:2022"
		}

		if _, err := outside.DialTCP(t, c.from, to); err != nil {
			t.Fatal(err)
		}

		await(t, said, "accepted")
	}

	got := Sessions(Options{Getenv: noEnvironment, NetNS: ns.FD(), Root: ""})
	a := netip.MustParseAddr
	want := []Session{
		{Addr: a("192.0.2.50"), User: "alice", Local: a("192.0.2.1")},
		{Addr: a("192.0.2.51"), User: "carol", Local: a("192.0.2.1")},
		{Addr: a("2001:db8::50"), User: "bob@example.org", Local: a("2001:db8::1")},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}

	if got := Sessions(Options{
		Getenv: noEnvironment,
		NetNS:  firewalltest.New(t).FD(),
	}); len(got) != 0 {
		t.Errorf("sessions of another namespace: %v", got)
	}
}

// The sessions of logind count while they are connected.
func TestSessionsOfLogind(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "run/systemd/sessions")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}

	for name, text := range map[string]string{
		"1": "# made by systemd\nUID=0\nUSER=root\nACTIVE=1\nSTATE=active\nREMOTE=1\n" +
			"TTY=pts/0\nSERVICE=sshd\nREMOTE_HOST=192.0.2.50\n",
		"2": "USER=bob\nSTATE=active\nSERVICE=sshd\nREMOTE_HOST=192.0.2.51\n", // not connected
		"3": "USER=eve\nSTATE=closing\nSERVICE=sshd\nREMOTE_HOST=192.0.2.52\n",
		"4": "USER=joe\nSTATE=active\nSERVICE=login\n",
		"5": "USER=ann\nSTATE=active\nSERVICE=sshd\nREMOTE_HOST=host.example\n",
		"6": "USER=tim\nSTATE=active\nSERVICE=vsftpd\nREMOTE_HOST=192.0.2.52\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	// as logind does: to open it would wait for ever
	if err := syscall.Mkfifo(filepath.Join(dir, "1.ref"), 0o600); err != nil {
		t.Fatal(err)
	}

	ns, outside := firewalltest.New(t), firewalltest.New(t)
	firewalltest.Join(t, ns, outside, []string{"192.0.2.1/24"},
		[]string{"192.0.2.50/24", "192.0.2.52/24"})

	ns.ListenTCP(t, "192.0.2.1:22")
	for _, from := range []string{"192.0.2.50:0", "192.0.2.52:0"} {
		if _, err := outside.DialTCP(t, from, "192.0.2.1:22"); err != nil {
			t.Fatal(err)
		}
	}

	want := []Session{{
		Addr: netip.MustParseAddr("192.0.2.50"), User: "root",
		Local: netip.MustParseAddr("192.0.2.1"),
	}}
	if got := Sessions(Options{
		Getenv: noEnvironment, NetNS: ns.FD(),
		Root: root,
	}); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSessionOfTheEnvironment(t *testing.T) {
	for _, tt := range []struct{ name, value, want string }{
		{"SSH_CONNECTION", "203.0.113.7 50000 192.0.2.1 22", "your SSH session from 203.0.113.7"},
		{"SSH_CONNECTION", "fe80::1%eth0 50000 fe80::2%eth0 22", "your SSH session from fe80::1"},
		{
			"SSH_CONNECTION", "::ffff:203.0.113.7 50000 ::ffff:192.0.2.1 22",
			"your SSH session from 203.0.113.7",
		},
		{"SSH_CLIENT", "203.0.113.7 50000 22", "your SSH session from 203.0.113.7"},
		{"SSH_CONNECTION", "127.0.0.1 50000 127.0.0.1 22", ""},
		{"SSH_CONNECTION", "UNKNOWN 65535 UNKNOWN 65535", ""}, // as sshd -i says
		{"SSH_CONNECTION", "", ""},
	} {
		getenv := func(name string) string {
			return map[string]string{tt.name: tt.value, "USER": "alice"}[name]
		}

		got := ""
		for _, s := range Sessions(Options{
			Getenv: getenv, NetNS: firewalltest.New(t).FD(),
			Root: t.TempDir(),
		}) {
			got += s.String()
		}

		if got != tt.want {
			t.Errorf("%s=%q: %q, want %q", tt.name, tt.value, got, tt.want)
		}
	}
}

func TestFindings(t *testing.T) {
	a, p := netip.MustParseAddr, netip.MustParsePrefix
	never := protect.Set{
		Entries: []protect.Entry{
			{Prefix: p("192.168.1.1/32"), Reason: "default gateway"},
			{Prefix: p("198.51.100.0/24"), Reason: "allowlist"},
		},
		OnLink: []netip.Prefix{p("192.168.0.0/16"), p("192.168.1.0/24")},
	}

	l := Lists{
		Allow: []netip.Prefix{p("198.51.100.0/24"), p("203.0.113.20/32")}, Never: never,
		Deny: denylist.New([]config.Denied{{
			Prefix: p("203.0.113.0/29"),
			File:   "/lists/drop\x1b.txt", Line: 3,
		}}, never),
	}

	sessions := []Session{
		{Addr: a("192.168.1.1")},
		{Addr: a("198.51.100.7")}, // safe
		{Addr: a("192.168.1.50"), User: "alice", Local: a("192.168.1.2")},
		{Addr: a("203.0.113.9"), Own: true},
		{Addr: a("203.0.113.5"), User: "b\x1bob"},
	}

	var got []string
	for _, f := range Findings(sessions, l) {
		got = append(got, fmt.Sprint(f.What, " | ", f.Do, " | ", f.Cut))
	}

	const (
		unlisted = " is not allowlisted: a ban of that address would cut it off | "
		office   = "; if your address changes, allow the prefix of your office or VPN instead | "
	)
	want := []string{
		`an SSH session of alice from 192.168.1.50` + unlisted +
			`write into [allow]: prefixes = ["198.51.100.0/24", "203.0.113.20", "192.168.1.50"]` +
			`; or, to allow your whole management network (the network in which this machine is ` +
			`reached at 192.168.1.2 over SSH): ` +
			`prefixes = ["198.51.100.0/24", "203.0.113.20", "192.168.1.0/24"] | false`,
		`your SSH session from 203.0.113.9` + unlisted +
			`write into [allow]: prefixes = ["198.51.100.0/24", "203.0.113.20", "203.0.113.9"]` +
			office + "false",
		`the deny lists cut off an SSH session of "b\x1bob" from 203.0.113.5: ` +
			`its address is listed in "/lists/drop\x1b.txt:3" | ` +
			`write into [allow]: prefixes = ["198.51.100.0/24", "203.0.113.20", "203.0.113.5"]` +
			office + "true",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	l.Allow = slices.Repeat(l.Allow, 5)
	if f := Findings(sessions[3:4], l); !strings.HasPrefix(f[0].Do,
		`write into [allow]: "203.0.113.9", added to its prefixes;`) {
		t.Errorf("of a long list: %s", f[0].Do)
	}
}
