// Package report counts the failed attempts in recordings by their source: the successor of the
// one-liner that greps a log, cuts out the address, sorts and counts.
//
// It counts attempts, as the policy engine does, not events, and it counts those after a ban too:
// that is what a PBX without protection has to bear. The verdict is the daemon's, had it run. Its
// memory is bounded: see tally.
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

// Format is how a report is written.
type Format string

// The formats.
const (
	FormatText Format = "text"
	FormatJSON Format = "json" // an object a line for each source, then one for each note
	FormatCSV  Format = "csv"  // the notes go to Options.Notes
)

// Options are what Run needs.
type Options struct {
	Config   *config.Config // its policy, allowlist and servers count
	Files    []string
	Format   Format
	Limit    int            // how many sources are written at most; 0: all
	Location *time.Location // of time stamps, in logs and for people; nil: the system's
	Notes    io.Writer      // for notes that the format has no place for; nil: nowhere
	Progress io.Writer      // where a progress bar is drawn; nil: nowhere
}

// Run reads the files and writes the report. An error in a file is returned after what could be
// read was told.
func Run(ctx context.Context, o Options, out io.Writer) error {
	if o.Location == nil {
		o.Location = time.Local
	}
	set, err := recording.Open(o.Files, recording.Options{Location: o.Location})
	if err != nil {
		return err
	}
	defer set.Close()
	t, err := newTally(o.Config)
	if err != nil {
		return fmt.Errorf("set up the policy: %w", err)
	}

	stop := recording.ShowProgress(o.Progress, set)
	playErr := set.Play(ctx, t.play)
	stop()
	if errors.Is(playErr, context.Canceled) {
		return playErr
	}
	return errors.Join(playErr, write(o, t.finish(), set.Notes(), out))
}
