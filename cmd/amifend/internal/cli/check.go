package cli

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/check"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
)

// Check is `amifend check`.
type Check struct {
	configFlag
	Offline   bool          `xor:"offline" help:"Check only the config, without any connection."`
	PBXConfig string        `xor:"offline" name:"pbx-config" placeholder:"DIR" help:"${checkPBXHelp}"`
	JSON      bool          `name:"json" help:"Print JSON."`
	Wait      time.Duration `default:"2s" help:"How long to listen to each PBX (${default})."`
}

// Validate is called by kong. It refuses a terminal in place of Asterisk's output.
func (c *Check) Validate() error {
	if c.PBXConfig != "-" {
		return nil
	}
	if st, err := os.Stdin.Stat(); err == nil && st.Mode()&os.ModeCharDevice != 0 {
		return errors.New("--pbx-config - reads what Asterisk's command line printed: pipe it in " +
			"(amifend check without --pbx-config shows how)")
	}
	return nil
}

// Run checks, and writes the findings to standard output.
func (c *Check) Run(ctx context.Context, on screen.Screen) error {
	loaded, err := c.load("use sudo")
	if err != nil {
		return err
	}

	ok, err := check.Run(ctx, check.Options{
		Config: loaded, Path: c.Config, Out: os.Stdout,
		Offline: c.Offline, Wait: c.Wait, PBXConfig: c.PBXConfig, Stdin: os.Stdin,
		JSON: c.JSON, Screen: on, Progress: terminal(os.Stderr),
	})
	if err != nil {
		return err
	}
	if !ok {
		return ErrTold
	}

	return nil
}
