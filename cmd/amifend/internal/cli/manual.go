package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/alecthomas/kong"

	"github.com/amifend/amifend/cmd/amifend/internal/manual"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// Completion is `amifend completion`.
type Completion struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"The shell: bash, zsh or fish."`
}

// Help returns the detailed help.
func (*Completion) Help() string {
	return `Examples:

    amifend completion bash > /etc/bash_completion.d/amifend
    amifend completion zsh > /usr/local/share/zsh/site-functions/_amifend
    amifend completion fish > /etc/fish/completions/amifend.fish`
}

// Run prints the completion.
func (c *Completion) Run(ctx *kong.Context) error {
	return manual.WriteCompletion(os.Stdout, ctx.Model, c.Shell)
}

// Man is `amifend man`.
type Man struct {
	Dir string `arg:"" optional:"" type:"path" help:"${manDirHelp}"`
}

// Help returns the detailed help.
func (*Man) Help() string {
	return `Examples:

    amifend man | man -l -
    amifend man /usr/local/share/man/man8`
}

// Run writes the pages.
func (c *Man) Run(ctx *kong.Context, v Version) error {
	pages := manual.Pages(ctx.Model, string(v))
	if c.Dir == "" {
		_, err := pages[0].WriteTo(os.Stdout)
		return err
	}

	// Debian has no folder man8 below /usr/local until somebody makes it.
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return fmt.Errorf("make the folder of the man pages: %w", err)
	}

	for _, p := range pages {
		if err := writePage(filepath.Join(c.Dir, p.Name+".8"), p); err != nil {
			return err
		}
	}

	_, err := fmt.Printf("%s written to %s\n", wording.Count(len(pages), "page"), c.Dir)
	return err
}

// writePage writes one page.
func writePage(path string, p manual.Page) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("write a man page: %w", err)
	}

	// The error of Close may be that of the last write.
	_, err = p.WriteTo(f)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("write a man page: %w", err)
	}
	return nil
}
