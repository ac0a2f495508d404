package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/demo"
)

// Demo is `amifend demo`.
type Demo struct {
	For time.Duration `default:"60s" placeholder:"TIME" help:"How long it takes (${default})."`
	Log string        `placeholder:"FILE" type:"path" help:"Write the daemon's own log to FILE."`
}

// Validate is called by kong.
func (d *Demo) Validate() error {
	if d.For < demo.Shortest || d.For > demo.Longest {
		return fmt.Errorf("--for %v is out of range: write a time from %v to %v", d.For,
			demo.Shortest, demo.Longest)
	}
	return nil
}

// Run plays the demo.
func (d *Demo) Run(ctx context.Context) error {
	again := []string{"demo", "--for", d.For.String()}
	if d.Log != "" {
		again = append(again, "--log", d.Log)
	}

	err := demo.Run(ctx, demo.Options{For: d.For, Out: os.Stdout, Log: d.Log, Args: again})
	if errors.Is(err, demo.ErrFailed) {
		return ErrTold
	}
	return err
}
