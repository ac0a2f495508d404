// Package diagnose makes a support bundle: what somebody who helps from far away asks for first,
// and no secret. It works while the daemon does not.
//
// Two nets keep secrets out. The config is written anew from what its keys may show (config.go),
// and every file passes a filter that knows the secrets of the config (secrets.go). Names of
// accounts are left out as well: people type passwords where a name belongs.
package diagnose

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// Options configure [Write].
type Options struct {
	Config string          // the config file
	Table  string          // the nftables table
	Client *control.Client // nil: no socket is known
	Build  any             // printed as JSON
	Now    time.Time
}

// File describes a file of a bundle.
type File struct {
	Name string `json:"name"`
	What string `json:"what"`
	Size int    `json:"size_bytes"`
	// why it is not whole, or missing
	Error string `json:"error,omitempty"`

	text []byte
}

// askTime limits how long each question to the daemon may take.
const askTime = 5 * time.Second

// Write writes a bundle, a tar archive compressed by gzip, and returns what is in it. What cannot
// be had is left out, and the bundle says why.
func Write(ctx context.Context, to io.Writer, o Options) ([]File, error) {
	found := secrets{}
	files := collect(ctx, o, found)
	for i := range files {
		f := &files[i]
		f.Error = string(found.clean([]byte(f.Error)))
		f.text = found.clean(f.text)
		f.Size = len(f.text)
	}
	files = append([]File{{
		Name: "README.txt", What: "what is in this bundle", text: readme(files, o.Now),
	}}, files...)
	files[0].Size = len(files[0].text)

	z := gzip.NewWriter(to)
	t := tar.NewWriter(z)
	for _, f := range files {
		if f.text == nil {
			continue
		}
		if err := t.WriteHeader(&tar.Header{
			Name: "amifend-diagnose/" + f.Name, Mode: 0o600, Size: int64(len(f.text)), ModTime: o.Now,
		}); err != nil {
			return nil, fmt.Errorf("write %s: %w", f.Name, err)
		}
		if _, err := t.Write(f.text); err != nil {
			return nil, fmt.Errorf("write %s: %w", f.Name, err)
		}
	}
	return files, errors.Join(t.Close(), z.Close())
}

// collect makes all files. The config comes first: the secrets in it are looked for in all others.
func collect(ctx context.Context, o Options, found secrets) []File {
	files := make([]File, 0, 16)
	add := func(name, what string, text []byte, err error) {
		f := File{Name: name, What: what, text: text}
		if err != nil {
			f.Error = err.Error()
		}
		files = append(files, f)
	}

	text, state, err := readConfig(o.Config, found)
	add("config.toml", "the config, without secrets, comments, names of hosts and accounts", text, err)
	add("problems.txt", "what is wrong with the config", problems(o.Config), nil)
	text, err = asJSON(o.Build, nil)
	add("version.json", "the version of amifend", text, err)
	add("modules.txt", "the versions of what is built into it", modules(), nil)

	text, err = status(ctx, o.Client)
	add("status.json", "amifend status, without names of accounts", text, err)
	text, err = alertCounts(ctx, o.Client)
	add("alerts.json", "how many alerts there were in the last week, by kind", text, err)

	text, err = kernel()
	add("system.txt", "the kernel, the distribution, memory and limits", text, err)
	text, err = process(ctx, o.Client)
	add("process.txt", "the daemon's process: its limits and rights", text, err)
	text, err = table(ctx, o.Table)
	add("nftables.txt", "amifend's table without the elements of its sets, and the names of others",
		text, err)
	text, err = elements(ctx, o.Table)
	add("elements.txt", "how many elements its sets have", text, err)
	text, err = stateFiles(state)
	add("state.txt", "the files of the journal: their sizes, owners and modes", text, err)

	text, err = unit(ctx)
	add("unit.txt", "what systemd says about the service", text, err)
	text, err = logLines(ctx)
	add("log.txt", "the last errors and warnings, without those that name accounts", text, err)
	return files
}

// readme describes the bundle for whoever opens it.
func readme(files []File, now time.Time) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "A support bundle of amifend, made %s.\n\n", now.UTC().Format(time.RFC3339))
	for _, f := range files {
		fmt.Fprintf(&b, "%-14s %s\n", f.Name, f.What)
		if f.Error != "" {
			fmt.Fprintf(&b, "%-14s not whole: %s\n", "", strings.ReplaceAll(f.Error, "\n", " "))
		}
	}
	b.WriteString(`
It holds addresses of PBXs and of allowed and denied networks. Of secrets it holds none: the config
is written anew from the keys that may be shown, and the secrets that the config names are removed
from all files. Look through it before you send it.
`)
	return b.Bytes()
}

// Create makes the file of a bundle, which must not exist yet, for its owner alone.
func Create(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}
