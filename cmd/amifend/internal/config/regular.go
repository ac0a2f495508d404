package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// errNotRegular is returned for a name that does not lead to a regular file.
var errNotRegular = errors.New("not a regular file")

// readRegular reads a whole file, and returns its mode. It refuses a file of more than limit bytes,
// because a wrong name may lead to a huge one. It also refuses a file that is not regular: a FIFO
// waits for a writer, and a terminal never ends.
func readRegular(path string, limit int64) ([]byte, fs.FileMode, error) {
	// Without O_NONBLOCK the open itself would wait. It changes nothing for a regular file.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()

	st, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if !st.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s: %w", path, errNotRegular)
	}

	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, 0, err
	}
	if int64(len(b)) > limit {
		return nil, 0, fmt.Errorf("%s: more than %d bytes: is it the right file?", path, limit)
	}

	return b, st.Mode(), nil
}

// unnamed removes the name of a file from an error, because somebody may have written a password in
// its place. It keeps the name of a file that exists but may not be read.
func unnamed(err error) error {
	var failed *fs.PathError
	if !errors.As(err, &failed) || errors.Is(err, fs.ErrPermission) {
		return err
	}
	return failed.Err
}
