package lockout

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// fromEnvironment reads the variables of sshd(8): SSH_CONNECTION holds "CLIENT PORT SERVER PORT",
// SSH_CLIENT "CLIENT PORT PORT".
func fromEnvironment(getenv func(string) string) (Session, bool) {
	for _, name := range []string{"SSH_CONNECTION", "SSH_CLIENT"} {
		f := strings.Fields(getenv(name))
		if len(f) < 3 {
			continue
		}

		a, err := netip.ParseAddr(f[0])
		if err != nil {
			continue
		}

		s := Session{Addr: plain(a), User: getenv("USER"), Own: true}
		if l, err := netip.ParseAddr(f[2]); err == nil {
			s.Local = plain(l)
		}
		return s, true
	}

	return Session{}, false
}

// Bounds for files of logind.
const (
	maxSessionFile = 64 << 10
	maxSessions    = 10_000 // files that are read
)

// fromLogind reads the sessions of systemd-logind, which every user may read.
func fromLogind(root string) (found []Session) {
	dir := filepath.Join(root, "/run/systemd/sessions")
	entries, _ := os.ReadDir(dir) // no logind, no sessions
	for _, e := range entries[:min(len(entries), maxSessions)] {
		st, err := e.Info()

		// Beside the files there are pipes, which would block.
		if err != nil || !st.Mode().IsRegular() || st.Size() > maxSessionFile {
			continue
		}

		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			continue
		}

		keys := map[string]string{}
		for line := range strings.Lines(string(text)) {
			if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
				keys[k] = v
			}
		}

		// With UseDNS the host is a name, which whoever owns the address can choose.
		a, err := netip.ParseAddr(keys["REMOTE_HOST"])
		if err == nil && keys["SERVICE"] == "sshd" && keys["STATE"] != "closing" {
			found = append(found, Session{Addr: plain(a), User: keys["USER"]})
		}
	}

	return found
}

// established returns the TCP connections of a network namespace, and reports whether the kernel
// returned them.
func established(ns int) ([]*netlink.Socket, bool) {
	handle := netns.None()
	if ns != 0 {
		handle = netns.NsHandle(ns)
	}

	h, err := netlink.NewHandleAt(handle, unix.NETLINK_INET_DIAG)
	if err != nil {
		return nil, false
	}
	defer h.Close()

	// An interrupted dump may lack a socket. That is better than no sockets at all.
	var out []*netlink.Socket
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		all, err := h.SocketDiagTCP(family)
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			return nil, false
		}

		for _, s := range all {
			if s.State == netlink.TCP_ESTABLISHED {
				out = append(out, s)
			}
		}
	}

	return out, true
}

// remote returns the far address of a connection.
func remote(s *netlink.Socket) netip.Addr { return fromIP(s.ID.Destination) }

// local returns our address of a connection.
func local(s *netlink.Socket) netip.Addr { return fromIP(s.ID.Source) }

// fromIP returns an address of netlink.
func fromIP(ip []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return plain(a)
}

// fromProcesses returns the connections of OpenSSH processes in which somebody has logged in. Only
// root sees the files of other users' processes.
func fromProcesses(root string, connections []*netlink.Socket) (found []Session) {
	byInode := make(map[string]*netlink.Socket, len(connections))
	for _, c := range connections {
		byInode["socket:["+strconv.FormatUint(uint64(c.INode), 10)+"]"] = c
	}

	// Processes end while they are read. One that cannot be read is left out.
	names, _ := filepath.Glob(filepath.Join(root, "/proc/[0-9]*/comm"))
	for _, name := range names {
		comm, err := os.ReadFile(name)
		if err != nil || !isSSH(strings.TrimSpace(string(comm))) {
			continue
		}

		// A connection without a login may be that of an attacker who guesses passwords.
		process := filepath.Dir(name)
		title, err := os.ReadFile(filepath.Join(process, "cmdline"))
		if err != nil {
			continue
		}

		user, ok := loggedIn(title)
		if !ok {
			continue
		}

		// The socket's number in the process is also its number in the kernel's list.
		files, _ := os.ReadDir(filepath.Join(process, "fd"))
		for _, f := range files {
			to, err := os.Readlink(filepath.Join(process, "fd", f.Name()))
			if c := byInode[to]; err == nil && c != nil {
				found = append(found, Session{Addr: remote(c), User: user, Local: local(c)})
			}
		}
	}

	return found
}

// isSSH reports whether a process name is that of OpenSSH's server for a connection: sshd, or
// sshd-session since OpenSSH 9.8.
func isSSH(comm string) bool { return comm == "sshd" || comm == "sshd-session" }

// loggedIn reads the title of an OpenSSH process, and reports whether its user has logged in. After
// the login the title is "sshd: alice@pts/0" or "sshd: alice@notty". Before it, and for a process
// that only watches or listens, something in brackets follows: "sshd: alice [priv]".
func loggedIn(cmdline []byte) (user string, ok bool) {
	title := strings.TrimRight(string(bytes.TrimRight(cmdline, "\x00")), " ")
	_, who, ok := strings.Cut(title, ": ")
	if !ok || strings.ContainsAny(who, " [") {
		return "", false
	}

	i := strings.LastIndexByte(who, '@') // a user's name may hold one
	if i <= 0 {
		return "", false
	}
	return who[:i], true
}
