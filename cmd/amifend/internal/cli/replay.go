package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/replay"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
	"github.com/amifend/amifend/policy"
)

// defaultConfig is the config of an installed daemon.
const defaultConfig = "/etc/amifend/config.toml"

// Replay is `amifend replay`.
type Replay struct {
	pastFlags
	Format  string   `enum:"text,json" default:"text" help:"The output: text, or json, one object a line."`
	Summary bool     `xor:"part" help:"${replaySummaryHelp}"`
	Explain string   `xor:"part" placeholder:"ADDR" help:"${replayExplainHelp}"`
	Files   []string `arg:"" name:"file" type:"path" help:"${replayFilesHelp}"`
}

// pastFlags holds the flags of the commands that read recordings.
type pastFlags struct {
	Config   string `placeholder:"FILE" type:"path" help:"${pastConfigHelp}"`
	Timezone string `placeholder:"ZONE" help:"${pastTimezoneHelp}"`
}

// Help returns the detailed help.
func (*Replay) Help() string {
	return `A capture of AMI holds every byte that a client received:

    { printf 'Action: Login\r\nUsername: U\r\nSecret: S\r\nEvents: security\r\n\r\n'; cat; } |
        nc 127.0.0.1 5038 > capture

A log is any file that Asterisk logs to, directly or through syslog, journald or docker. Two kinds
of lines are read: those of the security channel, and NOTICE and WARNING lines of PJSIP, chan_sip,
IAX2 and AMI that name a sender. A request with lines of both kinds counts once. Events under a ban
are left out, because the kernel would have dropped their packets. The order of files matters only
for events of the same time. Other files, and lines that cannot be trusted, are skipped with a
note.

    amifend replay /var/log/asterisk
    amifend replay --explain 203.0.113.5 /var/log/asterisk/messages*
    journalctl -u asterisk -o short-iso | amifend replay -`
}

// Run plays the recordings and prints each decision.
func (r *Replay) Run(ctx context.Context) error {
	o := replay.Options{
		Files: r.Files, Format: replay.Format(r.Format), Progress: terminal(os.Stderr),
		Summary: r.Summary,
	}
	var err error
	if r.Explain != "" {
		if o.Explain, err = netip.ParseAddr(r.Explain); err != nil {
			return usageError(fmt.Sprintf("--explain: %q is not an address", r.Explain))
		}
		o.Explain = o.Explain.Unmap().WithZone("")
	}

	if o.Config, o.ConfigName, err = r.load(); err != nil {
		return err
	}

	if o.Location, err = r.location(); err != nil {
		return err
	}

	return replay.Run(ctx, o, os.Stdout)
}

// terminal returns f if it is a terminal, else nil. A program that reads f must not see a progress
// bar.
func terminal(f *os.File) io.Writer {
	if !screen.IsTerminal(f) {
		return nil
	}
	return f
}

// usageError is a wrong command line.
type usageError string

func (e usageError) Error() string { return string(e) }

// load returns the config to judge by, and its name for people. The default file may be missing.
func (f *pastFlags) load() (*config.Config, string, error) {
	name := f.Config
	if name == "" {
		name = defaultConfig
	}

	c, err := config.LoadPolicy(name)
	if f.Config == "" && errors.Is(err, fs.ErrNotExist) {
		return &config.Config{Policy: policy.DefaultOptions()}, "the built-in defaults", nil
	}
	return c, name, err
}

// location returns the time zone of log files and of the output.
func (f *pastFlags) location() (*time.Location, error) {
	if f.Timezone == "" {
		return time.Local, nil
	}

	l, err := time.LoadLocation(f.Timezone)
	if err != nil {
		return nil, usageError(fmt.Sprintf("--timezone: %q is not a time zone; write one like UTC "+
			"or Europe/Berlin", f.Timezone))
	}

	return l, nil
}
