package cli

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// Notify is `amifend notify`.
type Notify struct {
	daemonFlags
	Test bool   `help:"Send a test message, and wait until the target has it."`
	Name string `arg:"" optional:"" help:"A target, by its name in the config. All if it is missing."`
}

// Help returns the detailed help.
func (*Notify) Help() string {
	return `Without --test: what waits for each target, and why it did not take the last message.
The daemon sends the test, with its own rights, network and config: what it can reach counts. The
answer of a target is never shown, since it may repeat the token. docs/notify.md explains the targets.

    amifend notify --test
    amifend notify --test mail`
}

// Run lists the targets, or tests them.
func (c *Notify) Run(ctx context.Context, on screen.Screen) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	if c.Test {
		return c.test(ctx, on, client)
	}

	t, err := client.NotifyTargets(ctx)
	if err != nil {
		return err
	}
	t.Targets = named(t.Targets, c.Name)
	switch {
	case c.JSON:
		return printJSON(t)
	case len(t.Targets) == 0 && c.Name != "":
		return usageError("the config in force has no [[notify]] of that name")
	case len(t.Targets) == 0:
		_, err := fmt.Println("no targets: the config in force has no [[notify]]")
		return err
	}
	return columns(os.Stdout, on, notifyLines(t.Targets))
}

// test sends a test message. A target that does not take it makes the command fail.
func (c *Notify) test(ctx context.Context, on screen.Screen, client *control.Client) error {
	t, err := client.TestNotify(ctx, control.TestNotify{Name: c.Name})
	if err != nil {
		return err
	}

	failed := 0
	var lines []string
	for _, r := range t.Results {
		outcome := "delivered"
		if r.Problem != "" {
			outcome = "not delivered: " + r.Problem
			failed++
		}
		lines = append(lines, r.Name+"\t"+r.Service+"\t"+outcome)
	}

	undelivered := fmt.Errorf("%s did not take the message", wording.Count(failed, "target"))
	switch {
	case c.JSON && failed > 0:
		return printFailedJSON(t, undelivered)
	case c.JSON:
		return printJSON(t)
	}

	err = columns(os.Stdout, on, lines)
	if err == nil && failed > 0 {
		return toldError{undelivered}
	}
	return err
}

// named returns the targets of a name; all for "".
func named(all []control.NotifyTarget, name string) (out []control.NotifyTarget) {
	for _, t := range all {
		if name == "" || t.Name == name {
			out = append(out, t)
		}
	}
	return out
}

// notifyLines returns the table of targets.
func notifyLines(targets []control.NotifyTarget) []string {
	lines := []string{"NAME\tSERVICE\tWAITING\tGATHERED\tLAST DELIVERED\tSTATE"}
	for _, t := range targets {
		last := "-"
		if !t.Last.IsZero() {
			last = t.Last.Local().Format("2006-01-02 15:04:05")
		}
		state := "ok"
		if t.Problem != "" {
			state = t.Problem + "; again at " + t.Retry.Local().Format("15:04:05")
		}
		if t.Dropped > 0 {
			state += "; " + strconv.Itoa(t.Dropped) + " given up"
		}
		lines = append(lines, fmt.Sprintf("%s\t%s\t%d\t%d\t%s\t%s", t.Name, t.Service, t.Waiting,
			t.Gathered, last, state))
	}
	return lines
}
