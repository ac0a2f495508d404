package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"
)

// Trial is the record of a trial of `amifend enforce` that nobody has kept so far. It is a file
// beside the config, see [TrialFile]. Root writes it before the config says observe = false, and
// removes it when the trial is kept, or when the config says observe = true again. As long as it is
// there, [Load] returns a config that observes.
type Trial struct {
	Began  time.Time `json:"began"`
	Ends   time.Time `json:"ends"`             // about: the daemon measures the trial
	SHA256 string    `json:"sha256"`           // of the config during the trial
	Backup string    `json:"backup,omitempty"` // the copy of the config as it was
	Timer  string    `json:"timer,omitempty"`  // the unit of systemd that ends it; "": a process does
}

// maxTrialFile is the largest size of the record in bytes.
const maxTrialFile = 1 << 14

// TrialFile returns the path of the record of a trial with the config at path. Whoever can replace
// the config can replace it too, and nobody else.
func TrialFile(path string) string {
	dir, name := filepath.Split(path)
	return filepath.Join(dir, "."+name+".trial")
}

// ParseTrial reads the record of a trial.
func ParseTrial(text []byte) (*Trial, error) {
	t := &Trial{}
	if err := json.Unmarshal(text, t); err != nil {
		return nil, fmt.Errorf("not the record of a trial: %w", err)
	}
	return t, nil
}

// unkept returns the trial with the config at path that nobody has kept; nil if there is none. A
// record that cannot be read is one too: somebody began a trial, and nobody must be banned because
// a file is damaged.
func (l *loader) unkept(path string) *Trial {
	// A daemon that was given a symlink to the config must find the record too.
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}

	name := TrialFile(path)
	text, _, err := readRegular(name, maxTrialFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}

	t := &Trial{}
	if err == nil {
		t, err = ParseTrial(text)
	}
	if err != nil {
		l.warnings = append(l.warnings, fmt.Sprintf("%s cannot be read: %s", name, err))
		return &Trial{}
	}
	return t
}
