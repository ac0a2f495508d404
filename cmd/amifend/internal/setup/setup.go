// Package setup implements `amifend init`: it finds Asterisk, writes a manager user and a config in
// observe mode, and starts the service. It also undoes all of that, see [Undo].
//
// It runs as root, among files of others: those of Asterisk and, on older installations, those of
// amifend's own user. So it follows no symlink, and replaces a file as a whole or not at all. It
// overwrites or removes a file that it did not write only if somebody asks for it. It prints no
// secret.
package setup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/lockout"
	"github.com/amifend/amifend/cmd/amifend/internal/safefile"
)

// The names of the manager user and of the files that init writes.
const (
	userName    = "amifend"
	configName  = "config.toml"                // in Options.ConfigDir
	secretName  = "ami-secret"                 // in Options.ConfigDir
	sectionName = "asterisk-manager-user.conf" // in Options.ConfigDir, for people to copy
	managerFile = "manager.d/amifend.conf"     // in Options.AsteriskDir
)

// Options select what to set up, and how.
type Options struct {
	Out io.Writer
	Ask Asker // nil: nobody is asked

	DryRun  bool // show what would be written, and change nothing
	Replace bool // replace existing files; a copy of each is kept
	Sudo    bool // the person is not root: commands for them begin with sudo
	// ReloadAsterisk means that Asterisk reads its manager users again, without a question.
	ReloadAsterisk bool

	AsteriskDir string // the folder of Asterisk's config, usually /etc/asterisk
	ConfigDir   string // the folder of amifend's config, usually /etc/amifend
	// Address is the address of the AMI: HOST or HOST:PORT; "": the Asterisk on this machine.
	Address string
	// Root is put in front of all paths that are read and written, to prepare the root of another
	// machine. Texts name the paths without it.
	Root string
	GID  int // the group of the service's user

	System System
}

// System provides the machine that is set up. A function is nil if the machine lacks that part.
type System struct {
	// Asterisk runs a command on Asterisk's command line and returns what it printed.
	Asterisk func(ctx context.Context, command string) (string, error)
	// Systemctl runs systemctl.
	Systemctl func(ctx context.Context, args ...string) error
	// Check runs `amifend check` on the config. It reports whether nothing failed.
	Check func(ctx context.Context) (bool, error)
	// Sessions returns the sessions of the people who administer the machine now.
	Sessions func() []lockout.Session
	// Networks returns the networks that the machine is in.
	Networks func(ctx context.Context) ([]netip.Prefix, error)
	Lookup   func(ctx context.Context, host string) ([]netip.Addr, error)
	SRV      func(ctx context.Context, service, proto, name string) ([]*net.SRV, error)
}

// Asker asks a person. An error of its methods ends init.
type Asker interface {
	// Confirm asks a question that is answered by yes or no. usual is the answer of the Enter key.
	Confirm(title, text string, usual bool) (bool, error)
	// Input asks for a line of text. valid returns what is wrong with an answer.
	Input(title, text string, valid func(string) error) (string, error)
	// Choose asks which lines to take, and returns their numbers. All are chosen at first.
	Choose(title, text string, lines []string) ([]int, error)
}

// A NeedError is returned when init cannot go on and changed nothing. Do is the advice.
type NeedError struct{ What, Do string }

// Error returns What.
func (e *NeedError) Error() string { return e.What }

// run is one run of init.
type run struct {
	Options
	todo []string // what a person has to do before amifend works
}

// Run sets amifend up. It returns false if something is left to do for a person, which it has
// printed.
func Run(ctx context.Context, o Options) (done bool, err error) {
	r := &run{Options: o}

	// Nothing is written before everything is found and shown.
	pbx, err := r.findPBX(ctx)
	if err != nil {
		return false, err
	}

	allow, err := r.findAllowed(ctx, pbx)
	if err != nil {
		return false, err
	}

	p, err := r.plan(pbx, allow)
	if err != nil {
		return false, err
	}

	r.show(p)
	if r.DryRun {
		r.say("\nThis was a dry run: nothing was changed.")
		return true, nil
	}
	if p.changes() && r.Ask != nil {
		if ok, err := r.Ask.Confirm("Write these files?", "", true); err != nil || !ok {
			r.say("Nothing was changed.")
			return false, err
		}
	}

	if err := r.apply(p); err != nil {
		return false, err
	}

	return r.finish(ctx, pbx, p)
}

// finish makes Asterisk and amifend read the new files.
func (r *run) finish(ctx context.Context, pbx *pbx, p *plan) (bool, error) {
	r.todo = append(r.todo, p.todo...)
	if len(r.todo) > 0 && r.Ask != nil {
		r.sayTodo("Do this now, in another terminal:")
		if ok, err := r.Ask.Confirm("Is it done?", "", true); err != nil {
			return false, err
		} else if ok {
			r.todo = nil
		}
	}

	if len(r.todo) == 0 {
		if err := r.reload(ctx, pbx, p); err != nil {
			return false, err
		}
	}
	if len(r.todo) > 0 {
		r.sayTodo("\nNot finished. Do this, then run amifend init again:")
		return false, nil
	}

	// The config is checked first. Once the service runs, only its log shows what is wrong.
	if r.System.Check != nil {
		r.say("\nChecking (amifend check):\n")
		if ok, err := r.System.Check(ctx); err != nil || !ok {
			r.say("\nNot finished: the check failed, so the service was not started. Do what it says, " +
				"then run amifend init again.")
			return false, err
		}
	}

	if err := r.startService(ctx, p); err != nil {
		return false, err
	}
	if !r.observes() {
		r.say("\namifend bans: its config says so. See: " + r.command("amifend status"))
		return true, nil
	}
	r.say(next)
	return true, nil
}

// observes reports whether the config says to observe. One that was there before may not.
func (r *run) observes() bool {
	folder, err := safefile.Open(r.at(r.ConfigDir))
	if err != nil {
		return false
	}
	defer folder.Close()

	text, err := folder.Read(configName)
	if err != nil {
		return false
	}
	edited, err := config.EndObserving(text)
	if err == nil && edited.Line != 0 {
		return true
	}

	// A trial that nobody kept observes too, whatever the line says.
	_, err = folder.Stat(filepath.Base(config.TrialFile(configName)))
	return err == nil
}

// next is the text about the next steps.
const next = `
amifend observes now: it logs whom it would ban, and bans nobody.

  now        sudo journalctl -fu amifend
  tomorrow   sudo amifend status      how many it would have banned,
                                      and whether one of them ever logged in
             sudo amifend report      who they are
  then       sudo amifend enforce     begins to ban, on trial for ten minutes

To take all of this back: sudo amifend init --undo`

// reload makes Asterisk read its manager users, if the user wants it. Otherwise it is left to do.
func (r *run) reload(ctx context.Context, pbx *pbx, p *plan) error {
	const command = "manager reload"
	wanted := r.ReloadAsterisk && !pbx.remote
	if !wanted && p.writesManager && r.Ask != nil {
		ok, err := r.Ask.Confirm("Have Asterisk read its manager users again?",
			"asterisk -rx '"+command+"' interrupts no call.", true)
		if err != nil {
			return err
		}
		wanted = ok
	}

	switch {
	case wanted && r.System.Asterisk != nil:
		if out, err := r.System.Asterisk(ctx, command); err != nil {
			return fmt.Errorf("reload Asterisk's manager: %w: %s", err, oneLine(out))
		}
		r.say("Asterisk has read its manager users again.")
	case wanted || p.writesManager:
		r.todo = append(r.todo, r.command("asterisk -rx '"+command+"'")+
			"     (or amifend init with --reload-asterisk)")
	}
	return nil
}

// startService starts the service, or restarts it with the new files.
func (r *run) startService(ctx context.Context, p *plan) error {
	if r.System.Systemctl == nil {
		r.say("\nThere is no systemd here. Start amifend as root: amifend run")
		return nil
	}

	// A service that runs already must read the new files.
	steps := [][]string{{"enable", "--now", service}}
	if p.changes() {
		steps = [][]string{{"enable", service}, {"restart", service}}
	}

	for _, args := range steps {
		if err := r.System.Systemctl(ctx, args...); err != nil {
			return fmt.Errorf("start the service: %w", err)
		}
	}

	r.say("\nThe service " + service + " is started, also after a reboot.")
	return nil
}

// service is the systemd unit.
const service = "amifend.service"

// say prints a text.
func (r *run) say(text string) { fmt.Fprintln(r.Out, text) }

// sayTodo prints the steps that are left to a person.
func (r *run) sayTodo(title string) {
	r.say(title)
	for _, t := range r.todo {
		r.say("  " + strings.ReplaceAll(t, "\n", "\n  "))
	}
}

// command returns a command that a person is to run as root.
func (r *run) command(text string) string {
	if r.Sudo {
		return "sudo " + text
	}
	return text
}

// at returns a path below the root.
func (r *run) at(path string) string { return filepath.Join("/", r.Root, path) }

// oneLine returns the output of another program in one line.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// advise returns a NeedError.
func advise(what, do string) error { return &NeedError{what, do} }

// errNoAddress is returned for an answer that is not an address.
var errNoAddress = errors.New("write a host name or an address, such as 192.0.2.10 or " +
	"pbx.example.org:5039")
