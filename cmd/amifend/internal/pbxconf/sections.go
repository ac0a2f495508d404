package pbxconf

import (
	"iter"
	"strings"
)

// Section is a section of a config file, for packages that judge its settings. It may hold
// passwords, so no print of it shows its content.
type Section struct{ s *section }

// Setting is a line NAME = VALUE of a section. No print of it shows the value. The zero value is
// that of a setting that is not there.
type Setting struct{ v *variable }

// Sections reads a file of a folder with all that it includes, and returns its sections without
// templates. Each has the settings of its templates before its own. The error is that of the file
// itself.
func Sections(dir, name string) ([]Section, []Problem, error) {
	sections, problems, err := readConfig(dir, name)
	if err != nil {
		return nil, nil, err
	}

	out := make([]Section, 0, len(sections))
	for _, s := range sections {
		if !s.template {
			out = append(out, Section{s})
		}
	}
	return out, problems, nil
}

// General returns the [general] section of a file, with the settings of all sections of that name.
// It is empty if there is none.
func General(sections []Section) Section {
	inner := make([]*section, 0, len(sections))
	for _, s := range sections {
		inner = append(inner, s.s)
	}
	all, _ := general(inner)
	return Section{all}
}

// Name returns the section's name, which may hold any byte but a closing bracket.
func (s Section) Name() string { return s.s.name }

// Where returns the file and the line of the section's header, "" for a [general] that is not there.
func (s Section) Where() string { return s.s.where }

// Kind returns the section's type in lower case.
func (s Section) Kind() string { return s.s.kind() }

// Is reports whether the section has a name, in any case of letters.
func (s Section) Is(name string) bool { return strings.EqualFold(s.s.name, name) }

// Last returns the last setting of a name, which counts for an option with a single value. The name
// is written in lower case.
func (s Section) Last(name string) (Setting, bool) {
	for i := len(s.s.vars) - 1; i >= 0; i-- {
		if s.s.vars[i].name == name {
			return Setting{&s.s.vars[i]}, true
		}
	}
	return Setting{}, false
}

// Value returns the value of the last setting of a name, or "". It may be a secret.
func (s Section) Value(name string) string {
	v, _ := s.Last(name)
	return v.Value()
}

// Settings returns all settings in the order of the file.
func (s Section) Settings() iter.Seq[Setting] {
	return func(yield func(Setting) bool) {
		for i := range s.s.vars {
			if !yield(Setting{&s.s.vars[i]}) {
				return
			}
		}
	}
}

// Name returns the setting's name in lower case.
func (v Setting) Name() string {
	if v.v == nil {
		return ""
	}
	return v.v.name
}

// Value returns the value, which may be a secret.
func (v Setting) Value() string {
	if v.v == nil {
		return ""
	}
	return v.v.value
}

// Where returns the file and the line.
func (v Setting) Where() string {
	if v.v == nil {
		return ""
	}
	return v.v.where
}

// IsTrue reports whether Asterisk takes the value for true.
func (v Setting) IsTrue() bool { return isTrue(v.Value()) }

// Modules holds which modules Asterisk loads.
type Modules struct{ m modules }

// ReadModules reads modules.conf of a folder. Without it, every module counts as loaded.
func ReadModules(dir string) Modules { return Modules{readModules(dir)} }

// Loaded reports whether all of the modules are loaded. The names have no ".so".
func (m Modules) Loaded(names ...string) bool { return m.m.loaded(names...) }
