package recording

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/asterisklog"
)

// sniffed is the number of bytes by which the format of a file is recognized. It is large because a
// log may begin with lines of other programs.
const sniffed = 64 << 10

// Stdin is the name of standard input.
const Stdin = "-"

// input is an open file, unpacked.
type input struct {
	*bufio.Reader
	closer   io.Closer
	format   Format
	likeness asterisklog.Likeness
	modified time.Time
	size     int64
}

// counter counts the bytes that are read.
type counter struct {
	io.Reader
	n *atomic.Int64
}

func (c counter) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// expand returns the files that names stand for. A folder stands for the files in it, and a pattern
// that no shell expanded for those that match. found holds the files that came from either.
func expand(names []string) (files []string, found map[string]bool, errs []error) {
	found = make(map[string]bool)
	for _, name := range names {
		// An error is reported when the file is opened, with its name.
		st, statErr := os.Stat(name)
		var more []string
		switch {
		case name == Stdin:
			files = append(files, name)
			continue
		case statErr == nil && st.IsDir():
			// Folders below are not read: /var/log/asterisk has some with records of calls.
			entries, err := os.ReadDir(name)
			if err != nil {
				errs = append(errs, fmt.Errorf("read folder: %w", err))
			}
			for _, e := range entries {
				if !e.IsDir() {
					more = append(more, filepath.Join(name, e.Name()))
				}
			}
		case errors.Is(statErr, os.ErrNotExist):
			more, _ = filepath.Glob(name) // a bad pattern fits nothing
		}

		// An empty folder usually means a wrong path, not a quiet PBX.
		if len(more) == 0 && statErr == nil && st.IsDir() {
			errs = append(errs, fmt.Errorf("%s: the folder holds no files", name))
			continue
		}

		// A plain name, or a pattern that fits nothing: opening it reports the error.
		if more == nil {
			files = append(files, name)
			continue
		}

		// A file that the user did not name may be of any kind, so it may be skipped.
		for _, f := range more {
			found[f] = true
		}
		files = append(files, more...)
	}

	return files, found, errs
}

// open opens a file and recognizes its format. It adds the bytes that are read to n.
func open(name string, n *atomic.Int64) (*input, error) {
	f := os.Stdin
	if name != Stdin {
		var err error
		if f, err = os.Open(name); err != nil {
			return nil, fmt.Errorf("open recording: %w", err)
		}
	}

	in, err := sniff(f, n)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("read %s: %w", name, err)
	}

	return in, nil
}

func sniff(f *os.File, n *atomic.Int64) (*input, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		return nil, errors.New("is a folder")
	}

	// A pipe has no size, and its lines are being written now.
	in := &input{closer: f, modified: st.ModTime(), size: st.Size()}
	if !st.Mode().IsRegular() {
		in.modified = time.Now()
		in.size = 0
	}

	// Bytes are counted before they are unpacked, since only the size on disk is known.
	plain, err := unpack(bufio.NewReaderSize(counter{f, n}, sniffed))
	if err != nil {
		return nil, err
	}

	// The buffer makes reads larger than the decoder asks for, and lets us look at the beginning.
	in.Reader = bufio.NewReaderSize(plain, sniffed)
	head, err := in.Peek(sniffed)

	// A file that ends within its compression is read up to there.
	if err != nil && len(head) == 0 && !errors.Is(err, io.EOF) {
		return nil, err
	}

	// What is in front of a capture is not read. A changed one is refused: what an editor did would
	// count against senders.
	if in.likeness = asterisklog.Recognize(head); in.likeness == asterisklog.Unlike {
		if start, ok := captureStart(head); ok {
			_, err = in.Discard(start)
			in.format = FormatAMI
			return in, cmp.Or(changed(head[start:]), err)
		}
	}

	return in, in.recognize(head)
}

// recognize sets the format by the beginning of a file that is no capture.
func (in *input) recognize(head []byte) error {
	switch {
	case len(head) == 0:
		in.format = FormatEmpty
		return nil
	case bytes.IndexByte(head, '\n') < 0 && bytes.IndexByte(head, '\r') >= 0:
		return errCRAlone
	}

	in.format = FormatLog
	if in.likeness == asterisklog.Unlike {
		return unlike(head)
	}

	return nil
}

// unpack returns a reader of r without gzip and bzip2, the formats of logrotate, even if one is
// packed in the other.
func unpack(r *bufio.Reader) (io.Reader, error) {
	// The bound ends a file that unpacks to itself.
	const most = 3
	for range most {
		magic, err := r.Peek(6)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}

		// The magic number decides, because names of files do not show the format reliably.
		switch {
		case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
			z, err := gzip.NewReader(r)
			if err != nil {
				return nil, fmt.Errorf("unpack gzip: %w", err)
			}
			r = bufio.NewReaderSize(z, sniffed)
		case bytes.HasPrefix(magic, []byte("BZh")):
			r = bufio.NewReaderSize(bzip2.NewReader(r), sniffed)
		default:
			return r, otherPacking(magic)
		}
	}

	return r, nil
}

// isCapture reports whether a file begins as an AMI connection does: with the banner, or without it
// with a packet.
func isCapture(head []byte) bool {
	head = bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))
	for _, start := range []string{"Asterisk Call Manager/", "Event: ", "Response: "} {
		if bytes.HasPrefix(head, []byte(start)) {
			return true
		}
	}
	return false
}
