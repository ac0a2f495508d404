package live

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// seat is the side of a terminal where a person sits.
type seat struct {
	master, program *os.File
	gone            atomic.Bool // the daemon
	mu              sync.Mutex
	text            bytes.Buffer
}

func newSeat(t *testing.T) *seat {
	t.Helper()
	t.Setenv("TERM", "xterm")
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &seat{master: os.NewFile(uintptr(fd), "/dev/ptmx")}
	t.Cleanup(func() { s.master.Close() })

	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	s.program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.program.Close() })
	go func() { _, _ = io.Copy(s, s.master) }() // it ends with the terminal
	return s
}

// Write takes what the program prints.
func (s *seat) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *seat) shown() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// await waits until the program has printed a text.
func (s *seat) await(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !strings.Contains(s.shown(), text); {
		if time.Now().After(end) {
			t.Fatalf("the terminal does not show %q:\n%q", text, s.shown())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// modes returns the modes of the terminal.
func (s *seat) modes(t *testing.T) unix.Termios {
	t.Helper()
	m, err := unix.IoctlGetTermios(int(s.program.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *m
}

// leave ends the second screen of the terminal.
const leave = "\x1b[?1049l"

// However the screen ends, the terminal is as it was before.
func TestTerminalIsRestored(t *testing.T) {
	for name, tt := range map[string]struct {
		end   func(s *seat, cancel func())
		fails bool
	}{
		"quit":   {func(s *seat, _ func()) { _, _ = s.master.WriteString("q") }, false},
		"signal": {func(_ *seat, cancel func()) { cancel() }, false},
		"panic":  {func(s *seat, _ func()) { _, _ = s.master.WriteString("uy") }, true},
		"daemon gone": {func(s *seat, _ func()) {
			s.gone.Store(true)
			s.await(t, "no such socket")
			_, _ = s.master.WriteString("q")
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSeat(t)
			before := s.modes(t)
			d := (&desk{}).daemon()
			d.Look = func(context.Context, int) (control.Live, error) {
				if s.gone.Load() {
					return control.Live{}, errors.New("no such socket")
				}
				return hour(0), nil
			}
			d.Unban = nil // to call it panics
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()

			ended := make(chan error, 1)
			go func() { ended <- Run(ctx, Options{In: s.program, Out: s.program, Daemon: d}) }()
			s.await(t, "203.0.113.57")
			if s.modes(t) == before {
				t.Error("the terminal still waits for whole lines")
			}
			tt.end(s, cancel)

			select {
			case err := <-ended:
				if (err != nil) != tt.fails {
					t.Errorf("it ended with %v", err)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("it does not end")
			}
			s.await(t, leave)
			s.await(t, "\x1b[?25h") // the cursor
			if after := s.modes(t); after != before {
				t.Errorf("the modes are %+v, and were %+v", after, before)
			}

			// What is typed now is for the shell.
			if _, err := s.master.WriteString("ls\n"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * keyTime)
			line := make([]byte, 10)
			if n, err := s.program.Read(line); string(line[:n]) != "ls\n" {
				t.Errorf("the shell reads %q, %v", line[:n], err)
			}
		})
	}
}
