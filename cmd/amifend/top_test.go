package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// window is a terminal with a program in it.
type window struct {
	master  *os.File
	program *os.File
	cmd     *exec.Cmd

	mu   sync.Mutex
	text bytes.Buffer
}

// openWindow runs a program in a terminal of 80 columns and 24 lines.
func openWindow(t *testing.T, name string, args ...string) *window {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	w := &window{master: os.NewFile(uintptr(fd), "/dev/ptmx")}
	t.Cleanup(func() { w.master.Close() })

	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	w.resize(t, 80, 24)
	w.program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.program.Close() })
	go func() { _, _ = io.Copy(w, w.master) }() // it ends with the terminal

	// The terminal belongs to the program, so that the kernel reports new sizes to it.
	w.cmd = exec.CommandContext(t.Context(), name, args...)
	w.cmd.Stdin, w.cmd.Stdout, w.cmd.Stderr = w.program, w.program, w.program
	w.cmd.Env = append(os.Environ(), "TERM=xterm", "TZ=UTC", "LC_ALL=C.UTF-8")
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return w
}

// Write takes what the program prints.
func (w *window) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(b)
}

// await waits until the program has printed a text, and forgets what it printed.
func (w *window) await(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		w.mu.Lock()
		shown := w.text.String()
		if strings.Contains(shown, text) {
			w.text.Reset()
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
		if time.Now().After(end) {
			t.Fatalf("the terminal does not show %q:\n%q", text, shown)
		}
	}
}

func (w *window) press(t *testing.T, keys string) {
	t.Helper()
	if _, err := w.master.WriteString(keys); err != nil {
		t.Fatal(err)
	}
}

func (w *window) resize(t *testing.T, width, height uint16) {
	t.Helper()
	err := unix.IoctlSetWinsize(int(w.master.Fd()), unix.TIOCSWINSZ,
		&unix.Winsize{Row: height, Col: width})
	if err != nil {
		t.Fatal(err)
	}
}

// restored waits for the end of the program, and checks that the terminal is as it was before.
func (w *window) restored(t *testing.T, before unix.Termios) {
	t.Helper()
	if err := w.cmd.Wait(); err != nil {
		t.Errorf("the command failed: %v", err)
	}
	w.await(t, "\x1b[?1049l") // the terminal's first screen is back
	if after := w.modes(t); after != before {
		t.Errorf("the modes are %+v, and were %+v", after, before)
	}
}

func (w *window) modes(t *testing.T) unix.Termios {
	t.Helper()
	m, err := unix.IoctlGetTermios(int(w.program.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *m
}

// The live screen as a user has it: sizes, keys, a daemon that goes and comes, and each end.
func TestLiveScreen(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, socket := filepath.Join(dir, "amifend"), filepath.Join(dir, "s.sock")
	if err := os.Symlink(self, program); err != nil {
		t.Fatal(err)
	}
	pbx := amitest.Run(t, amitest.Config{Username: "amifend", Secret: "right"})
	conf := filepath.Join(dir, "c.toml")
	text := fmt.Sprintf("[[server]]\nname = \"office\"\naddress = %q\nusername = \"amifend\"\n"+
		"secret = \"right\"\n[firewall]\nbackend = \"log\"\n[state]\ndirectory = %q\n"+
		"[control]\nsocket = %q\n", pbx.Addr(), filepath.Join(dir, "state"), socket)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	stop := runDaemon(t, program, conf, socket)

	// An attacker whose name for an account would empty the screen.
	peer := amitest.NewPeer("203.0.113.5:5060")
	peer.Transport = "TCP"
	for range 5 {
		pbx.Emit(peer.GuessAccount("\x1b[2Jnobody")...)
	}

	w := openWindow(t, program, "top", "--socket", socket)
	w.await(t, `\x1b[2Jnobody`)
	w.press(t, "e")
	w.await(t, "203.0.113.5 would be banned until") // nobody is banned: the config says so
	w.press(t, "q")
	w.resize(t, 200, 60)
	w.await(t, "SEVERITY")
	w.resize(t, 40, 10)
	w.await(t, "SOURCES")
	w.press(t, "u")
	w.await(t, "would be the bans of")
	w.press(t, "y")
	w.await(t, "would no longer be")

	// The daemon goes, and comes again.
	stop()
	w.press(t, "q")
	w.resize(t, 100, 24)
	w.await(t, "connection lost, trying again")
	stop = runDaemon(t, program, conf, socket)
	defer stop()
	w.await(t, " UTC")
	w.press(t, "q")
	w.restored(t, restOf(t))

	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT} {
		w := openWindow(t, program, "top", "--socket", socket)
		w.await(t, "SOURCES")
		if err := w.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		w.restored(t, restOf(t))
	}
}

// restOf returns the modes of a terminal that no program has changed.
func restOf(t *testing.T) unix.Termios {
	t.Helper()
	w := openWindow(t, "true")
	if err := w.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return w.modes(t)
}

// runDaemon runs a daemon until stop is called, and waits until it answers.
func runDaemon(t *testing.T, program, conf, socket string) (stop func()) {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program, "run", "--config", conf)
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(os.Interrupt) // else it is gone already
		if err := cmd.Wait(); err != nil {
			t.Errorf("the daemon: %v\n%s", err, said.String())
		}
	})
	t.Cleanup(stop)

	c := control.NewClient(socket)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		s, err := c.Status(t.Context())
		if err == nil && s.Servers[0].Connected {
			return stop
		}
		if time.Now().After(end) {
			t.Fatalf("the daemon does not answer: %v\n%s", errors.Join(err), said.String())
		}
	}
}
