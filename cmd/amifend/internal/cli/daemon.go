package cli

import (
	"context"
	"io"
	"os"
	"os/user"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
)

// daemonFlags holds the flags of the commands that ask the daemon.
type daemonFlags struct {
	Config string `placeholder:"FILE" type:"path" xor:"daemon" help:"${daemonConfigHelp}"`
	Socket string `placeholder:"SOCKET" type:"path" xor:"daemon" help:"The daemon's control socket."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// client returns a client of the daemon.
func (f daemonFlags) client() (*control.Client, error) {
	socket, err := f.socket()
	if err != nil {
		return nil, err
	}

	c := control.NewClient(socket)
	c.Operator = operator(os.Getenv, os.Geteuid())
	c.Zone = zoneName(os.Getenv, localtime)

	return c, nil
}

// socket returns the daemon's control socket.
func (f daemonFlags) socket() (string, error) {
	if f.Socket != "" {
		return f.Socket, nil
	}

	// The file may be missing unless the user named it.
	name := f.Config
	if name == "" {
		name = defaultConfig
	}

	socket, err := config.FindSocket(name, f.Config == "")
	switch {
	case err != nil && !IsUsage(err):
		return "", unreadable(name, err, "use sudo, or name the daemon's socket with --socket")
	case err != nil:
		return "", err
	case socket == "":
		return "", usageError("[control] socket is empty in " + name +
			": this daemon has no control socket")
	}

	return socket, nil
}

// operator returns the name of the user who became root by sudo, doas or pkexec, or "". The daemon
// shows it beside the uid. No right depends on it.
func operator(getenv func(string) string, euid int) string {
	// For anybody else, the uid names the user.
	if euid != 0 {
		return ""
	}

	for _, name := range []string{"SUDO_USER", "DOAS_USER"} {
		if who := getenv(name); who != "" && who != "root" {
			return who
		}
	}

	if uid := getenv("PKEXEC_UID"); uid != "" {
		if u, err := user.LookupId(uid); err == nil {
			return u.Username
		}
		return "uid " + uid
	}

	return ""
}

// isDry reports whether the daemon bans nobody. Texts must then say "would be banned".
func isDry(ctx context.Context, client *control.Client) (bool, error) {
	s, err := client.Status(ctx)
	if err != nil {
		return false, err
	}
	return dryStatus(s), nil
}

// dryStatus reports whether a daemon with this status bans nobody, because it observes, only logs
// bans, or its trial is over.
func dryStatus(s control.Status) bool {
	return s.Observe || s.Trial != nil && s.Trial.Over || s.Firewall.Name == control.DryFirewall
}

// columns writes a table that fits the screen. The cells of a line are separated by tabs.
func columns(w io.Writer, on screen.Screen, lines []string) error {
	_, err := io.WriteString(w, on.Table(lines))
	return err
}
