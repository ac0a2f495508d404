package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"charm.land/huh/v2"
	"golang.org/x/sys/unix"

	"github.com/amifend/amifend/cmd/amifend/internal/screen"
)

// asker asks the person at a terminal. It implements [setup.Asker].
type asker struct {
	in, out *os.File
	plain   bool // lines of text in place of drawn forms: for a dumb terminal or a screen reader
}

// errInterrupted is returned when the person interrupts a question.
var errInterrupted = errors.New("interrupted")

// newAsker returns an asker at a terminal. TERM=dumb, or a variable ACCESSIBLE, makes it plain.
func newAsker(in, out *os.File) *asker {
	return &asker{in, out, os.Getenv("TERM") == "dumb" || os.Getenv("ACCESSIBLE") != ""}
}

// Confirm asks a question that is answered by yes or no. usual is the answer of the Enter key.
func (a *asker) Confirm(title, text string, usual bool) (ok bool, err error) {
	if a.plain && text != "" {
		fmt.Fprintln(a.out, text) // a plain form leaves the description out
	}
	ok = usual
	err = a.run(huh.NewConfirm().Title(title).Description(text).Value(&ok))
	return ok && err == nil, err
}

// Input asks for a line of text.
func (a *asker) Input(title, text string, valid func(string) error) (line string, err error) {
	if a.plain {
		fmt.Fprintln(a.out, text)
	}
	err = a.run(huh.NewInput().Title(title).Description(text).Validate(valid).Value(&line))
	return line, err
}

// Choose asks which of some lines to take. All are chosen at first.
func (a *asker) Choose(title, text string, lines []string) (chosen []int, err error) {
	var options []huh.Option[int]
	for i, line := range lines {
		options = append(options, huh.NewOption(line, i).Selected(true))
		chosen = append(chosen, i)
	}
	if len(lines) > mostLines {
		text += fmt.Sprintf("\nThe first %d of %d lines; the arrow keys show more.", mostLines, len(lines))
	}

	// Without a height, huh shows the first line only.
	err = a.run(huh.NewMultiSelect[int]().Title(title).Description(text).Options(options...).
		Height(min(len(lines), mostLines) + 4).Value(&chosen))
	return chosen, err
}

// mostLines is how many lines of a choice are shown at once: a terminal may have no more than 24.
const mostLines = 12

// run shows one question, and waits for the answer.
func (a *asker) run(field huh.Field) error {
	in := &formInput{formTerminal: formTerminal{a.in, a.in.Fd()}}
	defer in.end()

	out := &formTerminal{a.out, a.out.Fd()}
	form := huh.NewForm(huh.NewGroup(field)).WithAccessible(a.plain).WithInput(in).WithOutput(out)
	err := form.Run()
	if errors.Is(err, huh.ErrUserAborted) {
		return errInterrupted
	}
	return err
}

// formInput is the terminal as one form reads it. The reader of a form outlives it, since bubbletea
// does not wait for it, and would take the first key away from the next form. So it reads only what
// is there, and nothing after the end of the form.
//
// It has no method Name: cancelreader would take it for a file then, and close its own descriptors
// while the reader still uses them (v0.2.2; the race detector reports it).
type formInput struct {
	formTerminal

	mu    sync.Mutex // the reader of the form, and whoever ends it
	ended bool
}

// keyPoll is how long the reader of a form waits for a key before it looks whether the form has
// ended.
const keyPoll = 20 * time.Millisecond

// Read waits for keys. It returns io.EOF once the form has ended.
func (f *formInput) Read(b []byte) (int, error) {
	for {
		n, done, err := f.read(b)
		if done || err != nil {
			return n, err
		}

		fds := []unix.PollFd{{Fd: int32(f.fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, int(keyPoll.Milliseconds())); err != nil &&
			!errors.Is(err, unix.EINTR) {
			return 0, os.NewSyscallError("poll", err)
		}
	}
}

// read reads the keys that are there. It reports whether there were any.
func (f *formInput) read(b []byte) (n int, done bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()

	if f.ended {
		return 0, true, io.EOF
	}
	fds := []unix.PollFd{{Fd: int32(f.fd), Events: unix.POLLIN}}
	if ready, err := unix.Poll(fds, 0); err != nil || ready == 0 {
		return 0, false, nil
	}
	n, err = f.file.Read(b)
	return n, true, err
}

// end keeps the reader of the form from taking more keys.
func (f *formInput) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
}

// formTerminal is a terminal as a form uses it. Goroutines of the form outlive it, so they must neither
// close the file nor ask it for its descriptor: it may be closed by then.
type formTerminal struct {
	file *os.File
	fd   uintptr
}

func (t *formTerminal) Read(b []byte) (int, error)  { return t.file.Read(b) }
func (t *formTerminal) Write(b []byte) (int, error) { return t.file.Write(b) }

// Close does nothing.
func (t *formTerminal) Close() error { return nil }

// Fd returns the descriptor of the terminal.
func (t *formTerminal) Fd() uintptr { return t.fd }

// canAsk reports whether a person can be asked.
func canAsk() bool { return screen.IsTerminal(os.Stdin) && screen.IsTerminal(os.Stdout) }
