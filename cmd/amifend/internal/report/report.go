// Package report counts the failed attempts in recordings by source. It replaces the one-liner
// that greps a log, cuts out the address, sorts and counts.
//
// Like the policy engine it counts attempts, not events. It also counts the attempts after a ban,
// since a PBX without protection gets all of them. The verdict is that of the daemon, had it run.
// The memory is bounded: see tally.
package report

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/recording"
)

// Format is the format of a report.
type Format string

// The formats.
const (
	FormatText Format = "text"
	FormatJSON Format = "json" // one object, with the error if there is one
	FormatCSV  Format = "csv"  // the notes go to Options.Notes
)

// Options are the options of Run.
type Options struct {
	Config   *config.Config // its policy, allowlist and servers count
	Files    []string
	Format   Format
	Limit    int            // the largest number of sources to write; 0: all
	Location *time.Location // of time stamps, in logs and for people; nil: the system's
	Notes    io.Writer      // for notes that the format has no place for; nil: nowhere
	Progress io.Writer      // where a progress bar is drawn; nil: nowhere
}

// PartError is the error of files that could not be read to their end. What could be read is
// reported all the same, in JSON with the error.
type PartError struct{ Err error }

func (e *PartError) Error() string { return e.Err.Error() }
func (e *PartError) Unwrap() error { return e.Err }

// Run reads the files and writes the report to out. An error in a file is returned as a [PartError]
// after the report of all that could be read.
func Run(ctx context.Context, o Options, out io.Writer) error {
	if o.Location == nil {
		o.Location = time.Local
	}

	// Open the files first, because a wrong name is the most common mistake.
	set, err := recording.Open(o.Files, recording.Options{Location: o.Location})
	if err != nil {
		return err
	}
	defer set.Close()

	t, err := newTally(o.Config)
	if err != nil {
		return fmt.Errorf("set up the policy: %w", err)
	}

	// The bar is removed before anything else is written.
	stop := recording.ShowProgress(o.Progress, set)
	playErr := set.Play(ctx, t.play)
	stop()
	if errors.Is(playErr, context.Canceled) {
		return playErr
	}

	// What could be read is reported even if a file could not be read to its end.
	if err := write(o, t.finish(), set.Notes(), playErr, out); err != nil {
		return errors.Join(playErr, err)
	}
	if playErr != nil {
		return &PartError{playErr}
	}
	return nil
}
