package setup

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
)

// begin begins a trial with a config, and returns the file's new text.
func begin(t *testing.T, path string) string {
	t.Helper()
	e, err := PrepareEdit(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Begin(config.Trial{Began: time.Now(), Timer: "x.timer"}); err != nil {
		t.Fatal(err)
	}
	return readFile(t, path)
}

// The line is changed, a copy is kept, and the record names both. The line comes back by itself.
func TestTrial(t *testing.T) {
	path := configIn(t, observing)
	changed := strings.Replace(observing, "true", "false", 1)
	if got := begin(t, path); got != changed {
		t.Errorf("%q", got)
	}
	rec, err := ReadTrial(path)
	if err != nil || rec.SHA256 != hash([]byte(changed)) || readFile(t, rec.Backup) != observing ||
		rec.Timer != "x.timer" || rec.Began.IsZero() {
		t.Errorf("%+v, %v", rec, err)
	}

	// The service reads it, and cannot write it.
	st, err := os.Stat(config.TrialFile(path))
	if err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", st.Mode(), err)
	}

	// A second trial, after a crash in the first: the copy is that of the first.
	copied := rec.Backup
	if got := begin(t, path); got != changed {
		t.Errorf("%q", got)
	}
	if rec, err = ReadTrial(path); err != nil || rec.Backup != copied {
		t.Errorf("%+v, %v", rec, err)
	}

	done, err := EndTrial(path)
	want := path + ":2\n-observe = false # a day\n+observe = true # a day\n"
	if err != nil || done.Diff != want || done.Began.IsZero() || readFile(t, path) != observing {
		t.Errorf("%+v, %v: %q", done, err, readFile(t, path))
	}
	if rec, err = ReadTrial(path); rec != nil || err != nil {
		t.Errorf("the record is left: %+v, %v", rec, err)
	}

	// Again: there is nothing to do.
	if done, err = EndTrial(path); done != (PutBack{}) || err != nil {
		t.Errorf("%+v, %v", done, err)
	}
}

// What somebody wrote in the trial is left as it is, and so is the record: amifend observes on.
func TestTrialEdited(t *testing.T) {
	path := configIn(t, observing)
	theirs := begin(t, path) + "# mine\n"
	write(t, path, theirs)

	var need *NeedError
	if _, err := EndTrial(path); !errors.As(err, &need) || !strings.Contains(need.Do, "amifend keep") {
		t.Errorf("%v", err)
	}
	if rec, err := ReadTrial(path); rec == nil || err != nil || readFile(t, path) != theirs {
		t.Errorf("%+v, %v: %q", rec, err, readFile(t, path))
	}

	// They put the line back themselves.
	theirs = strings.Replace(theirs, "false", "true", 1)
	write(t, path, theirs)
	done, err := EndTrial(path)
	if err != nil || done.Began.IsZero() || done.Diff != "" || readFile(t, path) != theirs {
		t.Errorf("%+v, %v: %q", done, err, readFile(t, path))
	}
	if rec, err := ReadTrial(path); rec != nil || err != nil {
		t.Errorf("the record is left: %+v, %v", rec, err)
	}
}

// Where others could replace the record, no trial begins. A record that is a symlink, or that
// somebody else wrote, is not used.
func TestTrialOfOthers(t *testing.T) {
	path := configIn(t, observing)
	dir, name := filepath.Dir(path), config.TrialFile(path)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	e, err := PrepareEdit(path)
	if err != nil {
		t.Fatal(err)
	}
	var need *NeedError
	if _, err := e.Begin(config.Trial{}); !errors.As(err, &need) || !strings.Contains(need.Do, "chmod g-w,o-w "+dir) {
		t.Errorf("%v", err)
	}
	if _, err := os.Lstat(name); err == nil || readFile(t, path) != observing {
		t.Errorf("a trial has begun: %q", readFile(t, path))
	}

	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	begin(t, path)
	if err := os.Chmod(name, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := EndTrial(path); !errors.As(err, &need) || readFile(t, path) == observing {
		t.Errorf("%v", err)
	}

	// A symlink is neither followed nor replaced.
	other := filepath.Join(t.TempDir(), "other")
	write(t, other, "theirs")
	if err := errors.Join(os.Remove(name), os.Symlink(other, name)); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadTrial(path); err == nil {
		t.Error("a symlink was followed")
	}
	if err := WriteTrial(path, &config.Trial{}); err == nil || readFile(t, other) != "theirs" {
		t.Errorf("%v: %q", err, readFile(t, other))
	}
}

// A config that cannot be replaced, such as one that was edited meanwhile, leaves no record behind.
func TestTrialThatCannotBegin(t *testing.T) {
	path := configIn(t, observing)
	e, err := PrepareEdit(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, observing+"# mine\n")
	if _, err := e.Begin(config.Trial{}); err == nil {
		t.Error("the file was replaced")
	}
	if rec, err := ReadTrial(path); rec != nil || err != nil {
		t.Errorf("%+v, %v", rec, err)
	}
}
