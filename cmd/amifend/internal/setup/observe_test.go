package setup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const observing = "[policy]\nobserve = true # a day\nban_time = \"2h\"\n"

func configIn(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.toml")
	write(t, path, text)
	return path
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The change is one line, a copy is kept, and it can be taken back.
func TestEdit(t *testing.T) {
	path := configIn(t, observing)
	e, err := PrepareEdit(path)
	if err != nil || !e.Needed() || readFile(t, path) != observing {
		t.Fatalf("%+v, %v", e, err)
	}
	if want := path + ":2\n-observe = true # a day\n+observe = false # a day\n"; e.Diff() != want {
		t.Errorf("diff %q", e.Diff())
	}

	backup, err := e.Write()
	if err != nil || readFile(t, backup) != observing ||
		readFile(t, path) != strings.Replace(observing, "true", "false", 1) {
		t.Errorf("%q, %v", readFile(t, path), err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	if err := e.Back(); err != nil || readFile(t, path) != observing {
		t.Errorf("%q, %v", readFile(t, path), err)
	}
}

// What somebody edits meanwhile is left as it is, before the change and after.
func TestEditedMeanwhile(t *testing.T) {
	const theirs = "[policy]\nobserve = true\n[log]\n"
	path := configIn(t, observing)
	e, err := PrepareEdit(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, theirs)
	if _, err := e.Write(); err == nil || readFile(t, path) != theirs {
		t.Errorf("%q, %v", readFile(t, path), err)
	}

	write(t, path, observing)
	if _, err := e.Write(); err != nil {
		t.Fatal(err)
	}
	write(t, path, theirs)
	if err := e.Back(); err == nil || readFile(t, path) != theirs {
		t.Errorf("%q, %v", readFile(t, path), err)
	}
}

// A config that is a symlink is not replaced by a file, and what it leads to is not changed.
func TestEditOfASymlink(t *testing.T) {
	path := configIn(t, observing)
	link := filepath.Join(t.TempDir(), "config.toml")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	var need *NeedError
	if _, err := PrepareEdit(link); !errors.As(err, &need) || !strings.Contains(need.Do, "--config") {
		t.Errorf("%v", err)
	}
	if st, err := os.Lstat(link); err != nil || st.Mode()&os.ModeSymlink == 0 || readFile(t, path) != observing {
		t.Errorf("%v, %v", st, err)
	}
}

// A file system that cannot be written is found before anything begins.
func TestEditOnAReadOnlyFileSystem(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root")
		}
		t.Skip("needs root, to mount")
	}

	path := configIn(t, observing)
	dir := filepath.Dir(path)
	const bind = unix.MS_BIND
	err := errors.Join(unix.Mount(dir, dir, "", bind, ""),
		unix.Mount("", dir, "", bind|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	if err != nil {
		t.Fatal(err)
	}

	var need *NeedError
	if _, err := PrepareEdit(path); !errors.As(err, &need) || !strings.Contains(need.What, "read-only") {
		t.Errorf("%v", err)
	}

	// With nothing to write, that does not matter.
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	write(t, path, "[policy]\n")
	if e, err := PrepareEdit(path); err != nil || e.Needed() {
		t.Errorf("%+v, %v", e, err)
	}
}

// A config that amifend itself changed is still init's: Undo removes it. One that somebody else
// edited as well stays.
func TestUndoAfterEdit(t *testing.T) {
	for _, edited := range []bool{false, true} {
		m := newMachine(t, "debian")
		m.ConfigDir, m.AsteriskDir = m.path("/etc/amifend"), m.path("/etc/asterisk")
		m.Root, m.ReloadAsterisk = "", true
		if done, err := m.Options.run(t); !done || err != nil {
			t.Fatalf("%v, %v\n%s", done, err, &m.out)
		}

		path := filepath.Join(m.ConfigDir, configName)
		if edited {
			write(t, path, readFile(t, path)+"# mine\n")
		}
		e, err := PrepareEdit(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Write(); err != nil {
			t.Fatal(err)
		}

		// Run again, it does not claim to observe.
		m.out.Reset()
		if done, err := m.Options.run(t); !done || err != nil || !strings.Contains(m.out.String(), "amifend bans") ||
			strings.Contains(m.out.String(), "observes now") {
			t.Errorf("%v, %v\n%s", done, err, &m.out)
		}

		if err := Undo(t.Context(), m.Options); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) == edited {
			t.Errorf("edited %v, the config: %v\n%s", edited, err, &m.out)
		}
	}
}

// run runs init without a root, and returns what it returns.
func (o Options) run(t *testing.T) (bool, error) {
	t.Helper()
	o.System.SRV = noSRV
	o.System.Check = nil
	return Run(t.Context(), o)
}
