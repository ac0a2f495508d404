package setup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/amifend/amifend/cmd/amifend/internal/safefile"
)

// Undo stops the service and removes the files that [Run] wrote, unless somebody changed them. Bans
// in the kernel and in the journal stay.
func Undo(ctx context.Context, o Options) error {
	r := &run{Options: o}

	// The record names the files.
	folder, err := safefile.Open(r.at(r.ConfigDir))
	if errors.Is(err, fs.ErrNotExist) {
		r.say("amifend init has written nothing here.")
		return nil
	}
	if err != nil {
		return err
	}
	defer folder.Close()

	rec, err := readRecord(folder)
	if err != nil {
		return err
	}
	if len(rec.Files) == 0 {
		r.say("amifend init has written nothing here.")
		return nil
	}

	if ok, err := r.confirmUndo(rec); err != nil || !ok {
		return err
	}
	return r.undo(ctx, folder, rec)
}

// confirmUndo shows the files that would be removed, and asks whether to go on.
func (r *run) confirmUndo(rec *record) (bool, error) {
	if r.DryRun || r.Ask != nil {
		for _, f := range rec.Files {
			r.say("would be removed, if it is unchanged: " + f.Path)
		}
	}
	if r.DryRun {
		r.say("This was a dry run: nothing was changed.")
		return false, nil
	}
	if r.Ask == nil {
		return true, nil
	}
	ok, err := r.Ask.Confirm("Stop amifend and remove these files?", "", false)
	if !ok {
		r.say("Nothing was changed.")
	}
	return ok, err
}

// undo stops the service, and removes the files of the record.
func (r *run) undo(ctx context.Context, folder *safefile.Folder, rec *record) error {
	// A service without its config would fail at the next start.
	if r.System.Systemctl != nil {
		if err := r.System.Systemctl(ctx, "disable", "--now", service); err != nil {
			return fmt.Errorf("stop the service: %w", err)
		}
		r.say("stopped: " + service)
	}

	// The files are removed in the opposite order. Asterisk has the manager user until it reads its
	// config again.
	manager := filepath.Join(r.AsteriskDir, managerFile)
	var left []recorded
	for _, f := range slices.Backward(rec.Files) {
		removed, err := r.remove(f)
		if err != nil {
			return err
		}

		switch {
		case !removed:
			left = append(left, f)
		case f.Path == manager:
			r.todo = append(r.todo, r.command("asterisk -rx 'manager reload'"))
		case filepath.Base(f.Path) == sectionName:
			r.todo = append(r.todo, "remove the section ["+userName+"] where you put it, then: "+
				r.command("asterisk -rx 'manager reload'"))
		}
	}

	// A changed file belongs to whoever changed it, so the record of it goes too. The record of a
	// trial goes with the config.
	if err := folder.Remove(recordName); err != nil {
		return err
	}
	if _, err := folder.Stat(configName); errors.Is(err, fs.ErrNotExist) {
		if err := RemoveTrial(folder.Path(configName)); err != nil {
			return err
		}
	}
	if rec.Folder != "" && len(left) == 0 {
		// This fails, and the folder stays, if it holds any other file.
		if err := os.Remove(r.at(rec.Folder)); err == nil {
			r.say("removed: " + rec.Folder)
		}
	}

	if r.ReloadAsterisk && r.System.Asterisk != nil && len(r.todo) > 0 {
		if _, err := r.System.Asterisk(ctx, "manager reload"); err != nil {
			return fmt.Errorf("reload Asterisk's manager: %w", err)
		}
		r.say("Asterisk has read its manager users again.")
		return nil
	}
	if len(r.todo) > 0 {
		r.sayTodo("Left to you:")
	}
	return nil
}

// remove removes a file if it has the hash of the record. It reports whether the file is gone.
func (r *run) remove(f recorded) (bool, error) {
	// A folder that is a symlink now, or cannot be opened, is not the one that init wrote to.
	dir, name := filepath.Split(f.Path)
	folder, err := safefile.Open(r.at(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		r.say("left as it is: " + f.Path + ": " + err.Error())
		return false, nil
	}
	defer folder.Close()

	b, err := folder.Read(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.say("is gone already: " + f.Path)
		return true, nil
	case err != nil:
		r.say("left as it is: " + err.Error())
		return false, nil
	case hash(b) != f.SHA256:
		r.say("left as it is, since it was changed: " + f.Path)
		return false, nil
	}

	if err := folder.Remove(name); err != nil {
		return false, err
	}
	r.say("removed: " + f.Path)
	return true, nil
}
