package cli

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// Version is the program's version, such as 0.1.0, or unknown.
type Version string

// Build describes how the program was built, for `amifend version --json`.
type Build struct {
	Version  Version `json:"version"`
	Commit   string  `json:"commit"` // the full hash; empty: the source was not in git
	Date     string  `json:"date"`   // of the commit, RFC 3339; empty if Commit is
	Go       string  `json:"go"`     // such as go1.26.8
	Platform string  `json:"platform"`
}

// NewBuild returns a Build with the values that the Makefile sets. It takes missing ones from what
// Go recorded, since `go install MODULE@VERSION` sets none.
func NewBuild(version, commit, date string) Build {
	b := Build{
		Version: Version(version), Commit: commit, Date: date,
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}

	// A binary without build info has only the values that were set.
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	if b.Version == "" && info.Main.Version != "(devel)" {
		b.Version = Version(strings.TrimPrefix(info.Main.Version, "v"))
	}

	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = cmp.Or(b.Commit, s.Value)
		case "vcs.time":
			b.Date = cmp.Or(b.Date, s.Value)
		}
	}

	b.Version = cmp.Or(b.Version, "unknown")
	return b
}

// Show is `amifend version`.
type Show struct {
	JSON bool `name:"json" help:"Print JSON, with the commit and the version of Go."`
}

// Run prints the version.
func (c *Show) Run(b Build) error {
	if c.JSON {
		return printJSON(b)
	}
	_, err := fmt.Println("amifend " + string(b.Version))
	return err
}
