package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
)

// Reload is `amifend reload`.
type Reload struct {
	daemonFlags
}

// Help returns the detailed help.
func (*Reload) Help() string {
	return `The daemon reads the config file that it was started with. A file that is not valid
changes nothing. Bans, scores, and the connections to unchanged servers stay. The answer names the
keys that need a restart. SIGHUP does the same: kill -HUP, or systemctl reload.`
}

// Run makes the daemon read its config again.
func (c *Reload) Run(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}

	r, err := client.Reload(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(r, r.Warnings...)
	}

	// The first line is there in any case, so that a script sees an answer.
	lines := []string{"reloaded: nothing has changed"}
	if len(r.Changed) > 0 {
		lines[0] = "reloaded: " + strings.Join(r.Changed, ", ")
	}

	// The keys that need a restart are easily overlooked, so they have a line of their own.
	if len(r.Restart) > 0 {
		lines = append(lines,
			"needs a restart (systemctl restart amifend): "+strings.Join(r.Restart, ", "))
	}

	for _, w := range r.Warnings {
		lines = append(lines, "warning: "+w)
	}

	_, err = fmt.Println(strings.Join(lines, "\n"))
	return err
}

// reload reads the config for the running daemon.
func (r *Run) reload() (*config.Config, error) {
	c, err := r.load(serviceReads(r.Config))
	if err != nil {
		return nil, err
	}

	// systemd does not renew the copy of a credential (LoadCredential).
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if rel, err := filepath.Rel(dir, r.Config); dir != "" && err == nil &&
		!strings.HasPrefix(rel, "..") {
		c.Warnings = append(c.Warnings,
			r.Config+" is the copy that systemd made when the service was started: "+
				"changes of the original take effect after systemctl restart amifend")
	}

	return c, nil
}
