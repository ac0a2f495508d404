package pbxconf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Bounds of the input. Asterisk's own limit of nested includes is 10
// (main/config.c, MAX_INCLUDE_LEVEL).
const (
	maxDepth    = 10
	maxFiles    = 2000
	maxFile     = 8 << 20
	maxSections = 200_000
	maxVars     = 1_000_000 // copies by templates included
	maxAdded    = 8192      // bytes of a value that += makes
)

// section is a [name] of a config file, with the variables of its templates before its own.
type section struct {
	name     string
	where    string // file:line of its header
	template bool
	vars     []variable
}

// variable is a line NAME = VALUE.
type variable struct {
	name, value string // the name in lower case: Asterisk ignores the case
	where       string // file:line
}

// last returns the last variable of a name. For an option with a single value, the last one counts.
func (s *section) last(name string) (variable, bool) {
	for _, v := range slices.Backward(s.vars) {
		if v.name == name {
			return v, true
		}
	}
	return variable{}, false
}

// kind returns the section's type in lower case.
func (s *section) kind() string {
	v, _ := s.last("type")
	return strings.ToLower(v.value)
}

// reader reads a config file as Asterisk's main/config.c does.
type reader struct {
	dir      string
	sections []*section
	first    map[string]*section // by name in lower case
	problems []Problem
	includes []string // the names of #include and #tryinclude, as written
	files    int
	vars     int
	full     bool // a bound was reached
}

// readConfig reads a file of dir with all that it includes. The error is that of the file itself.
func readConfig(dir, name string) ([]*section, []Problem, error) {
	r := &reader{dir: dir, first: map[string]*section{}}
	if err := r.file(filepath.Join(dir, name), nil, 0); err != nil {
		return nil, nil, err
	}
	return r.sections, r.problems, nil
}

// problem adds a Problem.
func (r *reader) problem(where, format string, args ...any) {
	r.problems = append(r.problems, Problem{where, fmt.Sprintf(format, args...)})
}

// overflow adds the Problem that the rest is not read, once.
func (r *reader) overflow(where string) {
	if !r.full {
		r.problem(where, "the config is too large; the rest is not read")
	}
	r.full = true
}

// file reads one file. Lines before its first section belong to the section that included the file.
// The sections of the file end with it.
func (r *reader) file(path string, current *section, depth int) error {
	text, err := readText(path)
	if err != nil {
		return err
	}

	// Includes may fan out, so the number of files is bounded as well as their depth.
	name := relative(r.dir, path)
	if r.files++; r.files > maxFiles {
		r.overflow(name)
	}

	var c comments
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		if n++; r.full {
			return nil
		}

		// The text that comments leave is read as a line.
		if line = strings.TrimSpace(c.strip(line)); line == "" {
			continue
		}

		where := fmt.Sprintf("%s:%d", name, n)
		switch line[0] {
		case '[':
			current = r.header(line, where)
		case '#':
			r.directive(line[1:], where, current, depth)
		default:
			r.variable(line, where, current)
		}
	}

	// Asterisk too takes the rest of the file for a comment.
	if c.depth > 0 {
		r.problem(name, "a comment that begins with ;-- has no end; what follows it is not read")
	}

	return nil
}

// readText returns the content of a regular file of bounded size.
func readText(path string) (string, error) {
	// A pipe or a device would block.
	st, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !st.Mode().IsRegular() {
		return "", &fs.PathError{Op: "read", Path: path, Err: errors.New("is not a regular file")}
	}

	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()

	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = &fs.PathError{
			Op: "read", Path: path,
			Err: fmt.Errorf("is larger than %d bytes", maxFile),
		}
	}

	return string(b), err
}

// header begins a section: [name](options). If it cannot be read, header returns nil. The variables
// of that section are then lost, as in Asterisk.
func (r *reader) header(line, where string) *section {
	name, options, ok := strings.Cut(line[1:], "]")
	if !ok {
		r.problem(where, "a section has no closing bracket")
		return nil
	}

	// A hostile or broken file must not use up the memory.
	if len(r.sections) >= maxSections {
		r.overflow(where)
		return nil
	}

	// Options name templates and additions: (!), (+) and (NAME).
	s := &section{name: strings.TrimSpace(name), where: where}
	added := false
	if options = strings.TrimSpace(options); strings.HasPrefix(options, "(") {
		options, _, _ = strings.Cut(options[1:], ")")
		for o := range strings.SplitSeq(options, ",") {
			switch o = strings.TrimSpace(o); {
			case o == "":
			case o == "!":
				s.template = true
			case o[0] == '+':
				old := r.find(s.name)
				if old == nil {
					r.problem(where, "[%s](+) adds to a section that does not exist", s.name)
					return nil
				}
				s, added = old, true
			default:
				r.inherit(s, o, where)
			}
		}
	}

	// An addition adds to a section that exists already.
	if !added {
		r.sections = append(r.sections, s)
		if r.find(s.name) == nil {
			r.first[strings.ToLower(s.name)] = s
		}
	}

	return s
}

// find returns the first section of a name, as Asterisk does for templates and additions.
func (r *reader) find(name string) *section { return r.first[strings.ToLower(name)] }

// inherit copies the variables of a template.
func (r *reader) inherit(s *section, base, where string) {
	b := r.find(base)
	if b == nil {
		r.problem(where, "[%s] builds on [%s], which does not exist above it", s.name, base)
		return
	}

	if r.vars += len(b.vars); r.vars > maxVars {
		r.overflow(where)
		return
	}

	s.vars = append(s.vars, b.vars...)
}

// variable adds a line NAME = VALUE, NAME => VALUE or NAME += VALUE to a section.
func (r *reader) variable(line, where string, current *section) {
	name, value, ok := strings.Cut(line, "=")
	if !ok || current == nil {
		return // Asterisk warns and goes on
	}

	name, add := strings.CutSuffix(name, "+")
	name = strings.ToLower(strings.TrimSpace(name))
	if r.vars++; r.vars > maxVars {
		r.overflow(where)
		return
	}

	// NAME += VALUE extends the last value of the name, also that of a template (process_text_line).
	if add {
		for i := range slices.Backward(current.vars) {
			if v := &current.vars[i]; v.name == name {
				if len(v.value)+len(value) > maxAdded {
					r.overflow(where)
					return
				}
				v.value, v.where = strings.TrimSpace(v.value+value), where
				return
			}
		}
	} else {
		value = strings.TrimPrefix(value, ">")
	}
	current.vars = append(current.vars, variable{name, strings.TrimSpace(value), where})
}

// directive follows #include and #tryinclude. It does not run #exec.
func (r *reader) directive(line, where string, current *section, depth int) {
	word, name, _ := strings.Cut(strings.ReplaceAll(line, "\t", " "), " ")
	name = strings.Trim(strings.TrimSpace(name), `"<>`)
	word = strings.ToLower(strings.TrimSpace(word))

	// A program that reads a config must not run others.
	switch word {
	case "include", "tryinclude":
	case "exec":
		r.problem(where, "#exec is not run, so its output is not read")
		return
	default:
		r.problem(where, "unknown directive; only #include, #tryinclude and #exec exist")
		return
	}

	if name == "" {
		r.problem(where, "#%s names no file", word)
		return
	}
	r.includes = append(r.includes, name)

	// Asterisk resolves names from its config folder, not from the including file.
	if depth+1 >= maxDepth {
		r.problem(where, "#%s is nested too deeply, or includes itself; %q is not read", word, name)
		return
	}

	// Asterisk resolves names from its config folder, not from the folder of the including file.
	if !filepath.IsAbs(name) {
		name = filepath.Join(r.dir, name)
	}

	found, err := filepath.Glob(name)
	if err != nil || len(found) == 0 {
		if word == "include" {
			r.problem(where, "#include finds no file %q", name)
		}
		return
	}

	for _, path := range found {
		if err := r.file(path, current, depth+1); err != nil {
			r.problem(where, "#%s of %q: %s", word, path, cause(err))
		}
	}
}
