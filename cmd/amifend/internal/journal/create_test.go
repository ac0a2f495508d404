package journal

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// asRoot skips a test that needs root to give files away.
func asRoot(t *testing.T) {
	t.Helper()
	switch {
	case os.Geteuid() == 0:
	case os.Getenv("CI") == "true":
		t.Fatal("CI must run as root")
	default:
		t.Skip("only root can give files away")
	}
}

// After a run by hand as root, such as for a trial, the service's user can open all that is there.
func TestWhatRootMakesBelongsToTheDirectorysOwner(t *testing.T) {
	asRoot(t)
	const uid, gid = 65534, 65533
	dir := t.TempDir()
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}

	r := start(t, options(dir))
	r.Ban(ban("192.0.2.1/32", all, time.Hour))
	r.written(t)
	names, err := filepath.Glob(filepath.Join(dir, "*"))

	// the database, its log, the lock, the reserve
	if err != nil || len(names) < 4 {
		t.Fatalf("%v, %v", names, err)
	}

	for _, name := range names {
		st, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := st.Sys().(*syscall.Stat_t); !ok || s.Uid != uid || s.Gid != gid {
			t.Errorf("%s belongs to %d:%d", filepath.Base(name), s.Uid, s.Gid)
		}
	}
}

// Who owns the directory must not be given a file of root's by a link to it.
func TestAFileThatWasThereIsNotGivenAway(t *testing.T) {
	asRoot(t)
	dir, secret := t.TempDir(), filepath.Join(t.TempDir(), "shadow")
	if err := os.WriteFile(secret, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	// The service's user owns the directory, so it could make such a link to a file of root.
	if err := os.Symlink(secret, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, 65534, 65534); err != nil {
		t.Fatal(err)
	}

	// Root opens it, and it stays root's.
	f, err := create(filepath.Join(dir, "link"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}

	if s, ok := st.Sys().(*syscall.Stat_t); !ok || s.Uid != 0 {
		t.Errorf("it belongs to %d", s.Uid)
	}
}
