package setup

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/safefile"
)

// Edit is the change of the line of the config that says whether amifend observes.
type Edit struct {
	path   string
	old    []byte
	edited config.Edited
	backup string // the copy of the old file; "": the change is not written
}

// PrepareEdit reads a config and prepares the change that ends observing. It writes nothing. It
// fails if [Edit.Write] would fail, because a trial must not run that cannot be kept.
func PrepareEdit(path string) (*Edit, error) { return prepare(path, config.EndObserving) }

// prepare prepares a change of the config.
func prepare(path string, change func([]byte) (config.Edited, error)) (*Edit, error) {
	folder, name, err := openConfig(path)
	if err != nil {
		return nil, err
	}
	defer folder.Close()

	e := &Edit{path: folder.Path(name)}
	if e.old, err = folder.Read(name); err != nil {
		return nil, configError(err)
	}

	// A config that says so already needs no change.
	if e.edited, err = change(e.old); err != nil {
		return nil, advise(e.path+": "+err.Error(), "change it by hand, then run amifend reload")
	}
	if e.edited.Line == 0 {
		return e, nil
	}

	if err := folder.Writable(); err != nil {
		return nil, configError(err)
	}
	return e, nil
}

// openConfig opens the folder of a config, and returns the config's name in it.
func openConfig(path string) (*safefile.Folder, string, error) {
	folder, err := safefile.Open(filepath.Dir(path))
	if err != nil {
		return nil, "", configError(err)
	}
	return folder, filepath.Base(path), nil
}

// configError returns an error of the config file with advice.
func configError(err error) error {
	if link, ok := errors.AsType[*safefile.LinkError](err); ok {
		return advise("nothing was changed: "+link.Error(), "name the file itself: --config FILE")
	}
	if errors.Is(err, fs.ErrPermission) {
		return advise("nothing was changed: "+err.Error(), "use sudo")
	}
	return advise("nothing was changed: "+err.Error(), "see whether the disk is full or mounted "+
		"read-only; or change observe = true to false by hand, then run amifend reload")
}

// Needed reports whether there is a line to change.
func (e *Edit) Needed() bool { return e.edited.Line != 0 }

// Diff returns the change for people.
func (e *Edit) Diff() string {
	return fmt.Sprintf("%s:%d\n-%s\n+%s\n", e.path, e.edited.Line, e.edited.Before, e.edited.After)
}

// Write writes the change, and returns the name of a copy of the old file. It fails if somebody
// edited the file meanwhile.
func (e *Edit) Write() (backup string, err error) {
	if !e.Needed() {
		return "", nil
	}
	if e.backup, err = e.swap(e.old, e.edited.Text, true); err != nil {
		return "", err
	}
	return e.backup, nil
}

// Back undoes the change. It fails if somebody edited the file meanwhile.
func (e *Edit) Back() error {
	if e.backup == "" {
		return nil
	}
	_, err := e.swap(e.edited.Text, e.old, false)
	return err
}

// swap replaces the content from by to, and fails if the file has another content. The file keeps
// its rights. If keep is set, swap makes a copy first and returns its name.
func (e *Edit) swap(from, to []byte, keep bool) (backup string, err error) {
	folder, name, err := openConfig(e.path)
	if err != nil {
		return "", err
	}
	defer folder.Close()

	now, err := folder.Read(name)
	if err != nil {
		return "", configError(err)
	}
	if !bytes.Equal(now, from) {
		return "", advise(e.path+" was edited meanwhile, and is left as it is",
			"look at it, then try again")
	}

	// Without a copy, nothing is replaced.
	st, err := folder.Stat(name)
	if err == nil && keep {
		backup, err = folder.Backup(name)
	}
	if err == nil {
		err = folder.Replace(name, to, safefile.RightsOf(st))
	}
	if err != nil {
		return "", configError(err)
	}
	follow(folder, e.path, from, to)
	return backup, nil
}

// follow has the record of init follow a change that amifend itself made, so that [Undo] still takes
// the file for init's. Without the record, Undo leaves the file, which is no harm.
func follow(folder *safefile.Folder, path string, from, to []byte) {
	rec, err := readRecord(folder)
	if err != nil {
		return
	}
	for _, f := range rec.Files {
		if f.Path == path && f.SHA256 == hash(from) {
			rec.add(path, to)
			_ = rec.write(folder)
			return
		}
	}
}
