package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"charm.land/huh/v2"
	"golang.org/x/sys/unix"
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
	in := &formInput{File: a.in}
	defer in.ended.Store(true)

	form := huh.NewForm(huh.NewGroup(field)).WithAccessible(a.plain).WithInput(in).WithOutput(a.out)
	err := form.Run()
	if errors.Is(err, huh.ErrUserAborted) {
		return errInterrupted
	}
	return err
}

// formInput is the terminal as one form reads it. The reader of a form may outlive it (bubbletea
// v2.0.2 closes it while it waits), and would take the first key away from the next form.
type formInput struct {
	*os.File
	ended atomic.Bool
}

// Read reads from the terminal, unless the form has ended.
func (f *formInput) Read(b []byte) (int, error) {
	if f.ended.Load() {
		return 0, io.EOF
	}
	return f.File.Read(b)
}

// isTerminal reports whether a person can be asked.
func isTerminal() bool {
	for _, f := range []*os.File{os.Stdin, os.Stdout} {
		if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err != nil {
			return false
		}
	}
	return true
}
