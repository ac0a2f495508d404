package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/diagnose"
)

// Diagnose is `amifend diagnose`.
type Diagnose struct {
	daemonFlags
	File string `arg:"" optional:"" type:"path" help:"A file that does not exist yet."`
}

// Help returns the detailed help.
func (*Diagnose) Help() string {
	return `The bundle is a .tar.gz for whoever helps you: versions, the config, the status, facts about the
kernel and the service, the last errors and warnings. It works while the daemon does not answer. What
cannot be had is left out, and the bundle says why.

It holds no secrets: the config is written anew from the keys that may be shown, and the secrets that
the config names are removed from all files. It holds no names of accounts, because people type
passwords there. It does hold addresses of PBXs and networks. Only its owner can read it: look through
it before you send it.

    sudo amifend diagnose /tmp/amifend.tar.gz`
}

// Run writes the bundle.
func (c *Diagnose) Run(ctx context.Context, b Build) error {
	now := time.Now()
	if c.File == "" {
		c.File = "amifend-diagnose-" + now.UTC().Format("20060102T150405Z") + ".tar.gz"
	}
	path, err := filepath.Abs(c.File)
	if err != nil {
		return failedOn(err, "name the file by its whole path")
	}

	f, err := diagnose.Create(path)
	if err != nil {
		return failedOn(err, "use sudo, and name a file that does not exist yet")
	}
	files, err := diagnose.Write(ctx, f, c.options(b, now))
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		_ = os.Remove(path) // it would look like a whole one
		return failedOn(err, "name a file on a disk with room")
	}
	return c.print(path, files)
}

// options returns what is asked. A config that is not valid, or missing, is no reason to ask less.
func (c *Diagnose) options(b Build, now time.Time) diagnose.Options {
	name := c.Config
	if name == "" {
		name = defaultConfig
	}
	o := diagnose.Options{Config: name, Build: b, Now: now}

	if client, err := c.client(); err == nil {
		o.Client = client
	} else if c.Config == "" {
		o.Client = control.NewClient(config.DefaultControl().Socket)
	}
	o.Table, _ = config.FindTable(name, true) // "" is refused by nft
	return o
}

// print prints what is in the bundle, and what is missing.
func (c *Diagnose) print(path string, files []diagnose.File) error {
	if c.JSON {
		return printJSON(struct {
			File  string          `json:"file"`
			Files []diagnose.File `json:"files"`
		}{path, files})
	}

	fmt.Printf("%s holds:\n", path)
	for _, f := range files {
		size := fmt.Sprintf("%d bytes", f.Size)
		if f.Error != "" {
			line, _, _ := strings.Cut(f.Error, "\n")
			size = "not whole: " + line
		}
		fmt.Printf("  %-14s %s (%s)\n", f.Name, f.What, size)
	}
	_, err := fmt.Println("It holds no secrets and no names of accounts. It does hold addresses of PBXs and " +
		"networks:\nlook through it before you send it.")
	return err
}
