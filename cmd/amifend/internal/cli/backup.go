package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// Backup is `amifend backup`.
type Backup struct {
	configFlag
	File string `arg:"" type:"path" help:"A file that does not exist yet."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Help returns the detailed help.
func (*Backup) Help() string {
	return `The file holds the bans, what operators allowed and lifted, the alerts, and the scores
of one moment. Like the journal, it is an SQLite database, which you can query. It is checked
before the command ends. Only its owner can read it. A daemon that runs goes on banning meanwhile,
and needs room for a second copy beside its journal.

    amifend backup /var/backups/amifend-$(date +%F).db

amifend restore FILE puts it back.`
}

// Run writes and checks the file.
func (c *Backup) Run(ctx context.Context) error {
	o, err := c.journal()
	if err != nil {
		return err
	}

	// A daemon that runs has the journal for itself, and makes the copy.
	err = c.receive(ctx)
	var answer *control.Error
	if errors.As(err, &answer) && answer.Code == control.CodeNotRunning || IsUsage(err) {
		answer, err = nil, journal.Backup(ctx, o, c.File)
	}

	switch {
	case answer != nil:
		return answer
	case errors.Is(err, journal.ErrInUse):
		return failedOn(err, "if it is amifend, wait until it has started; if not, end it")
	case err != nil:
		return failedOn(err, "use sudo, and name a file that does not exist yet")
	}
	return printCopy(ctx, o, c.File, "is written to", c.JSON)
}

// receive asks the daemon for a copy of its journal, and writes it to the file. A config without a
// control socket gives a usage error.
func (c *Backup) receive(ctx context.Context) error {
	client, err := daemonFlags{Config: c.Config}.client()
	if err != nil {
		return err
	}

	return journal.Receive(c.File, func(w io.Writer) error { return client.Backup(ctx, w) })
}

// Restore is `amifend restore`.
type Restore struct {
	configFlag
	File string `arg:"" type:"existingfile" help:"A file of amifend backup."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Help returns the detailed help.
func (*Restore) Help() string {
	return `Stop the daemon first. The file is checked before anything changes, and the old journal
is kept beside the new one. When the daemon starts, it takes over bans that only the kernel has,
and removes those that are lifted in the restored journal.

    systemctl stop amifend
    amifend restore /var/backups/amifend-2026-11-28.db
    systemctl start amifend`
}

// Run checks the file, and puts it in place.
func (c *Restore) Run(ctx context.Context) error {
	o, err := c.journal()
	if err != nil {
		return err
	}

	aside, err := journal.Restore(ctx, o, c.File)
	switch {
	case errors.Is(err, journal.ErrLocked):
		return failedOn(err, "systemctl stop amifend, then try again")
	case err != nil:
		return failedOn(err, "use sudo, or another backup")
	}
	note := ""
	if aside != "" {
		note = "the journal that was there is kept as " + aside
	}
	if note != "" && !c.JSON {
		fmt.Println(note)
	}
	return printCopy(ctx, o, c.File, "is restored from", c.JSON, note)
}

// journal returns the options of the journal that the config names.
func (f configFlag) journal() (journal.Options, error) {
	c, err := f.load("use sudo")
	if err != nil {
		return journal.Options{}, err
	}
	if c.State.Directory == "" {
		return journal.Options{}, &config.Error{File: f.Config, Problems: []config.Problem{{
			Text: "there is no journal: [state] directory is empty",
		}}}
	}

	// A dry run and a daemon that bans have different journals.
	return journal.Options{
		Directory: c.State.Directory, Observed: c.Dry(), Table: c.Firewall.Table,
	}, nil
}

// copied is the result of a backup or of a restore, in JSON.
type copied struct {
	File    string    `json:"file"`
	Bans    int       `json:"bans"`    // running bans, and lifted ones that are remembered
	Allowed int       `json:"allowed"` // prefixes and names that operators allowed
	Written time.Time `json:"written"`
}

// printCopy prints the contents of a file in numbers.
func printCopy(
	ctx context.Context, o journal.Options, file, verb string, asJSON bool, notes ...string,
) error {
	got, err := journal.Check(ctx, o, file)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(copied{file, got.Bans, got.Allowed, got.Written}, notes...)
	}

	_, err = fmt.Printf("the journal %s %s: %s, %s, as of %s\n", verb, filepath.Clean(file),
		wording.Count(got.Bans, "ban"), wording.Count(got.Allowed, "allowance"),
		got.Written.Local().Format(stamp))
	return err
}

// failedOn returns an error of the journal with advice.
func failedOn(err error, do string) error {
	if errors.Is(err, fs.ErrNotExist) {
		do = "look at [state] directory in the config, and at the name of the file"
	}
	return control.Errorf(control.CodeFailed, "%s", err).Advise("%s", do)
}
