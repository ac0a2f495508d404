package setup

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/safefile"
)

// Begin writes the change of the config for a trial, and returns the name of a copy of the old file.
// The record of the trial comes first: from then on a daemon that starts observes, whatever happens
// to the caller. A config that was changed for an earlier trial, which nobody kept, gets a new
// record; there is then no copy.
func (e *Edit) Begin(t config.Trial) (backup string, err error) {
	t.SHA256 = hash(e.edited.Text)
	before, err := ReadTrial(e.path)
	if err != nil {
		return "", err
	}
	if !e.Needed() && before != nil {
		t.Backup = before.Backup
	}

	if err := WriteTrial(e.path, &t); err != nil {
		return "", err
	}
	if backup, err = e.Write(); err != nil {
		return "", errors.Join(err, e.restore(before))
	}
	if backup == "" {
		return "", nil
	}

	// The record is complete without the name of the copy, which is for people.
	t.Backup = backup
	_ = WriteTrial(e.path, &t)
	return backup, nil
}

// restore puts the record of an earlier trial back, or removes the record if there was none.
func (e *Edit) restore(before *config.Trial) error {
	if before == nil {
		return RemoveTrial(e.path)
	}
	return WriteTrial(e.path, before)
}

// ReadTrial returns the record of a trial with the config at path that nobody has kept; nil if there
// is none. It refuses a record that somebody else than root may have written.
func ReadTrial(path string) (*config.Trial, error) {
	folder, name, err := openTrial(path)
	if err != nil {
		return nil, err
	}
	defer folder.Close()

	text, err := folder.Read(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil //nolint:nilnil // there is none, and that is no error
	case err != nil:
		return nil, configError(err)
	}

	if err := ofRoot(folder, name, "."); err != nil {
		return nil, err
	}
	t, err := config.ParseTrial(text)
	if err != nil {
		return nil, advise(folder.Path(name)+": "+err.Error(),
			"remove it, and write observe = true into "+path+"; then run amifend reload")
	}
	return t, nil
}

// ofRoot returns an error if others than root can change a file of a folder. Whoever can change the
// folder can replace the record of a trial.
func ofRoot(folder *safefile.Folder, names ...string) error {
	for _, name := range names {
		st, err := folder.Stat(name)
		if err != nil {
			return configError(err)
		}
		if int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
			path := folder.Path(name)
			return advise("nothing was changed: "+path+" can be changed by others than root",
				"chown root:amifend "+path+"; chmod g-w,o-w "+path)
		}
	}
	return nil
}

// WriteTrial writes the record of a trial with the config at path. Whoever may read the config may
// read it.
func WriteTrial(path string, t *config.Trial) error {
	folder, name, err := openTrial(path)
	if err != nil {
		return err
	}
	defer folder.Close()

	// What could not be trusted later must not be written.
	if err := ofRoot(folder, "."); err != nil {
		return err
	}
	text, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return err
	}
	st, err := folder.Stat(filepath.Base(path))
	if err != nil {
		return configError(err)
	}

	// The owner is root even if the config still belongs to the service, as it did once.
	rights := safefile.RightsOf(st)
	rights.UID = os.Geteuid()
	rights.Mode &^= 0o022
	if err := folder.Replace(name, append(text, '\n'), rights); err != nil {
		return configError(err)
	}
	return nil
}

// RemoveTrial removes the record of a trial with the config at path. It is no error if there is none.
func RemoveTrial(path string) error {
	folder, name, err := openTrial(path)
	if err != nil {
		return err
	}
	defer folder.Close()

	if err := folder.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return configError(err)
	}
	return nil
}

// openTrial opens the folder of a config, and returns the name of the record of a trial in it.
func openTrial(path string) (*safefile.Folder, string, error) {
	folder, name, err := openConfig(path)
	return folder, filepath.Base(config.TrialFile(name)), err
}

// PutBack is the result of [EndTrial].
type PutBack struct {
	Began time.Time // of the trial; zero: there was none, or it was kept
	Diff  string    // the change; "": the config said observe = true already
}

// EndTrial ends a trial that nobody has kept, as far as the config at path is concerned: the line
// says observe = true again, and the record is removed. It fails, and changes nothing, if somebody
// edited the file in the trial.
func EndTrial(path string) (PutBack, error) {
	t, err := ReadTrial(path)
	if err != nil || t == nil {
		return PutBack{}, err
	}

	e, err := prepare(path, config.BeginObserving)
	if err != nil {
		return PutBack{}, err
	}
	out := PutBack{Began: t.Began}
	if e.Needed() {
		if hash(e.old) != t.SHA256 {
			return PutBack{}, advise(e.path+" was edited in the trial, and is left as it is: amifend "+
				"observes, although the file does not say so", "write observe = true into it, or run "+
				"amifend keep, which begins to ban")
		}
		if _, err := e.swap(e.old, e.edited.Text, false); err != nil {
			return PutBack{}, err
		}
		out.Diff = e.Diff()
	}

	// After a crash in between, the record means nothing: the line says to observe.
	return out, RemoveTrial(path)
}
