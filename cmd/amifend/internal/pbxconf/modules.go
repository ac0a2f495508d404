package pbxconf

import "strings"

// modules holds which modules Asterisk loads, by modules.conf.
type modules struct {
	known    bool // modules.conf was read
	autoload bool
	named    map[string]bool // by name without .so: true for load, false for noload
}

// readModules reads modules.conf. Without it, every module counts as loaded.
func readModules(dir string) modules {
	m := modules{named: map[string]bool{}}
	sections, _, err := readConfig(dir, "modules.conf")
	if err != nil {
		return m
	}

	// Asterisk loads nothing by itself unless autoload says so.
	m.known = true
	for _, s := range sections {
		if !strings.EqualFold(s.name, "modules") {
			continue
		}

		for _, v := range s.vars {
			name := strings.TrimSuffix(v.value, ".so")
			switch v.name {
			case "autoload":
				m.autoload = isTrue(v.value)
			case "load", "preload", "require", "preload-require":
				if _, ok := m.named[name]; !ok {
					m.named[name] = true
				}
			case "noload": // wins over load, in whatever order (loader.c, load_modules)
				m.named[name] = false
			}
		}
	}

	return m
}

// loaded reports whether all of the modules are loaded.
func (m modules) loaded(names ...string) bool {
	for _, name := range names {
		if load, named := m.named[name]; named && !load || !named && m.known && !m.autoload {
			return false
		}
	}
	return true
}

// isTrue reports whether Asterisk takes a value for true (ast_true in main/utils.c).
func isTrue(value string) bool {
	switch strings.ToLower(value) {
	case "yes", "true", "y", "t", "1", "on":
		return true
	}
	return false
}
