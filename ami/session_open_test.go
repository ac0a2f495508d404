package ami

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
)

// piecewise is a connection that gives data in pieces of size bytes, then EOF.
type piecewise struct {
	net.Conn
	data []byte
	size int
}

func (p *piecewise) Read(b []byte) (int, error) {
	if len(p.data) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.data[:min(p.size, len(p.data))])
	p.data = p.data[n:]
	return n, nil
}

// FuzzReadBanner: whatever a server says first, the version is printable as it is, nothing after
// the banner is lost, and an error names a problem and no control character.
func FuzzReadBanner(f *testing.F) {
	for _, seed := range []string{
		"Asterisk Call Manager/11.0.0\r\nResponse: Success\r\n", "Asterisk Call Manager/\r\n",
		"SSH-2.0-x\r\n", "\x15\x03\x01", "",
		"Asterisk Call Manager/1\x1b[2J\r\n", strings.Repeat("x", 200), "\r\n",
		"HTTP/1.1 400 Bad Request\r\n\r\n",
	} {
		f.Add([]byte(seed), uint8(3))
	}

	f.Fuzz(func(t *testing.T, data []byte, size uint8) {
		conn := &piecewise{data: bytes.Clone(data), size: max(int(size), 1)}
		version, rest, err := readBanner(conn)
		if err != nil {
			if ProblemOf(err) == ProblemUnknown || version != "" || rest != nil {
				t.Errorf("%q: error %v with %q and %q", data, err, version, rest)
			}

			// Bytes of the other side must not control the terminal that shows the error.
			for _, c := range []byte(err.Error()) {
				if c < ' ' || c > '~' {
					t.Errorf("error %q holds a control character", err)
				}
			}
			return
		}

		// Put together again, the parts are what the server sent.
		if !isVersion(version) {
			t.Errorf("version %q", version)
		}
		if whole := bannerStart + version + "\r\n" + string(rest) +
			string(conn.data); whole != string(data) {
			t.Errorf("%q became %q", data, whole)
		}
	})
}
