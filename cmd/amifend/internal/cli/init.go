package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/check"
	"github.com/amifend/amifend/cmd/amifend/internal/lockout"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/cmd/amifend/internal/setup"
)

// Init is `amifend init`.
type Init struct {
	Yes            bool   `help:"Ask nothing, and do what can be undone."`
	DryRun         bool   `name:"dry-run" help:"Show what would be written, and change nothing."`
	Undo           bool   `help:"Remove what init wrote, as far as it is unchanged."`
	Address        string `placeholder:"HOST[:PORT]" help:"${initAddressHelp}"`
	ReloadAsterisk bool   `name:"reload-asterisk" help:"${initReloadHelp}"`
	Replace        bool   `help:"Replace files that are there already. A copy of each is kept."`
	AsteriskDir    string `name:"asterisk-dir" default:"/etc/asterisk" placeholder:"DIR" help:"${initDirHelp}"`

	// For tests, and to prepare the root of another machine. With Root, no command is run.
	ConfigDir string `name:"config-dir" hidden:"" default:"/etc/amifend"`
	Root      string `hidden:"" type:"path"`
	Group     string `hidden:"" default:"amifend"`
}

// Help returns the detailed help.
func (*Init) Help() string {
	return `Finds Asterisk, and makes a manager user that may read security events and do nothing
else. Writes /etc/amifend/config.toml in observe mode, with your trunks, SSH sessions and local
networks in [allow]. Then runs amifend check and starts the service.

It shows each file first, overwrites none without asking, and can be run again. With --yes,
Asterisk reads the new manager user only if you add --reload-asterisk.

/etc/amifend/.init.json lists the files that init wrote. init --undo stops the service and removes
the files that nobody has changed since.

    sudo amifend init
    sudo amifend init --yes --reload-asterisk
    sudo amifend init --address pbx.example.org:5039`
}

// Run sets amifend up, or undoes that.
func (c *Init) Run(ctx context.Context) error {
	if os.Geteuid() != 0 && c.Root == "" && !c.DryRun {
		return usageError("amifend init writes files that belong to root: use sudo amifend init, or " +
			"look first: amifend init --dry-run")
	}

	o, err := c.options()
	if err != nil {
		return err
	}

	if c.Undo {
		return initError(setup.Undo(ctx, o))
	}
	done, err := setup.Run(ctx, o)
	if err != nil {
		return initError(err)
	}
	if !done {
		return ErrTold
	}
	return nil
}

// options returns the options of package setup for this machine, or for the root of another one.
func (c *Init) options() (setup.Options, error) {
	o := setup.Options{
		Out: os.Stdout, DryRun: c.DryRun, Replace: c.Replace, ReloadAsterisk: c.ReloadAsterisk,
		AsteriskDir: filepath.Clean(c.AsteriskDir), ConfigDir: c.ConfigDir, Address: c.Address,
		Root: c.Root, GID: os.Getegid(), Sudo: os.Getenv("SUDO_USER") != "",
	}

	if !c.Yes && !c.DryRun {
		if !canAsk() {
			return o, usageError("nobody can be asked, since this is not a terminal: use --yes, or look " +
				"first with --dry-run")
		}
		o.Ask = newAsker(os.Stdin, os.Stdout)
	}
	if c.Root != "" {
		return o, nil
	}

	// The package makes the group, and so does make install.
	gid, err := groupID(c.Group)
	if err != nil && !c.DryRun {
		return o, usageError("there is no group " + c.Group + " on this machine: install the " +
			"package, or run systemd-sysusers with examples/systemd/sysusers.conf")
	}
	o.GID = gid
	o.System = setup.System{
		Asterisk: asteriskCLI(), Systemctl: systemctl(), Networks: localNetworks,
		Check:    c.check,
		Sessions: func() []lockout.Session { return lockout.Sessions(lockout.Options{}) },
	}
	return o, nil
}

// check runs `amifend check` on the config that was written.
func (c *Init) check(ctx context.Context) (bool, error) {
	path := filepath.Join(c.ConfigDir, "config.toml")
	loaded, err := configFlag{path}.load("use sudo")
	if err != nil {
		return false, err
	}
	for _, server := range loaded.Servers {
		awaitAMI(ctx, server.Address)
	}

	// The files of an Asterisk on this machine show what hides attacks, too.
	o := check.Options{Config: loaded, Path: path, Out: os.Stdout, Wait: time.Second}
	if _, err := os.Stat(filepath.Join(c.AsteriskDir, "manager.conf")); err == nil && c.Address == "" {
		o.PBXConfig = filepath.Clean(c.AsteriskDir)
	}
	return check.Run(ctx, o)
}

// awaitAMI waits until something listens at an address, for a few seconds at most. After a reload,
// Asterisk takes some time. If nothing listens, the check reports it.
func awaitAMI(ctx context.Context, address string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()

	for ctx.Err() == nil {
		if c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address); err == nil {
			c.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// initError returns an error of package setup for the user. A [setup.NeedError] becomes a usage
// error with its advice.
func initError(err error) error {
	if need, ok := errors.AsType[*setup.NeedError](err); ok {
		return usageError(need.What + "\n  do: " + need.Do)
	}
	if errors.Is(err, errInterrupted) {
		return errors.New("interrupted")
	}
	return err
}

// groupID returns the number of a group.
func groupID(name string) (int, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(g.Gid)
}

// asteriskCLI returns a function that runs a command on Asterisk's command line. It returns nil if
// there is no Asterisk.
func asteriskCLI() func(context.Context, string) (string, error) {
	path, err := exec.LookPath("asterisk")
	if err != nil {
		return nil
	}

	return func(ctx context.Context, command string) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		out, err := exec.CommandContext(ctx, path, "-rx", command).CombinedOutput()
		return string(out), err
	}
}

// systemctl returns a function that runs systemctl. It returns nil if systemd does not run the
// machine (sd_booted(3)).
func systemctl() func(context.Context, ...string) error {
	path, err := exec.LookPath("systemctl")
	if st, noDir := os.Stat("/run/systemd/system"); err != nil || noDir != nil || !st.IsDir() {
		return nil
	}

	return func(ctx context.Context, args ...string) error {
		out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err,
				strings.TrimSpace(string(out)))
		}
		return nil
	}
}

// localNetworks returns the networks that this machine is in.
func localNetworks(ctx context.Context) ([]netip.Prefix, error) {
	set, err := protect.New(protect.Config{}).Snapshot(ctx)
	return set.OnLink, err
}
