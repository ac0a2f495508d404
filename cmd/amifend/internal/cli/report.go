package cli

import (
	"context"
	"os"

	"github.com/amifend/amifend/cmd/amifend/internal/report"
)

// Report is `amifend report`.
type Report struct {
	pastFlags
	Format string   `enum:"text,json,csv" default:"text" help:"How to write it: text, json (an object a line), or csv."`
	Files  []string `arg:"" name:"file" type:"path" help:"Captures of AMI, or log files of Asterisk; packed ones too. Each is a server of its own."`
}

// Help is the detailed help.
func (*Report) Help() string {
	return `Attempts are counted, not events, and those behind a ban too. The verdict is what the daemon would have decided.

    amifend report /var/log/asterisk/security*
    amifend report --format csv /var/log/asterisk/messages* > attempts.csv`
}

// Run counts the failed attempts in recordings by their source.
func (r *Report) Run(ctx context.Context) error {
	o := report.Options{Files: r.Files, Format: report.Format(r.Format)}
	var err error
	if o.Config, _, err = r.load(); err != nil {
		return err
	}
	if o.Location, err = r.location(); err != nil {
		return err
	}
	return report.Run(ctx, o, os.Stdout)
}
