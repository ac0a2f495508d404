package live

import (
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// keyTime is how long one read waits for a key.
const keyTime = 100 * time.Millisecond

// keyboard reads keys from a terminal for bubbletea. The reader of the library ends some time after
// the program has: it would take a key that is meant for the shell, and uses files that are closed by
// then. A keyboard takes nothing after stop has returned.
//
// It has no method Name, by which the library would take it for a file that it can read itself.
type keyboard struct {
	file *os.File
	fd   int

	mu      sync.Mutex // held by a read
	stopped bool
}

func newKeyboard(f *os.File) *keyboard { return &keyboard{file: f, fd: int(f.Fd())} }

// Read reads what was typed. After keyTime it returns 0 bytes, so that whoever reads can see that it
// must end.
func (k *keyboard) Read(b []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped {
		return 0, io.EOF
	}

	fds := []unix.PollFd{{Fd: int32(k.fd), Events: unix.POLLIN}} //nolint:gosec // a descriptor is small
	n, err := unix.Poll(fds, int(keyTime.Milliseconds()))
	switch {
	case err == unix.EINTR, err == nil && n == 0:
		return 0, nil
	case err != nil:
		return 0, err
	}
	return k.file.Read(b)
}

// stop ends the reading.
func (k *keyboard) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stopped = true
}

// Write, Close and Fd make a terminal of it for the library, which sets the modes of Fd.
func (k *keyboard) Write(b []byte) (int, error) { return k.file.Write(b) }

// Close does nothing: the file belongs to the caller of [Run].
func (*keyboard) Close() error { return nil }

// Fd returns the descriptor of the terminal.
func (k *keyboard) Fd() uintptr { return uintptr(k.fd) }
