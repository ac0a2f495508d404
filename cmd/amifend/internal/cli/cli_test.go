package cli

import (
	"fmt"
	"net"
	"path/filepath"
	"testing"
)

// A systemd that does not read stops nothing. What it can take arrives.
func TestNotifyWithoutReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)

	// More than its queue holds (net.unix.max_dgram_qlen, 10 by default): the rest is left out.
	const many = 14
	for n := range many {
		notify(fmt.Sprint("STATUS=", n))
	}

	b := make([]byte, 100)
	size, err := socket.Read(b)
	if err != nil || string(b[:size]) != "STATUS=0" {
		t.Errorf("the first report is %q, %v", b[:size], err)
	}
}
