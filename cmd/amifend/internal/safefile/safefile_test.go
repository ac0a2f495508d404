package safefile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func open(t *testing.T, path string) *Folder {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

func mine(mode fs.FileMode) Rights {
	return Rights{Mode: mode, UID: os.Geteuid(), GID: os.Getegid()}
}

// A file comes with its rights, is not overwritten by Create, and leaves no temporary file.
func TestCreateAndReplace(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir)
	if err := f.Create("a", []byte("one"), mine(0o640)); err != nil {
		t.Fatal(err)
	}
	if err := f.Create("a", []byte("two"), mine(0o640)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("created twice: %v", err)
	}
	if b, err := f.Read("a"); string(b) != "one" || err != nil {
		t.Errorf("%q, %v", b, err)
	}

	if err := f.Replace("a", []byte("three"), mine(0o600)); err != nil {
		t.Fatal(err)
	}
	st, err := f.Stat("a")
	if err != nil || RightsOf(st) != mine(0o600) {
		t.Errorf("%v, %v", RightsOf(st), err)
	}
	if b, err := f.Read("a"); string(b) != "three" || err != nil {
		t.Errorf("%q, %v", b, err)
	}

	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}

// No symlink is followed: of a folder above, of the folder, or of the file.
func TestFollowsNoSymlink(t *testing.T) {
	dir := t.TempDir()
	real := filepath.Join(dir, "real", "deep")
	if err := os.MkdirAll(real, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"link": "real", "real/there": "deep", "real/deep/f": "g"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}

	for _, path := range []string{"link", "link/deep", "real/there"} {
		_, err := Open(filepath.Join(dir, path))
		if link, ok := errors.AsType[*LinkError](err); !ok ||
			!strings.HasPrefix(filepath.Join(dir, path), link.Path) {
			t.Errorf("open %s: %v", path, err)
		}
	}

	f := open(t, real)
	for what, err := range map[string]error{
		"replace": f.Replace("f", []byte("x"), mine(0o600)),
		"read":    func() error { _, err := f.Read("f"); return err }(),
	} {
		if _, ok := errors.AsType[*LinkError](err); !ok {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := f.Create("f", []byte("x"), mine(0o600)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(real, "g")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("written through a symlink: %v", err)
	}

	// A folder that stands in for the one that was opened changes nothing.
	if err := os.Rename(real, real+"-away"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", real); err != nil {
		t.Fatal(err)
	}
	if err := f.Create("h", []byte("x"), mine(0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(real+"-away", "h")); err != nil {
		t.Errorf("not in the folder that was opened: %v", err)
	}
}

// What is not a regular file is not read: a pipe would block for ever.
func TestReadsRegularFilesOnly(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir)
	if err := unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Read("pipe"); err == nil {
		t.Error("a pipe was read")
	}
	if _, err := f.Read("missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if err := os.Truncate(create(t, dir, "big"), mostRead+1); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Read("big"); err == nil {
		t.Error("a file that is too large was read")
	}
}

func create(t *testing.T, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Make sets the rights of a folder that it made, and leaves those of another.
func TestMake(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new")
	for _, want := range []bool{true, false} {
		f, made, err := Make(path, 0o750, os.Getegid())
		if err != nil || made != want {
			t.Fatalf("made %v, %v; want %v", made, err, want)
		}
		f.Close()
		st, err := os.Stat(path)
		if err != nil || st.Mode().Perm() != 0o750 {
			t.Errorf("%v, %v", st.Mode(), err)
		}
		if err := open(t, path).Writable(); err != nil {
			t.Error(err)
		}
	}
	if names, err := os.ReadDir(path); err != nil || len(names) != 0 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}
