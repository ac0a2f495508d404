package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// keep tells of a block, when the one before is written.
func (r *running) keep(t testing.TB, b Block) {
	t.Helper()
	eventually(t, func() bool { return r.Keep(b) })
	eventually(t, func() bool { room, _ := r.Wants(); return room })
}

// kept returns the first byte of each block.
func (r *running) kept(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	if err := r.Blocks(t.Context(), func(data []byte) bool {
		b.WriteByte(data[0])
		return true
	}); err != nil {
		t.Fatal(err)
	}

	return b.String()
}

func block(name byte, size int) Block { return Block{Data: bytes.Repeat([]byte{name}, size)} }

// round says whether a round is due.
func (r *running) round() bool {
	_, round := r.Wants()
	return round
}

// Blocks come back in order, also after a kill, one at a time is taken, and none is lost.
func TestBlocks(t *testing.T) {
	dir := t.TempDir()
	r := start(t, options(dir))
	r.snapshot(t)
	release := r.hang(t)
	if !r.Keep(block('a', 10)) || r.Keep(block('x', 10)) {
		t.Error("not one is taken")
	}

	if room, _ := r.Wants(); room {
		t.Error("there is room while one waits")
	}

	release()
	r.keep(t, block('b', 300_000))
	copied := t.TempDir() // what a kill leaves

	for _, end := range []string{"", "-wal"} {
		raw, err := os.ReadFile(filepath.Join(dir, File+end))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(copied, File+end), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	killed := start(t, options(copied))
	if got := killed.kept(t); got != "ab" {
		t.Errorf("after a kill: %q", got)
	}

	r.Keep(block('c', 10))
	r.stop()
	r = start(t, options(dir))
	if got := r.kept(t); got != "abc" {
		t.Errorf("after a stop: %q", got)
	}

	n := 0
	if err := r.Blocks(t.Context(), func(data []byte) bool {
		n += len(data)
		return false
	}); err != nil || n != 10 {
		t.Errorf("%d bytes, %v: it did not stop", n, err)
	}
}

// A round is asked for when the log is new, and when it has grown to twice what it was after the
// last one. What was before a round is forgotten when it ends, not before, and the pages are used
// again.
func TestRounds(t *testing.T) {
	t.Parallel() // it waits most of the time, for the budget
	dir := t.TempDir()
	r := start(t, options(dir))
	r.snapshot(t)
	if !r.round() {
		t.Error("a new log does not want all")
	}

	mark := func(b Block, first, last bool) Block { b.First, b.Last = first, last; return b }
	r.keep(t, mark(block('a', 1000), true, false))
	if r.round() {
		t.Error("it is wanted again while it comes")
	}

	r.keep(t, mark(block('b', 1000), false, true))
	for range 5 {
		r.keep(t, block('c', leastLog/2))
	}

	if r.round() {
		t.Error("a round follows another at once")
	}

	if err := r.ask(t.Context(), func(s *store) error {
		s.log.ended = time.Now().Add(-roundEvery)
		return nil
	}); err != nil {
		t.Fatal(err)
	}

	r.keep(t, block('d', 10))
	if !r.round() {
		t.Error("no round is wanted, though the log has grown")
	}

	r.stop()
	r = start(t, options(dir))
	if got := r.kept(t); got != "abcccccd" || !r.round() {
		t.Errorf("after a restart: %q, round %v", got, r.round())
	}

	r.keep(t, mark(block('e', 1000), true, false))
	r.keep(t, block('f', 1000)) // what changed meanwhile
	if got := r.kept(t); got != "abcccccdef" {
		t.Errorf("during the round: %q", got)
	}

	r.stop() // it is not ended
	r = start(t, options(dir))
	r.snapshot(t)
	if !r.round() {
		t.Error("half a round is enough")
	}

	r.keep(t, mark(block('g', 1000), true, false))
	r.keep(t, mark(Block{}, false, true)) // nothing was left to say
	eventually(t, func() bool { return r.kept(t) == "g" })
	if got := r.kept(t); got != "g" {
		t.Errorf("after the round: %q", got)
	}

	before := r.count(t, "PRAGMA page_count")
	r.keep(t, block('h', leastLog))
	if after := r.count(t, "PRAGMA page_count"); after > before+10 {
		t.Errorf("%d pages became %d: what is free is not used", before, after)
	}

	r.stop()
	r = start(t, options(dir))
	if got := r.kept(t); got != "gh" || r.round() {
		t.Errorf("at last: %q, round %v", got, r.round())
	}

	if err := r.ask(t.Context(), func(s *store) error {
		if s.log.base != 1000 || s.log.size != 1000+leastLog {
			return fmt.Errorf("%+v", s.log)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// A log that outgrows its half of the database loses its oldest blocks.
func TestBlocksAreBounded(t *testing.T) {
	t.Parallel() // as above
	o := options(t.TempDir())
	o.MaxSize = 4 << 20
	r := start(t, o)

	for i := range 8 {
		r.keep(t, block('a'+byte(i), 500_000))
	}

	eventually(t, func() bool { return r.kept(t) == "efgh" })
	if got := r.kept(t); got != "efgh" ||
		!strings.Contains(r.log.String(), "raise [state] max_size_mb") {
		t.Errorf("%q\n%s", got, r.log)
	}
}

// A database that was begun anew wants to hear all again, and the round that was going on counts
// for nothing.
func TestRoundAfterANewBeginning(t *testing.T) {
	dir := t.TempDir()
	r := start(t, options(dir))
	first := block('a', 10)
	first.First = true
	r.keep(t, first)
	if r.round() {
		t.Fatal("the round has begun")
	}

	_ = r.ask(t.Context(), func() func(*store) error {
		once := true
		return func(*store) error {
			if once {
				once = false
				return errDamaged
			}
			return nil
		}
	}())

	eventually(t, r.round)
	last := block('b', 10)
	last.Last = true
	r.keep(t, last)
	if !r.round() {
		t.Error("the second half of a round is taken for one")
	}

	if got := r.kept(t); got != "ab" { // the first was salvaged
		t.Errorf("%q", got)
	}
}

// A journal belongs to one table, and a dry run has one of its own.
func TestOwner(t *testing.T) {
	dir := t.TempDir()
	o := options(dir)
	o.Table = "amifend"
	r := start(t, o)
	r.Ban(ban("192.0.2.1/32", all, time.Hour))
	r.written(t)
	dry := o
	dry.Observed = true
	d := start(t, dry) // beside it
	if got := d.snapshot(t).shows(); got != "" {
		t.Errorf("a dry run has %q", got)
	}

	d.Ban(ban("192.0.2.2/32", all, time.Hour))
	d.written(t)
	if got := r.snapshot(t).shows(); got != "192.0.2.1/32 all 1h0m0s" {
		t.Errorf("it has %q", got)
	}

	r.stop()
	d.stop()
	if got := start(t, dry).snapshot(t).shows(); got != "192.0.2.2/32 all 1h0m0s" {
		t.Errorf("a second dry run has %q", got)
	}

	other := o
	other.Table = "amifend2"
	s := start(t, other)

	if _, err := s.Snapshot(t.Context()); !errors.Is(err, ErrOther) || !Refused(err) ||
		!strings.Contains(err.Error(),
			`it is of "inet amifend", this is "inet amifend2"; give each a [state] directory`) {
		t.Errorf("another table: %v", err)
	}

	s.stop()
	if got := start(t, o).snapshot(t).shows(); got != "192.0.2.1/32 all 1h0m0s" {
		t.Errorf("its own has %q", got)
	}
}

// A journal of a dry run must not be taken for one in force, whatever its name.
func TestObservedFileByAnotherName(t *testing.T) {
	dir := t.TempDir()
	o := options(dir)
	o.Observed = true
	r := start(t, o)
	r.snapshot(t)
	r.stop()
	if err := os.Rename(filepath.Join(dir, ObservedFile), filepath.Join(dir, File)); err != nil {
		t.Fatal(err)
	}

	o.Observed, o.Table = false, "amifend"
	if _, err := start(t, o).Snapshot(t.Context()); !errors.Is(err, ErrOther) {
		t.Errorf("%v", err)
	}
}

// A disk that is full loses no block.
func TestBlocksOnAFullDisk(t *testing.T) {
	t.Parallel() // it waits most of the time
	withMounts(t, func(t *testing.T) {
		dir := mount(t, "2m")
		r := start(t, options(dir))
		r.keep(t, block('a', 1000))
		free := fillUp(t, dir)
		if !r.Keep(block('b', 400_000)) {
			t.Fatal("not taken")
		}

		r.broken(t)
		if room, _ := r.Wants(); room {
			t.Error("there is room")
		}

		free()
		eventually(t, func() bool { room, _ := r.Wants(); return room })
		if got := r.kept(t); got != "ab" {
			t.Errorf("%q", got)
		}
	})
}

// Nobody waits longer than he wants to.
func TestBlocksInVain(t *testing.T) {
	r := start(t, options(t.TempDir()))
	r.keep(t, block('a', 10))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Blocks(ctx, func([]byte) bool { return true }); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
