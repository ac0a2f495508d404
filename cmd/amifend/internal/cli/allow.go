package cli

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// Allow is `amifend allow`.
type Allow struct {
	daemonFlags
	List bool `help:"Print who is never banned, and why."`
}

// Validate is called by kong.
func (c *Allow) Validate() error {
	if !c.List {
		return fmt.Errorf("write --list")
	}
	return nil
}

// Run asks.
func (c *Allow) Run(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	l, err := client.Allowed(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(l)
	}
	lines := []string{"PREFIX\tENDS IN\tNEVER BANNED BECAUSE"}
	for _, e := range l.Entries {
		lines = append(lines, allowLine(e, time.Now()))
	}
	return columns(os.Stdout, lines)
}

func allowLine(e control.Allowed, now time.Time) string {
	ends := "-"
	if !e.Until.IsZero() {
		ends = rough(e.Until.Sub(now))
	}
	return who(e.Prefix) + "\t" + ends + "\t" + e.Reason
}
