package daemon

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/policy"
)

// A kill -9 at a thousand attempts a second, each of another source, loses what came in the last
// ten seconds at most, and until then less than a megabyte a second was written.
func TestKillUnderLoad(t *testing.T) {
	t.Parallel() // it waits most of the time
	const rate, lasts, mayLose = 1000, 13 * time.Second, 10 * time.Second
	s := newSite(t, 1)
	file := s.withState(t)
	p := s.spawn(t)
	p.Said(t, "amifend runs", "")
	eventually(t, "it is logged in", func() bool { return s.pbxs[0].Sessions() >= 1 })
	wrote := writtenBy(t, p.Process.Pid)
	began := time.Now()

	n, old := 0, 0 // how many attempted, and how many did so longer ago than may be lost
	for since := time.Duration(0); since < lasts; since = time.Since(began) {
		for ; n < int(since.Seconds()*rate); n++ {
			peer := amitest.NewPeer(scattered(n).String())
			peer.Transport = "TCP"
			s.pbxs[0].Emit(peer.GuessAccount(strconv.Itoa(n))...)
		}

		if since < lasts-mayLose {
			old = n
		}
		time.Sleep(5 * time.Millisecond)
	}

	wrote = writtenBy(t, p.Process.Pid) - wrote
	p.kill(t)

	// A token bucket may have saved up two seconds.
	if most := int64((lasts + 2*time.Second).Seconds() * (1 << 20)); wrote > most {
		t.Errorf("%d bytes were written in %s", wrote, lasts)
	}

	e := recallFrom(t, filepath.Dir(file), s.config.Policy)
	for i := range old {
		if addr := scattered(i).Addr(); addr.IsGlobalUnicast() && addr.As4()[0] < 224 &&
			addr.As4()[0] > 0 && e.Explain(addr).Attempts != 1 {
			t.Fatalf("attempt %d of %d is forgotten", i, old)
		}
	}

	t.Logf("%d attempts, %d of them in the first %s, %d bytes written", n, old, lasts-mayLose,
		wrote)
}

// recallFrom returns the engine as a run has left it.
func recallFrom(t *testing.T, dir string, o policy.Options) *policy.Engine {
	t.Helper()
	j := journal.New(journal.Options{
		Directory: dir, MaxWaiting: 1, Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		j.Run(ctx)
	}()
	defer func() { cancel(); <-done }()
	var failed error
	e, found, err := policy.Recall(o, time.Now().UnixNano(), func(yield func([]byte) bool) {
		failed = j.Blocks(ctx, func(b []byte) bool {
			_, rest, ok := bytes.Cut(b, []byte("\n")) // the names of the servers come first
			return ok && yield(rest)
		})
	})
	if err != nil || failed != nil || found.Damaged > 0 {
		t.Fatalf("%+v, %v, %v", found, err, failed)
	}

	return e
}

// writtenBy returns how many bytes a process has caused to be written to disks. On a tmpfs nothing is
// counted.
func writtenBy(t *testing.T, pid int) (n int64) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		t.Fatal(err)
	}

	for line := range strings.Lines(string(b)) {
		if _, err := fmt.Sscanf(line, "write_bytes: %d", &n); err == nil {
			return n
		}
	}

	t.Fatal("no write_bytes")
	return 0
}
