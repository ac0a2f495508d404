package cli

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/check"
)

// Check is `amifend check`.
type Check struct {
	configFlag
	Offline   bool          `xor:"offline" help:"Check the config alone: connect to nothing."`
	PBXConfig string        `xor:"offline" name:"pbx-config" placeholder:"DIR" help:"Read the trunks from Asterisk's config files in DIR (or from the output of its command line on stdin, with -) and print the [allow] lines to paste."`
	Wait      time.Duration `default:"2s" help:"How long to listen to every PBX (${default})."`
}

// Validate refuses to wait for somebody to type what Asterisk should print; kong calls it.
func (c *Check) Validate() error {
	if c.PBXConfig != "-" {
		return nil
	}
	if st, err := os.Stdin.Stat(); err == nil && st.Mode()&os.ModeCharDevice != 0 {
		return errors.New("--pbx-config - reads what Asterisk's command line printed: pipe it in " +
			"(amifend check without --pbx-config tells how)")
	}
	return nil
}

// Run checks, and writes what it found to standard output.
func (c *Check) Run(ctx context.Context) error {
	loaded, err := c.load()
	if err != nil {
		return err
	}

	ok, err := check.Run(ctx, check.Options{
		Config: loaded, Path: c.Config, Out: os.Stdout,
		Offline: c.Offline, Wait: c.Wait, PBXConfig: c.PBXConfig, Stdin: os.Stdin,
	})
	if err != nil {
		return err
	}
	if !ok {
		return ErrTold
	}

	return nil
}
