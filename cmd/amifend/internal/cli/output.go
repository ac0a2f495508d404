package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/alecthomas/kong"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/envelope"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
)

// ErrTold is returned by a command that failed and has printed the reason.
var ErrTold = errors.New("failed")

// toldError is an error that is printed already. The exit code is that of the error in it.
type toldError struct{ err error }

func (e toldError) Error() string        { return e.err.Error() }
func (e toldError) Unwrap() error        { return e.err }
func (e toldError) Is(target error) bool { return target == ErrTold }

// printJSON prints the result of a command that did its work. Each command with a flag --json
// prints its result by printJSON, and returns its errors: main prints those in the same form.
func printJSON(data any, warnings ...string) error {
	return envelope.New(data, warnings...).Write(os.Stdout)
}

// printFailedJSON prints the result of a command that failed in part. It returns an error that has
// the exit code of err.
func printFailedJSON(data any, err error, warnings ...string) error {
	if printed := envelope.New(data, warnings...).Failed(err).Write(os.Stdout); printed != nil {
		return printed
	}
	return toldError{err}
}

// printLines prints each item of a list as a JSON object in one line.
func printLines[T any](w io.Writer, items []T) error {
	for _, item := range items {
		if err := envelope.New(item).WriteLine(w); err != nil {
			return err
		}
	}
	return nil
}

// WantsJSON reports whether a command line asks for JSON. command is nil if the command line could
// not be read, which must be told as JSON too.
func WantsJSON(command *kong.Context, args []string) bool {
	if command != nil {
		return slices.ContainsFunc(command.Flags(), func(f *kong.Flag) bool {
			return f.Name == "json" && f.Target.Bool() ||
				f.Name == "format" && fmt.Sprint(f.Target.Interface()) == "json"
		})
	}

	for i, a := range args {
		switch {
		case a == "--":
			return false
		case a == "--json", a == "--format=json",
			a == "json" && i > 0 && args[i-1] == "--format":
			return true
		}
	}
	return false
}

// PrintError prints the error of a command: on standard output as JSON if asJSON is set, otherwise
// on standard error for people.
func PrintError(err error, asJSON bool, color screen.When) {
	if asJSON {
		// In one line, since it may be the last item of a list.
		_ = envelope.New(nil).Failed(err).WriteLine(os.Stdout)
		return
	}

	on := screen.Of(os.Stderr, color, os.Getenv)
	fmt.Fprintln(os.Stderr, on.Wrap(on.Style(screen.Bad, "amifend:")+" "+Text(err)))
}

// Text returns an error for people. The advice, if there is any, has a line of its own.
func Text(err error) string {
	var e *control.Error
	if errors.As(err, &e) && e.Do != "" {
		return err.Error() + "\n  do: " + e.Do
	}
	return err.Error()
}

// result is what a command did for one of several addresses.
type result struct {
	data    any    // as JSON, also after an error
	text    string // for people
	warning string // for programs; people have it in the text
}

// results is the JSON of a command for several addresses.
type results struct {
	Results []any `json:"results"` // in the order of the command line
}

// each calls f for each of all, and prints the results. After an error it goes on with the next.
func each[T any](
	all []T, asJSON bool, on screen.Screen, f func(T) (result, error),
) error {
	list := results{Results: []any{}}
	var warnings []string
	var failures []error
	color := screen.Never // as on standard output
	if on.Colour {
		color = screen.Auto
	}

	for _, one := range all {
		r, err := f(one)
		list.Results = append(list.Results, r.data)
		warnings = append(warnings, r.warning)

		// People see each result at once.
		switch {
		case err != nil:
			failures = append(failures, err)
			if !asJSON && len(all) > 1 {
				PrintError(err, false, color)
			}
		case !asJSON:
			fmt.Println(on.Wrap(r.text))
		}
	}

	failed := joined(failures, len(all))
	switch {
	case asJSON && failed != nil:
		return printFailedJSON(list, failed, warnings...)
	case asJSON:
		return printJSON(list, warnings...)
	case failed != nil && len(all) > 1:
		return toldError{failed}
	}
	return failed
}

// joined returns one error for the failures of a command for several addresses.
func joined(failures []error, all int) error {
	switch {
	case len(failures) == 0:
		return nil
	case all == 1:
		return failures[0]
	}

	// The code is that of the first, and each result has its own.
	code := control.CodeOf(failures[0])
	if code == "" {
		code = control.CodeFailed
	}
	return control.Errorf(code, "%d of %d failed; the first: %s", len(failures), all, failures[0])
}

// controlError returns err as an error of the API, for a field of JSON.
func controlError(err error) *control.Error { return envelope.New(nil).Failed(err).Error }
