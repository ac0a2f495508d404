package setup

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"github.com/amifend/amifend/cmd/amifend/internal/safefile"
)

// apply writes the files of a plan. It writes the record first, so that after a crash [Undo] finds
// all files.
func (r *run) apply(p *plan) error {
	if !p.changes() {
		r.say("\nAll files are there already.")
		return nil
	}

	folder, made, err := safefile.Make(r.at(r.ConfigDir), 0o750, r.GID)
	if err != nil {
		return err
	}
	defer folder.Close()

	// Nobody else may change the folder from here on.
	if p.takeOver {
		if err := r.takeOver(folder); err != nil {
			return err
		}
	}

	rec, err := readRecord(folder)
	if err != nil {
		return err
	}
	if made {
		rec.Folder = r.ConfigDir
	}

	// A file that was there before is not init's, and Undo must not remove it.
	for _, f := range p.files {
		if f.state == absent || f.state == replaced {
			rec.add(f.path, f.data)
		}
	}
	if err := rec.write(folder); err != nil {
		return err
	}

	for _, f := range p.files {
		if err := r.writeFile(f); err != nil {
			return err
		}
	}
	return nil
}

// takeOver gives the config folder and its files to root. The folder comes first, so that nobody
// changes a file meanwhile. Each file is written anew, since it may have another name elsewhere.
func (r *run) takeOver(folder *safefile.Folder) error {
	rights := safefile.Rights{Mode: 0o750, UID: os.Geteuid(), GID: r.GID}
	if err := folder.SetRights(rights); err != nil {
		return err
	}

	// The service reads these two by its group, and must not change them.
	rights.Mode = 0o640
	for _, name := range []string{configName, secretName} {
		b, err := folder.Read(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = folder.Replace(name, b, rights)
		}
		if err != nil {
			return err
		}
	}

	return nil
}

// writeFile writes a file of a plan.
func (r *run) writeFile(f file) error {
	if f.state == same || f.state == kept {
		return nil
	}

	folder, err := safefile.Open(r.at(filepath.Dir(f.path)))

	// manager.conf may include a folder manager.d that is missing. It gets the group of the file.
	if errors.Is(err, fs.ErrNotExist) {
		folder, _, err = safefile.Make(r.at(filepath.Dir(f.path)), 0o750, f.rights.GID)
	}
	if err != nil {
		return err
	}
	defer folder.Close()

	name := filepath.Base(f.path)
	if f.state == absent {
		// Create fails if somebody has written the file meanwhile.
		if err := folder.Create(name, f.data, f.rights); err != nil {
			return err
		}
		r.say("written: " + f.path)
		return nil
	}

	// The empty file that make install writes needs no copy.
	copied := ""
	if old, err := folder.Read(name); err != nil {
		return err
	} else if len(old) > 0 {
		path, err := folder.Backup(name)
		if err != nil {
			return err
		}
		copied = "; the old one is " + path
	}

	if err := folder.Replace(name, f.data, f.rights); err != nil {
		return err
	}
	r.say("replaced: " + f.path + copied)
	return nil
}

// asteriskGroup returns the group that Asterisk usually has, and false if the machine lacks it.
func (r *run) asteriskGroup() (int, bool) {
	g, err := user.LookupGroup("asterisk")
	if err != nil {
		return 0, false
	}
	gid, err := strconv.Atoi(g.Gid)
	return gid, err == nil
}
