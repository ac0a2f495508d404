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
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/asterisklog"
)

// sniffed is how many bytes of a file are looked at to find out what it is: a log may begin with lines of another kind.
const sniffed = 64 << 10

// input is an open file, unpacked.
type input struct {
	io.Reader
	closer   io.Closer
	format   Format
	modified time.Time
}

// open opens a file and finds out what it is.
func open(name string) (*input, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open recording: %w", err)
	}
	in, err := sniff(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return in, nil
}

func sniff(f *os.File) (*input, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		return nil, errors.New("is a folder: name the files in it")
	}
	plain, err := unpack(bufio.NewReaderSize(f, sniffed))
	if err != nil {
		return nil, err
	}
	// Larger reads than the decoder asks for, and a look at the beginning.
	r := bufio.NewReaderSize(plain, sniffed)
	head, err := r.Peek(sniffed)
	if err != nil && len(head) == 0 && !errors.Is(err, io.EOF) {
		return nil, err
	}
	in := &input{Reader: r, closer: f, modified: st.ModTime()}
	switch {
	case len(head) == 0:
		in.format = FormatEmpty
	case isCapture(head):
		in.format = FormatAMI
	case asterisklog.Recognize(head):
		in.format = FormatLog
	default:
		return nil, errors.New("is neither an AMI capture (it would begin with `Asterisk Call Manager/`) nor a log file of " +
			"Asterisk (its lines would begin with `[time] LEVEL[thread] file:`)")
	}
	return in, nil
}

// unpack unpacks gzip and bzip2, what logrotate packs with.
func unpack(r *bufio.Reader) (io.Reader, error) {
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
		return z, nil
	case bytes.HasPrefix(magic, []byte("BZh")):
		return bzip2.NewReader(r), nil
	case bytes.HasPrefix(magic, []byte("\xfd7zXZ\x00")), bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return nil, errors.New("is packed by xz or zstd: unpack it first (unxz, unzstd)")
	}
	return r, nil
}

// isCapture reports whether a file begins as an AMI connection does: with the banner, or without it with a packet.
func isCapture(head []byte) bool {
	for _, start := range []string{"Asterisk Call Manager/", "Event: ", "Response: "} {
		if bytes.HasPrefix(head, []byte(start)) {
			return true
		}
	}
	return false
}
