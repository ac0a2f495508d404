package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// Undo is `amifend undo`.
type Undo struct {
	daemonFlags
	DryRun bool `help:"Only show what would be undone."`
}

// Help returns the detailed help.
func (*Undo) Help() string {
	return `Examples:

    amifend undo --dry-run
    amifend undo

Undoes your own last ban, unban, allow, allow --remove, deny add or deny remove of the last hour, with
all addresses of that command. Bans that it lifted or replaced come back for the time that they had
left, as bans by operator. A second undo undoes the command before.

Who you are is what the kernel says: whoever uses sudo is root. unban --all, import and reload cannot
be undone, and nothing can after a restart of amifend.`
}

// Run undoes.
func (c *Undo) Run(ctx context.Context, on screen.Screen) error {
	client, err := c.client()
	if err != nil {
		return err
	}

	do, verb := client.Undo, "undone"
	if c.DryRun {
		do, verb = client.LastCommand, "would be undone"
	}
	u, err := do(ctx)
	if err != nil {
		return err
	}

	failed := undoError(u)
	switch {
	case c.JSON && failed != nil:
		return printFailedJSON(u, failed, undoNotes(u)...)
	case c.JSON:
		return printJSON(u, undoNotes(u)...)
	}

	if _, err := fmt.Println(on.Wrap(undoneText(u, verb))); err != nil {
		return err
	}
	return failed
}

// undoError returns the error of the first change that could not be undone.
func undoError(u control.Undone) error {
	for _, c := range u.Changes {
		if c.Error != nil {
			return c.Error
		}
	}
	return nil
}

// undoNotes returns the notes of all changes.
func undoNotes(u control.Undone) (notes []string) {
	for _, c := range u.Changes {
		notes = append(notes, c.Note)
	}
	return notes
}

// undoneText returns what was undone, for people.
func undoneText(u control.Undone, verb string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s: %s of %s", verb, commandName(u.What), u.At.Local().Format(stamp))
	for _, c := range u.Changes {
		text.WriteString("\n  " + c.Object)
		if c.Error != nil {
			text.WriteString(": not undone, see below")
		}
		if c.Restored > 0 {
			kind := "ban"
			if c.Observed {
				kind = "would-be ban"
			}
			text.WriteString(": " + wording.Count(c.Restored, kind) + " put back")
		}
		if c.Note != "" {
			text.WriteString("\n    " + c.Note)
		}
	}
	return text.String()
}

// commandName returns the command line of an operation.
func commandName(what string) string {
	switch what {
	case "disallow":
		return "allow --remove"
	case "deny":
		return "deny add"
	case "undeny":
		return "deny remove"
	}
	return what
}
