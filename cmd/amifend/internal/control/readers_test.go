package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"
)

// However many connections a user holds who may only read, and however slowly they read, an operator
// lists bans and lifts them.
func TestReadersLeaveRoom(t *testing.T) {
	d := &desk{bans: manyBans(5000)}
	c, _ := serve(t, d, nil)
	reader := as(t, c, outsider, outsider, readers)

	// The server closes connections that are silent for headerTime. What a slow machine has counted
	// after that says nothing.
	const want = mostReaders - 2*mostAtOnce
	for try := 0; ; try++ {
		held, took, closeAll := holdConns(t, reader, c.socket)
		defer closeAll()
		if held == want {
			break
		}
		if held > want || took < headerTime || try == 20 {
			t.Fatalf("%d hold a connection after %s, want %d", held, took, want)
		}
		closeAll()
		time.Sleep(headerTime) // until the server knows
	}

	// One who asks takes the place of one who is silent.
	if _, err := reader.Status(t.Context()); err != nil {
		t.Errorf("a reader who asks: %v", err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), readTime/2)
	defer cancel()

	if l, err := c.Bans(ctx, BanQuery{}); err != nil || len(l.Bans) != 5000 {
		t.Errorf("%d bans, %v", len(l.Bans), err)
	}

	if l, err := c.Unban(ctx, netip.Prefix{}); err != nil || l.Count != 2 {
		t.Errorf("%+v, %v", l, err)
	}
}

// A thousand connections that send nothing, or half a request, hold up nobody, whoever has opened
// them.
func TestStalledConnections(t *testing.T) {
	d := &desk{bans: manyBans(10)}
	c, _ := serve(t, d, nil)
	dial := c.http.Transport.(*http.Transport).DialContext
	for i := range 1000 {
		conn, err := dial(t.Context(), "unix", c.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()

		switch i % 3 {
		case 1:
			fmt.Fprintf(conn, "GET /v1/ba")
		case 2: // a body that does not come; the server may have closed the connection already
			_, _ = fmt.Fprintf(conn, "POST /v1/unban HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
		}
	}

	ctx, cancel := context.WithTimeout(t.Context(), readTime/2)
	defer cancel()
	if _, err := c.Status(ctx); err != nil {
		t.Errorf("status: %v", err)
	}
	if l, err := c.Unban(ctx, netip.Prefix{}); err != nil || l.Count != 2 {
		t.Errorf("unban: %+v, %v", l, err)
	}
}

// Requests that read, and do not read their answers, leave places for changes.
func TestReadsLeavePlacesForChanges(t *testing.T) {
	s := &Server{reads: make(chan struct{}, mostReads)}
	for range mostReads {
		if _, err := s.enter(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.enter(); CodeOf(err) != CodeBusy {
		t.Errorf("one too many: %v", err)
	}
	if mostConns-mostReads < 8 {
		t.Errorf("%d places are left for changes", mostConns-mostReads)
	}
}

// holdConns opens more connections than the server has room for. Some ask for more than they read, the
// others are silent. It returns how many of the silent ones the server holds, once these are as few as
// they should be, and how long ago the first one was opened.
func holdConns(
	t *testing.T, reader *Client, socket string,
) (held int, took time.Duration, closeAll func()) {
	t.Helper()
	dial := reader.http.Transport.(*http.Transport).DialContext
	var all, silent []net.Conn
	began := time.Now()

	for i := range mostConns + mostReaders {
		conn, err := dial(t.Context(), "unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, conn)

		if i < 2*mostAtOnce {
			fmt.Fprintf(conn, "GET /v1/bans HTTP/1.1\r\nHost: x\r\n\r\n")
		} else {
			silent = append(silent, conn)
		}
	}

	for len(silent) > mostReaders-2*mostAtOnce && time.Since(began) < readTime/2 {
		silent = slices.DeleteFunc(silent, turnedAway)
	}
	return len(silent), time.Since(began), func() {
		for _, conn := range all {
			conn.Close()
		}
	}
}

// turnedAway reports whether the server has closed a connection.
func turnedAway(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(time.Millisecond)) // unix sockets have deadlines
	_, err := c.Read(make([]byte, 1))
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}
