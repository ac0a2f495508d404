// Command amifend stops SIP attackers of Asterisk phone systems. It reads the security events of
// one or many PBXs over the Asterisk Manager Interface, scores every source, and lets the kernel
// drop the packets of attackers.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/amifend/amifend/cmd/amifend/internal/cli"
)

// The build sets these: see the Makefile.
var (
	version = "" // such as 0.1.0
	commit  = "" // the full hash
	date    = "" // of the commit, RFC 3339
)

// The exit codes. 0 means done.
const (
	exitFailed = 1
	exitUsage  = 2 // a wrong command line, or a config that is not valid
)

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	var commands cli.Commands
	built := cli.NewBuild(version, commit, date)
	parser, err := kong.New(&commands,
		kong.Name("amifend"),
		kong.Description("Stops SIP attackers at the door of Asterisk phone systems."),
		kong.UsageOnError(),
		cli.Vars(), kong.Bind(built), kong.ExplicitGroups(cli.Groups()),
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, "amifend:", err)
		return exitFailed
	}

	parser.Model.HelpFlag.Help = "Show this help."
	command, err := parser.Parse(normalize(args))
	asJSON := cli.WantsJSON(command, args)
	if err != nil {
		cli.PrintError(cli.UsageError(parser.Model, err), asJSON, commands.Color)
		return exitUsage
	}

	// Every command ends in order at the first signal.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	command.BindTo(ctx, (*context.Context)(nil))
	command.Bind(commands.Screen())
	err = command.Run(built.Version)
	var code cli.ExitError
	switch {
	case err == nil:
		return 0

	case errors.As(err, &code):
		// The command has printed its result, and the code is part of it.
		return int(code)
	}

	// A command may have printed the error in its own form.
	if !errors.Is(err, cli.ErrTold) {
		cli.PrintError(err, asJSON, commands.Color)
	}
	if cli.IsUsage(err) {
		return exitUsage
	}
	return exitFailed
}

// normalize maps `help COMMAND` and `--version` to the commands that they mean.
func normalize(args []string) []string {
	switch {
	case len(args) > 0 && args[0] == "help":
		return append(slices.Clone(args[1:]), "--help")
	case len(args) == 1 && args[0] == "--version":
		return []string{"version"}
	default:
		return args
	}
}
