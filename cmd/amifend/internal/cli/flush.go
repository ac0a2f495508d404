package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/firewall"
)

// Flush is `amifend flush`.
type Flush struct {
	Kernel bool   `hidden:"" help:"${flushKernelHelp}"`
	Config string `placeholder:"FILE" type:"path" help:"${flushConfigHelp}"`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Help returns the detailed help.
func (*Flush) Help() string {
	return `For emergencies: it needs root, but no daemon. Stop the daemon first. The bans and the
deny lists come back when the daemon starts again. To lift bans for good, use amifend unban.

    systemctl stop amifend
    amifend flush`
}

// Run removes the table.
func (c *Flush) Run(ctx context.Context) error {
	path := c.Config
	if path == "" {
		path = defaultConfig
	}

	// The name of the table is enough, so the rest of the config may be broken.
	name, err := config.FindTable(path, c.Config == "")
	if err != nil && !IsUsage(err) {
		return unreadable(path, err, "use sudo")
	}
	if err != nil {
		return err
	}

	// A running daemon would put the table back at once.
	lock, err := firewall.Lock(name)
	if errors.Is(err, firewall.ErrLocked) {
		return control.Errorf(control.CodeFailed, "%s", err).
			Advise("it would put the table back: systemctl stop amifend, then try again")
	}

	if err != nil {
		return err
	}
	defer lock.Close()

	// With the lock, nobody lays the table out again meanwhile.
	t, err := firewall.Open(firewall.Options{Table: name})
	if err != nil {
		return err
	}
	defer t.Close()

	removed, err := t.Remove(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(flushed{name, removed})
	}

	// A missing table is what the user wanted, so it is not an error.
	text := "table inet " + name + " is gone, and no packet is dropped by amifend any more"
	if !removed {
		text = "there is no table inet " + name
	}

	_, err = fmt.Println(text)
	return err
}

// flushed is the result of a flush, in JSON.
type flushed struct {
	Table   string `json:"table"`
	Removed bool   `json:"removed"` // false: there was none
}
