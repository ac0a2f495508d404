package packaging

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// allowed are the licences that a module of amifend may have: they ask for no more than that their
// text is passed on.
var allowed = []string{
	"MIT", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "ISC", "CC0-1.0",
	"BSD-3-Clause OR GPL-2.0-only",
}

// testsOnly may be that of a module of tests: it asks for the source of changed files.
const testsOnly = "MPL-2.0"

// licences are recognized by a sentence of each. The first that matches counts.
var licences = []struct {
	name string
	text *regexp.Regexp
}{
	{"BSD-3-Clause OR GPL-2.0-only", regexp.MustCompile(`^/\* SPDX-License-Identifier: BSD-3-Clause OR GPL-2\.0-only`)},
	{testsOnly, regexp.MustCompile(`Mozilla Public License`)},
	{"GPL", regexp.MustCompile(`(?i)GNU (affero |lesser )?general public license`)},
	{"Apache-2.0", regexp.MustCompile(`Apache License\s+Version 2\.0`)},
	{"BSD-3-Clause", regexp.MustCompile(`(?is)redistributions? of source code.*(neither the name|names? of )`)},
	{"BSD-2-Clause", regexp.MustCompile(`(?i)redistributions? of source code`)},
	{"CC0-1.0", regexp.MustCompile(`CC0 1\.0 Universal|creativecommons\.org/publicdomain/zero/1\.0`)},
	{"ISC", regexp.MustCompile(`Permission to use, copy, modify,\s+and(/or)? distribute this software for any`)},
	{"MIT", regexp.MustCompile(`(?i)permission is hereby granted, free of charge`)},
}

// module is a module as `go list` prints it.
type module struct {
	Path, Dir      string
	Main, Indirect bool
}

// modules returns the modules of packages and of what they import.
func modules(t *testing.T, args ...string) map[string]module {
	t.Helper()
	list := exec.Command("go", append([]string{"list", "-deps", "-json=Module"}, args...)...)
	list.Dir = ".."
	out, err := list.Output()
	if err != nil {
		t.Fatalf("list the modules: %v\n%s", err, stderrOf(err))
	}

	all := map[string]module{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct{ Module *module }
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if p.Module != nil && !p.Module.Main {
			all[p.Module.Path] = *p.Module
		}
	}
}

func stderrOf(err error) string {
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(e.Stderr)
	}
	return ""
}

// licenceOf returns the licence in the folder of a module.
func licenceOf(dir string) string {
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, f := range files {
		name := strings.ToUpper(filepath.Base(f))
		if !strings.HasPrefix(name, "LICEN") && !strings.HasPrefix(name, "COPYING") {
			continue
		}
		text, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		for _, l := range licences {
			if l.text.Match(text) {
				return l.name
			}
		}
	}
	return "none that is known"
}

// docs/dependencies.md lists every module that is linked into amifend, or that its tests need, with
// its licence and why it is there. No other licences than the allowed ones are among them.
func TestDependencies(t *testing.T) {
	linked := modules(t, "./cmd/amifend")
	tests := modules(t, "-test", "-tags=e2e,packages,chaos", "./...")
	text, err := os.ReadFile("../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}

	// | `module` | licence | why |, below the heading of its kind.
	row := regexp.MustCompile("^\\| `([^`]+)` \\| ([^|]+) \\| ([^|]+) \\|$")
	kind, listed := "", map[string]string{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			kind = heading
		}
		m := row.FindStringSubmatch(line)
		if m == nil {
			continue
		}

		path, licence, why := m[1], m[2], m[3]
		if listed[path] != "" {
			t.Errorf("%s is listed twice", path)
		}
		listed[path] = kind
		mod, isLinked := linked[path]
		if !isLinked {
			mod = tests[path]
		}
		want := "Needed by tests"
		if isLinked && mod.Indirect {
			want = "Needed by other modules"
		} else if isLinked {
			want = "Used by amifend"
		}
		if mod.Path != "" && kind != want {
			t.Errorf("%s is below %q, want %q", path, kind, want)
		}
		if got := licenceOf(mod.Dir); mod.Path != "" && got != licence {
			t.Errorf("%s has the licence %s, the list says %s", path, got, licence)
		}
		if !slices.Contains(allowed, licence) && (isLinked || licence != testsOnly) {
			t.Errorf("%s: the licence %s is not allowed", path, licence)
		}
		if len(strings.Fields(why)) < 2 {
			t.Errorf("%s: why is it there?", path)
		}
		if mod.Path == "" {
			t.Errorf("%s is listed, and nothing needs it", path)
		}
	}

	for path, mod := range tests { // these are all
		if listed[path] == "" {
			t.Errorf("docs/dependencies.md lacks %s (%s)", path, licenceOf(mod.Dir))
		}
	}
}
