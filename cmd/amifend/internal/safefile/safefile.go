// Package safefile reads and writes files for root in folders that others may have prepared. It
// follows no symlink, neither of the folder nor of any folder above it, and a file is replaced as a
// whole or not at all.
package safefile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// mostRead is the largest file that is read, in bytes.
const mostRead = 1 << 20

// Folder is an open folder. Names of its methods are those of files in it, without a slash.
type Folder struct {
	path string
	fd   int
}

// Open opens a folder. It fails if any part of the path is a symlink.
func Open(path string) (*Folder, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open folder: %w", err)
	}

	fd, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open folder /: %w", err)
	}

	// Each part is opened by its own name, so none of them can lead elsewhere meanwhile.
	const flags = unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	at := "/"
	for part := range strings.SplitSeq(strings.Trim(abs, "/"), "/") {
		if part == "" {
			continue // the path is /
		}
		at = filepath.Join(at, part)

		next, err := unix.Openat(fd, part, flags, 0)
		unix.Close(fd)
		if err != nil {
			return nil, openError(at, err)
		}
		fd = next
	}

	return &Folder{abs, fd}, nil
}

// openError returns the error of a part of a path that cannot be opened. With O_DIRECTORY and
// O_NOFOLLOW the kernel calls a symlink "not a directory".
func openError(path string, err error) error {
	if st, bad := os.Lstat(path); bad == nil && st.Mode()&fs.ModeSymlink != 0 {
		return &LinkError{path}
	}
	return &fs.PathError{Op: "open folder", Path: path, Err: err}
}

// LinkError is returned for a symlink, which is not followed.
type LinkError struct{ Path string }

// Error names the symlink, and where it leads.
func (e *LinkError) Error() string {
	to, err := os.Readlink(e.Path)
	if err != nil {
		return e.Path + " is a symlink, and is not followed"
	}
	return fmt.Sprintf("%s is a symlink to %q, and is not followed", e.Path, to)
}

// Make makes a folder that does not exist, with a mode and a group, and opens it. Its owner is the
// caller. made is false if it existed; its mode and group are then left as they are.
func Make(path string, mode fs.FileMode, gid int) (f *Folder, made bool, err error) {
	parent, err := Open(filepath.Dir(path))
	if err != nil {
		return nil, false, err
	}
	defer parent.Close()

	switch err := unix.Mkdirat(parent.fd, filepath.Base(path), 0o700); {
	case err == nil:
		made = true
	case !errors.Is(err, fs.ErrExist):
		return nil, false, &fs.PathError{Op: "make folder", Path: path, Err: err}
	}

	if f, err = Open(path); err != nil || !made {
		return f, made, err
	}
	if err := f.SetRights(Rights{mode, -1, gid}); err != nil {
		f.Close()
		return nil, made, err
	}

	return f, made, nil
}

// SetRights sets the rights of the folder itself. A UID or GID of -1 leaves it as it is.
func (f *Folder) SetRights(r Rights) error {
	dir, err := unix.Openat(f.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open folder", Path: f.path, Err: err}
	}
	defer unix.Close(dir)

	if err := errors.Join(unix.Fchown(dir, r.UID, r.GID), unix.Fchmod(dir, uint32(r.Mode))); err != nil {
		return &fs.PathError{Op: "set the rights of", Path: f.path, Err: err}
	}
	return nil
}

// Close closes the folder.
func (f *Folder) Close() { unix.Close(f.fd) }

// Path returns the name of a file in the folder, for people.
func (f *Folder) Path(name string) string { return filepath.Join(f.path, name) }

// Stat returns what is there under a name, a symlink itself. A missing file gives fs.ErrNotExist.
func (f *Folder) Stat(name string) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := unix.Fstatat(f.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return st, &fs.PathError{Op: "look at", Path: f.Path(name), Err: err}
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return st, &LinkError{f.Path(name)}
	}
	return st, nil
}

// Read returns the content of a regular file of at most a megabyte. A missing one gives
// fs.ErrNotExist.
func (f *Folder) Read(name string) ([]byte, error) {
	st, err := f.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, fmt.Errorf("read %s: is not a regular file", f.Path(name))
	}

	// A file that is replaced by a pipe meanwhile must not block.
	fd, err := unix.Openat(f.fd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: f.Path(name), Err: err}
	}
	file := os.NewFile(uintptr(fd), f.Path(name))
	defer file.Close()

	b, err := io.ReadAll(io.LimitReader(file, mostRead+1))
	if err != nil {
		return nil, err
	}
	if len(b) > mostRead {
		return nil, fmt.Errorf("read %s: larger than %d bytes", f.Path(name), mostRead)
	}
	return b, nil
}

// Rights are the owner and the mode of a file.
type Rights struct {
	Mode     fs.FileMode // permission bits
	UID, GID int
}

// RightsOf returns the rights of a file.
func RightsOf(st unix.Stat_t) Rights {
	return Rights{fs.FileMode(st.Mode & 0o777), int(st.Uid), int(st.Gid)}
}

// Create writes a file that does not exist. One that exists is left as it is, and gives
// fs.ErrExist.
func (f *Folder) Create(name string, data []byte, r Rights) error {
	return f.write(name, data, r, unix.RENAME_NOREPLACE)
}

// Replace writes a file in place of the one that is there, if any. The name must not be that of a
// symlink.
func (f *Folder) Replace(name string, data []byte, r Rights) error {
	if _, err := f.Stat(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return f.write(name, data, r, 0)
}

// Backup copies a file that is going to be replaced, with its rights, and returns the path of the copy:
// NAME.before-TIME, in UTC. The ending keeps Asterisk from reading it.
func (f *Folder) Backup(name string) (string, error) {
	b, err := f.Read(name)
	if err != nil {
		return "", err
	}
	st, err := f.Stat(name)
	if err != nil {
		return "", err
	}

	backup := name + ".before-" + time.Now().UTC().Format("20060102T150405.000")
	return f.Path(backup), f.Create(backup, b, RightsOf(st))
}

// write writes a temporary file and renames it. When it returns, the disk has the file.
func (f *Folder) write(name string, data []byte, r Rights, flags uint) (err error) {
	// The name begins with a dot, so that Asterisk's *.conf does not match it.
	temp := "." + name + "." + rand.Text()[:8]
	fd, err := unix.Openat(f.fd, temp,
		unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &fs.PathError{Op: "write", Path: f.Path(name), Err: err}
	}
	defer func() {
		if err != nil {
			_ = unix.Unlinkat(f.fd, temp, 0) // nothing else can be done
			err = &fs.PathError{Op: "write", Path: f.Path(name), Err: err}
		}
	}()

	// The rights come before the content: it may be a secret.
	file := os.NewFile(uintptr(fd), f.Path(temp))
	if os.Geteuid() == 0 {
		err = file.Chown(r.UID, r.GID)
	}
	if err == nil {
		err = file.Chmod(r.Mode)
	}
	if err == nil {
		_, err = file.Write(data)
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return cause(err)
	}

	if err := unix.Renameat2(f.fd, temp, f.fd, name, flags); err != nil {
		return err
	}
	return f.sync()
}

// cause returns an error without the name of the temporary file.
func cause(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

// sync writes the folder itself to the disk.
func (f *Folder) sync() error {
	dir, err := unix.Openat(f.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	return unix.Fsync(dir)
}

// Writable returns an error unless files of the folder can be written: it writes one, and removes
// it.
func (f *Folder) Writable() error {
	name := ".amifend." + rand.Text()[:8]
	err := f.Create(name, nil, Rights{Mode: 0o600, UID: os.Geteuid(), GID: os.Getegid()})
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return &fs.PathError{Op: "write to", Path: f.path, Err: pe.Err}
	}
	if err != nil {
		return err
	}
	return f.Remove(name)
}

// Remove removes a file, or a symlink itself.
func (f *Folder) Remove(name string) error {
	if err := unix.Unlinkat(f.fd, name, 0); err != nil {
		return &fs.PathError{Op: "remove", Path: f.Path(name), Err: err}
	}
	return f.sync()
}
