package journal

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// create opens a file for reading and writing, and makes it if it is missing. SQLite gives its
// other files the same mode and owner.
func create(path string) (*os.File, error) {
	f, err := createNew(path)
	if errors.Is(err, fs.ErrExist) {
		return os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o600)
	}
	return f, err
}

// createNew makes a file, and fails if it exists. If root makes it, it gets the owner of the
// directory: an amifend that root ran by hand must not leave a journal that the service's user
// cannot open. An existing file keeps its owner, since it may be a link that the user made.
func createNew(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err != nil || os.Geteuid() != 0 {
		return f, err
	}

	if dir, err := os.Stat(filepath.Dir(path)); err == nil {
		if owner, ok := dir.Sys().(*syscall.Stat_t); ok && owner.Uid != 0 {
			// If this fails, the service will report that it cannot open the file.
			_ = f.Chown(int(owner.Uid), int(owner.Gid))
		}
	}

	return f, nil
}
