// Command licenses copies the licences of everything that is linked into amifend: of its modules,
// and of Go.
//
//	go run ./packaging/licenses DIR
//
// It fails when a module has no file that looks like a licence.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

// licence matches the names of files that licences ask to be passed on.
var licence = regexp.MustCompile(`(?i)^(licen[cs]e|copying|copyright|notice|patents)([-._].*)?$`)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: licenses DIR")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "licenses:", err)
		os.Exit(1)
	}
}

func run(to string) error {
	modules, err := linked()
	if err != nil {
		return err
	}

	for _, m := range modules {
		if err := copyLicences(m.Dir, filepath.Join(to, m.Path)); err != nil {
			return fmt.Errorf("module %s: %w", m.Path, err)
		}
	}

	return nil
}

// module is a module as `go list` prints it.
type module struct {
	Path, Dir string
	Main      bool
}

// linked returns the modules that are linked into amifend, and Go itself.
func linked() ([]module, error) {
	list := exec.Command("go", "list", "-deps", "-json=Module", "./cmd/amifend")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("list the modules: %w", err)
	}

	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("find Go: %w", err)
	}

	modules := []module{{Path: "go", Dir: strings.TrimSpace(string(root))}}
	seen := map[string]bool{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ Module *module }
		switch err := d.Decode(&p); {
		case errors.Is(err, io.EOF):
			return modules, nil
		case err != nil:
			return nil, fmt.Errorf("read the list of %s: %w", runtime.Version(), err)
		}

		// A package of the standard library has no module; our own licence is packed by itself.
		if p.Module == nil || p.Module.Main || seen[p.Module.Path] {
			continue
		}
		seen[p.Module.Path] = true
		modules = append(modules, *p.Module)
	}
}

// copyLicences copies the licences at the top of a module.
func copyLicences(from, to string) error {
	files, err := os.ReadDir(from)
	if err != nil {
		return err
	}

	found := false
	for _, f := range files {
		if !f.Type().IsRegular() || !licence.MatchString(f.Name()) {
			continue
		}

		text, err := os.ReadFile(filepath.Join(from, f.Name()))
		if err != nil {
			return err
		}
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, f.Name()), text, 0o644); err != nil {
			return err
		}
		found = true
	}

	if !found {
		return errors.New("has no licence")
	}
	return nil
}
