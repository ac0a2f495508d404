package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/user"
	"regexp"
	"slices"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/amifend/amifend/ami"
)

// Peer is the process at the other end of a connection, as the kernel recorded it when the
// connection was made.
type Peer struct {
	UID  uint32
	PID  int32
	Says string // the name that the peer gives itself, safe to print; "": none

	groups []uint32
}

// String returns the peer's name for the log and for the reasons of bans.
func (p Peer) String() string { return Operator(p.UID, p.Says) }

// Operator returns the name of an operator for people, such as "root (alice)". The kernel vouches for
// the user before the parentheses. In them stands what the operator's command said, such as the user
// behind sudo; no right depends on it.
func Operator(uid uint32, says string) string {
	text := login(uid)
	if says != "" {
		text += " (" + says + ")"
	}
	return text
}

// login returns the login name of a user, or "uid 1000" if there is none, none that is plain,
// or it is nobody.
func login(uid uint32) string {
	if uid == 0 {
		return "root"
	}

	number := strconv.FormatUint(uint64(uid), 10)
	u, err := user.LookupId(number)
	if err != nil || !plainName.MatchString(u.Username) || u.Username == "nobody" {
		return "uid " + number // "lifted by nobody" would be a riddle
	}
	return u.Username
}

// headerOperator is the header with the name that a peer gives itself.
const headerOperator = "Amifend-Operator"

// longestOperator is how many bytes of that name count. useradd(8) allows 32.
const longestOperator = 64

// plainName matches names that need no quotation marks.
var plainName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@-]*\$?$`)

// saidName returns the name of a header for logs and answers. Whoever may use the socket can write
// anything there, so all but plain names are quoted.
func saidName(header string) string {
	if header == "" {
		return ""
	}
	header = header[:min(len(header), longestOperator)]
	if plainName.MatchString(header) {
		return header
	}
	return ami.Quote([]byte(header))
}

// peerOf asks the kernel for the peer, see unix(7).
func peerOf(c *net.UnixConn) (Peer, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return Peer{}, fmt.Errorf("ask who has connected: %w", err)
	}

	// Both calls run while the descriptor cannot be closed.
	var p Peer
	var failed error
	err = raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET,
			unix.SO_PEERCRED); failed != nil {
			return
		}

		p = Peer{UID: cred.Uid, PID: cred.Pid}
		p.groups, failed = peerGroups(fd)
		p.groups = append(p.groups, cred.Gid)
	})
	if err = errors.Join(err, failed); err != nil {
		return Peer{}, fmt.Errorf("ask who has connected: %w", err)
	}

	return p, nil
}

// peerGroups returns the supplementary groups (SO_PEERGROUPS, Linux 4.13). With too little room,
// the kernel returns how much it needs.
func peerGroups(fd uintptr) ([]uint32, error) {
	groups := make([]uint32, 64)
	for {
		size := uint32(len(groups) * 4)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == unix.ERANGE && int(size/4) > len(groups):
			groups = make([]uint32, size/4)
		case errno == unix.ENOPROTOOPT: // an older kernel: the primary group alone counts
			return nil, nil
		case errno != 0:
			return nil, errno
		default:
			return groups[:size/4], nil
		}
	}
}

// access holds the group that has each right. nil: no group has it.
type access struct {
	read, admin *uint32
}

func (a access) mayRead(p Peer) bool { return a.mayChange(p) || p.in(a.read) }

func (a access) mayChange(p Peer) bool { return p.UID == 0 || p.in(a.admin) }

func (p Peer) in(group *uint32) bool { return group != nil && slices.Contains(p.groups, *group) }

// lookupGroup returns the number of a group, given by name or number, or nil if there is no such
// group.
func lookupGroup(name string) (*uint32, error) {
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		gid := uint32(n)
		return &gid, nil
	}

	// The group may be made later, so it is not an error.
	g, err := user.LookupGroup(name)
	if _, ok := errors.AsType[user.UnknownGroupError](err); ok {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up group %s: %w", name, err)
	}

	n, err := strconv.ParseUint(g.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("look up group %s: %w", name, err)
	}

	gid := uint32(n)
	return &gid, nil
}

// peerKey is the context key of a connection's Peer.
type peerKey struct{}

// connKey is the context key of a request's connection.
type connKey struct{}

// withPeer stores a connection and its peer in its context.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	ctx = context.WithValue(ctx, connKey{}, c)
	u, ok := c.(interface{ peer() (Peer, error) })
	if !ok {
		return ctx
	}

	p, err := u.peer()
	if err != nil {
		return ctx // without a peer there is no right
	}
	return context.WithValue(ctx, peerKey{}, p)
}
