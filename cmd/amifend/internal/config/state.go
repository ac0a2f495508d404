package config

import (
	"os"
	"path/filepath"
	"strings"
	"time"
)

// State holds the place of the journal and its limits.
type State struct {
	Directory string // absolute; "": no journal. A config file cannot set "".
	Retain    time.Duration
	MaxSize   int64 // bytes
}

// The bounds of [state].
const (
	defaultRetain = 90 * 24 * time.Hour
	leastRetain   = time.Hour
	mostRetain    = 10 * 365 * 24 * time.Hour
	defaultSizeMB = 500
	leastSizeMB   = 10
	mostSizeMB    = 1 << 20
)

// defaultState is the folder of the journal without systemd. A unit's StateDirectory= replaces it.
const defaultState = "/var/lib/amifend"

// state reads [state].
func (l *loader) state(raw rawState) State {
	def := defaultState

	// systemd.exec(5): a list of absolute names. The first one is for the journal.
	if dirs := os.Getenv("STATE_DIRECTORY"); dirs != "" {
		def, _, _ = strings.Cut(dirs, ":")
	}

	s := State{
		Directory: get(l, "state.directory", raw.Directory, def),
		Retain:    get(l, "state.retain", raw.Retain, defaultRetain),
	}
	if !filepath.IsAbs(s.Directory) {
		l.problem("state.directory", "is not an absolute name; write one like %q",
			defaultState)
	}

	s.Directory = filepath.Clean(s.Directory)

	// A journal that forgets within minutes could not restore bans.
	if s.Retain < leastRetain || s.Retain > mostRetain {
		l.problem("state.retain",
			"%v is out of range; write a duration from \"1h\" to \"3650d\", such as \"90d\"",
			s.Retain)
	}

	size := get(l, "state.max_size_mb", raw.MaxSizeMB, defaultSizeMB)
	if size < leastSizeMB || size > mostSizeMB {
		l.problem("state.max_size_mb", "%d is out of range; write a number from %d to %d", size,
			leastSizeMB, mostSizeMB)
	}

	s.MaxSize = size << 20
	return s
}
