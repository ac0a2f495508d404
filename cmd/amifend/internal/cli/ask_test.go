package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// person is the side of a terminal where a person sits.
type person struct {
	master *os.File
	mu     sync.Mutex
	text   bytes.Buffer
}

// newScreen makes a terminal of 24 lines of 80 columns, and returns it and the side of the program.
func newScreen(t *testing.T) (*person, *os.File) {
	t.Helper()
	// Without it the program may wait for what only a real terminal answers.
	t.Setenv("TERM", "xterm")
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	master := os.NewFile(uintptr(fd), "/dev/ptmx")
	t.Cleanup(func() { master.Close() })

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
	program, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })

	s := &person{master: master}
	go func() { _, _ = io.Copy(s, master) }() // it ends with the terminal
	return s, program
}

// Write takes what the program prints.
func (s *person) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

// await waits until the program has printed a text. Without it, it ends the program's question.
func (s *person) await(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		s.mu.Lock()
		shown := s.text.String()
		s.mu.Unlock()
		if strings.Contains(shown, text) {
			return
		}
		if time.Now().After(end) {
			t.Errorf("the terminal does not show %q:\n%q", text, shown)
			s.press(t, "\x03")
			return
		}
	}
}

// press presses a key.
func (s *person) press(t *testing.T, key string) {
	t.Helper()
	if _, err := s.master.WriteString(key); err != nil {
		t.Error(err)
	}
}

// Each question gets its first key. The reader of a form that has ended does not take it away.
func TestKeysOfConsecutiveQuestions(t *testing.T) {
	s, program := newScreen(t)
	a := newAsker(program, program)

	for i := range 30 {
		question := fmt.Sprintf("question-%d?", i)
		done := make(chan error, 1)
		var ok bool
		go func() {
			var err error
			ok, err = a.Confirm(question, "", false)
			done <- err
		}()

		s.await(t, question)
		s.press(t, "y")
		select {
		case err := <-done:
			if err != nil || !ok {
				t.Fatalf("%s: %v, %v", question, ok, err)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: the key is lost", question)
		}
	}
}

// Enter gives the usual answer, and Ctrl-C none.
func TestUsualAnswer(t *testing.T) {
	s, program := newScreen(t)
	a := newAsker(program, program)

	for i, tt := range []struct {
		usual bool
		key   string
		want  bool
		err   error
	}{
		{true, "\r", true, nil},
		{false, "\r", false, nil},
		{true, "n", false, nil},
		{true, "\x03", false, errInterrupted},
	} {
		question := fmt.Sprintf("question-%d?", i)
		go func() {
			s.await(t, question)
			s.press(t, tt.key)
		}()
		if ok, err := a.Confirm(question, "", tt.usual); ok != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%d: %v, %v", i, ok, err)
		}
	}
}

// All lines of a choice are on the screen, and all are chosen at first.
func TestChoiceShowsItsLines(t *testing.T) {
	s, program := newScreen(t)
	lines := []string{"192.0.2.1  a trunk", "192.0.2.2  an office", "192.0.2.3  a session"}
	go func() {
		for _, line := range lines {
			s.await(t, line)
		}
		s.press(t, "\r")
	}()

	chosen, err := newAsker(program, program).Choose("Who?", "Some text.", lines)
	if err != nil || len(chosen) != len(lines) {
		t.Errorf("chosen %v, %v", chosen, err)
	}
}
