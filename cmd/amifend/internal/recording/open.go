package recording

import (
	"bufio"
	"bytes"
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

// sniffed is how many bytes of a file are looked at to find out what it is: a log may begin with
// lines of another kind.
const sniffed = 64 << 10

// Stdin is the name by which standard input is read.
const Stdin = "-"

// errForeign is the error of a file that is no recording.
var errForeign = errors.New("is neither an AMI capture (it would begin with `Asterisk Call " +
	"Manager/`) nor a log of Asterisk " +
	"(its lines would have `LEVEL[thread] file:` in them)")

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

// expand returns the files that names mean: those in a folder, and those that fit a pattern that no
// shell expanded. found are the names that were not written themselves.
func expand(names []string) (files []string, found map[string]bool, errs []error) {
	found = make(map[string]bool)
	for _, name := range names {
		st, statErr := os.Stat(name)
		var more []string
		switch {
		case name == Stdin:
			files = append(files, name)
			continue
		case statErr == nil && st.IsDir():
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
		if len(more) == 0 && statErr == nil && st.IsDir() {
			errs = append(errs, fmt.Errorf("%s: the folder holds no files", name))
			continue
		}
		if more == nil {
			files = append(files, name)
			continue
		}
		for _, f := range more {
			found[f] = true
		}
		files = append(files, more...)
	}
	return files, found, errs
}

// open opens a file and finds out what it is. It counts the bytes that are read of it in n.
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
	in := &input{closer: f, modified: st.ModTime(), size: st.Size()}
	if !st.Mode().IsRegular() {
		in.modified, in.size = time.Now(), 0
	}

	plain, err := unpack(bufio.NewReaderSize(counter{f, n}, sniffed))
	if err != nil {
		return nil, err
	}
	// Larger reads than the decoder asks for, and a look at the beginning.
	in.Reader = bufio.NewReaderSize(plain, sniffed)
	head, err := in.Peek(sniffed)
	if err != nil && len(head) == 0 && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return in, in.recognize(head)
}

// recognize finds out what a file is by its beginning.
func (in *input) recognize(head []byte) error {
	switch {
	case len(head) == 0:
		in.format = FormatEmpty
		return nil
	case isCapture(head):
		in.format = FormatAMI
		return changed(head)
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		return errors.New("is UTF-16: a program changed it on its way (a PowerShell that wrote " +
			"it to a file?); copy it as it is")
	}
	in.format = FormatLog
	if in.likeness = asterisklog.Recognize(head); in.likeness == asterisklog.Unlike {
		return errForeign
	}
	return nil
}

// unpack unpacks gzip and bzip2, what logrotate packs with, also if one is packed in the other.
func unpack(r *bufio.Reader) (io.Reader, error) {
	const most = 3
	for range most {
		magic, err := r.Peek(6)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		switch {
		case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
			z, err := gzip.NewReader(r)
			if err != nil {
				return nil, fmt.Errorf("unpack gzip: %w", err)
			}
			r = bufio.NewReaderSize(z, sniffed)
		case bytes.HasPrefix(magic, []byte("BZh")):
			r = bufio.NewReaderSize(bzip2.NewReader(r), sniffed)
		case bytes.HasPrefix(magic, []byte("\xfd7zXZ\x00")), bytes.HasPrefix(magic, []byte{
			0x28,
			0xb5, 0x2f, 0xfd,
		}):
			return nil, errors.New("is packed by xz or zstd: unpack it first (unxz, unzstd), or " +
				"write `unxz -c FILE | amifend replay -`")
		default:
			return r, nil
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
