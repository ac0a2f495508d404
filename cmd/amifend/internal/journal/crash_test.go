package journal

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// envWriter has the test binary be a process that writes a journal until it is killed; its value is
// the directory.
const envWriter = "JOURNALTEST_WRITER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(envWriter); dir != "" {
		writeUntilKilled(dir)
	}
	os.Exit(m.Run())
}

// isGeneral reports whether the process lifts all bans at a number, in place of a ban.
func isGeneral(i int) bool { return i%20 == 19 }

// writeUntilKilled tells of bans, lifts every third of them, now and then all, and prints the number
// of each when it is on the disk.
func writeUntilKilled(dir string) {
	o := options(dir)
	o.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	j := New(o)
	go j.Run(context.Background())
	first, _ := strconv.Atoi(os.Getenv(envWriter + "_FIRST")) // the test writes it

	for i := first; ; i++ {
		sync := j.Sync
		if isGeneral(i) {
			// What waits is discarded, and is lifted all the same.
			for k := range 50 {
				j.Ban(ban(fmt.Sprintf("192.0.2.%d/32", k), all, time.Hour))
			}
			j.LiftAll(LiftAll{At: time.Now(), By: "uid 0", Why: "all"})
			sync = j.SyncLifts
		} else {
			j.Ban(ban(numbered(i).String(), all, time.Hour))
			if i%3 == 0 {
				j.Lift(lift(numbered(i).String(), all))
			}
		}

		if err := sync(context.Background()); err != nil {
			panic(err)
		}

		fmt.Println(i)
	}
}

// isWritten tells whether nothing waits, neither in the queue nor in the backlog.
func (j *Journal) isWritten() bool {
	n := -1
	err := j.ask(context.Background(), func(*store) error {
		n = len(j.backlog.entries)
		return nil
	})
	return err == nil && n == 0
}

func numbered(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
}

// A kill -9 at any moment loses nothing that was written, and leaves a journal that can be used.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	written := -1

	for round := range 12 {
		cmd := exec.Command("/proc/self/exe", "-test.run=^$")
		cmd.Env = append(os.Environ(), envWriter+"="+dir,
			fmt.Sprintf("%s_FIRST=%d", envWriter, written+1))

		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}

		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}

		lines := bufio.NewScanner(out)
		if !lines.Scan() {
			t.Fatalf("nothing was written: %s", &stderr)
		}

		time.AfterFunc(time.Duration(rand.IntN(100))*time.Millisecond, func() {
			_ = cmd.Process.Kill()
		})
		for ok := true; ok; ok = lines.Scan() {
			if n, err := strconv.Atoi(lines.Text()); err == nil {
				written = max(written, n)
			}
		}

		if err := cmd.Wait(); err == nil {
			t.Fatal("it was not killed")
		}

		s, err := openStore(filepath.Join(dir, File), Clock{}.OrReal())
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}

		snap, err := s.snapshot(time.Hour)
		if err != nil {
			t.Fatal(err)
		}

		general := written // the last number at which all were lifted
		for general >= 0 && !isGeneral(general) {
			general--
		}
		for i := range written + 1 {
			k := Key{numbered(i), all}
			_, open := snap.Open[k.Compact()]
			_, lifted := snap.Lifted[k.Compact()]
			switch {
			case isGeneral(i):
			case i > general && i%3 != 0 && isGeneral(written+1): // it may be written or not
			case lifted != (i%3 == 0 || i < general), open == lifted:
				t.Fatalf("round %d: ban %d of %d: open %v, lifted %v", round, i, written, open,
					lifted)
			}
		}
		for k := range snap.Open {
			if general >= 0 && netip.MustParsePrefix("192.0.2.0/24").Contains(k.Prefix().Addr()) &&
				!isGeneral(written+1) {
				t.Fatalf("round %d: %v waited when all were lifted, and runs", round, k)
			}
		}

		var ok string
		if err := s.conn.QueryRowContext(t.Context(),
			"PRAGMA integrity_check").Scan(&ok); err != nil || ok != "ok" {
			t.Fatalf("integrity: %s, %v", ok, err)
		}

		s.close()
	}

	if written < 50 {
		t.Errorf("only %d bans were written", written)
	}

	t.Logf("%d bans in 12 lives", written+1)
}
