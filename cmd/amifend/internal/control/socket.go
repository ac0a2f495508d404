package control

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// mostConns bounds the connections at a time, and mostReaders those of peers that may only read:
// readers must not keep an operator from lifting a ban.
//
// A connection whose request has not come yet holds no place against another one: when all places
// are taken, the oldest of these is closed.
const (
	mostConns   = 64
	mostReaders = 48
)

// listener is the control socket. A lock beside it makes sure that one process has it; what a dead
// process left behind is replaced.
type listener struct {
	*net.UnixListener
	lock    *os.File
	slots   chan struct{}
	readers chan struct{}
	may     func(Peer) bool // reports whether a peer is more than a reader; nil: none is

	mu      sync.Mutex
	stalled list.List // of *conn: those without a request, the oldest first
}

// listen makes the socket at path, for its owner alone. It makes the folder if it is missing.
func listen(path string) (*listener, error) {
	if err := PrepareFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}

	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, err
	}

	l, err := bind(path)
	if err != nil {
		lock.Close()
		return nil, err
	}

	return &listener{
		UnixListener: l, lock: lock, slots: make(chan struct{}, mostConns),
		readers: make(chan struct{}, mostReaders),
	}, nil
}

// share opens the socket at path to a group. A process that runs in that group needs no privilege
// for it.
func share(path string, group uint32) error {
	st, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("share the control socket: %w", err)
	}

	// A change to the group that it has would still need the privilege.
	if sys, ok := st.Sys().(*syscall.Stat_t); !ok || sys.Gid != group {
		if err := os.Lchown(path, -1, int(group)); err != nil {
			return fmt.Errorf("share the control socket: %w", err)
		}
	}

	if err := os.Chmod(path, 0o660); err != nil {
		return fmt.Errorf("share the control socket: %w", err)
	}

	return nil
}

// PrepareFolder makes a folder, or refuses one in which every user could replace our socket.
func PrepareFolder(dir string) error {
	err := os.Mkdir(dir, 0o755)
	if err == nil {
		err = os.Chmod(dir, 0o755) // whatever the umask is: the group must get through
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the control socket's folder: %w", err)
	}

	// An existing folder may belong to somebody else.
	st, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("look at the control socket's folder: %w", err)
	}
	if !st.IsDir() {
		return fmt.Errorf("%s, the control socket's folder, is not a folder", dir)
	}

	if st.Mode()&0o002 != 0 && st.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("%s, the control socket's folder, can be changed by everybody: chmod "+
			"o-w %[1]s", dir)
	}

	return nil
}

// lockFile takes the lock at path, or fails if another process has it.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the control socket: %w", err)
	}

	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock the control socket: another amifend serves it; give "+
				"each its own [control] socket (%s)", path)
		}
		return nil, fmt.Errorf("lock the control socket: %w", err)
	}

	return f, nil
}

// bind opens the socket, and replaces one that an earlier process left. The caller holds the lock,
// so no living process owns it.
func bind(path string) (*net.UnixListener, error) {
	st, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("look at the control socket: %w", err)
	case st.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("%s is not a socket, and is left as it is: choose another name for "+
			"[control] socket", path)
	default:
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("remove the old control socket: %w", err)
		}
	}

	// The mode of a socket before bind(2) becomes that of its file: at no moment can others
	// connect.
	private := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) { failed = unix.Fchmod(int(fd), 0o600) })
		return errors.Join(err, failed)
	}}

	l, err := private.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("open the control socket: %w", err)
	}

	return l.(*net.UnixListener), nil
}

// Accept waits for a connection and, when all places have requests, for one of them to end. It
// closes a reader too many at once: one that waited for a place would block the others.
func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}

		// An unknown peer counts as a reader.
		p, err := peerOf(raw)
		c := &conn{UnixConn: raw, listener: l, reader: err != nil || l.may == nil || !l.may(p)}
		var places []chan struct{}
		if c.reader {
			if !l.take(l.readers, true) {
				raw.Close()
				continue
			}
			places = append(places, l.readers)
		}

		if !l.take(l.slots, false) {
			l.slots <- struct{}{}
		}
		places = append(places, l.slots)

		c.release = sync.OnceFunc(func() {
			l.busy(c)
			for _, p := range places {
				<-p
			}
		})
		l.waits(c)
		return c, nil
	}
}

// take takes a place, if need be that of the oldest connection without a request, a reader's only
// if readers is set. It returns false if there is none.
func (l *listener) take(places chan struct{}, readers bool) bool {
	for {
		select {
		case places <- struct{}{}:
			return true
		default:
		}
		if !l.evict(readers) {
			return false
		}
	}
}

// evict closes the oldest connection without a request. It returns false if there is none.
func (l *listener) evict(readers bool) bool {
	l.mu.Lock()
	var oldest *conn
	for e := l.stalled.Front(); e != nil && oldest == nil; e = e.Next() {
		if c, ok := e.Value.(*conn); ok && (c.reader || !readers) {
			oldest = c
		}
	}
	l.mu.Unlock()

	if oldest == nil {
		return false
	}
	oldest.Close()
	return true
}

// waits notes that a connection waits for a request, and may be closed for another one.
func (l *listener) waits(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()

	if c.waiting == nil {
		c.waiting = l.stalled.PushBack(c)
	}
}

// busy notes that a connection has a request, or is closed.
func (l *listener) busy(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()

	if c.waiting != nil {
		l.stalled.Remove(c.waiting)
		c.waiting = nil
	}
}

// Close removes the socket, and releases the lock last.
func (l *listener) Close() error {
	err := l.UnixListener.Close()
	l.lock.Close()
	return err
}

// conn is a connection that gives its places back when it is closed.
type conn struct {
	*net.UnixConn
	listener *listener
	reader   bool // the peer may only read
	release  func()
	waiting  *list.Element // of the listener's stalled; nil: it has a request. Under its lock.
}

func (c *conn) Close() error {
	defer c.release()
	return c.UnixConn.Close()
}

func (c *conn) peer() (Peer, error) { return peerOf(c.UnixConn) }
