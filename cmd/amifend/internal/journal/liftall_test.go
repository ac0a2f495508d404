package journal

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

func liftAll() LiftAll { return LiftAll{At: time.Now(), By: "uid 0", Why: "emergency"} }

// One record lifts what was written and what waits, and nothing that is decided later; also after a
// restart, and for those who read the past.
func TestLiftAll(t *testing.T) {
	dir := t.TempDir()
	j := start(t, options(dir))
	j.Ban(ban("10.0.0.1/32", all, time.Hour))
	j.Ban(ban("10.0.0.2/32", sip, time.Hour))
	j.Lift(lift("10.0.0.2/32", sip))
	j.Ban(ban("10.0.0.7/32", all, time.Millisecond)) // is over
	if err := j.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}

	time.Sleep(10 * time.Millisecond)
	j.Ban(ban("10.0.0.3/32", all, time.Hour)) // waits
	l := liftAll()
	l.Block = []byte("the engine knows of it")
	j.LiftAll(l)
	j.Ban(ban("10.0.0.1/32", all, time.Hour)) // again
	j.Ban(ban("10.0.0.4/32", all, time.Hour))
	if err := j.SyncLifts(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := j.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	j.stop()

	j = start(t, options(dir))
	snap, err := j.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := snap.shows(), "10.0.0.1/32 all 1h0m0s, 10.0.0.2/32 sip lifted, "+
		"10.0.0.4/32 all 1h0m0s"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if ago := snap.At.Sub(snap.All.At); snap.All.Why != "emergency" || ago <= 0 ||
		ago > time.Minute {
		t.Errorf("all were lifted %v ago: %+v", ago, snap.All)
	}

	past, err := j.History(t.Context(), numbered(1).Addr().Prev(), 9)
	if err != nil || len(past) != 0 {
		t.Errorf("of nobody: %v, %v", past, err)
	}
	past, err = j.History(t.Context(), numbered(1).Addr(), 9)
	if err != nil || len(past) != 2 || !past[0].Lifted.IsZero() || past[1].Lifted.IsZero() ||
		past[1].By != "uid 0" || past[1].Why != "emergency" {
		t.Errorf("%+v, %v", past, err)
	}

	var blocks []string
	if err := j.Blocks(t.Context(), func(b []byte) bool {
		blocks = append(blocks, string(b))
		return true
	}); err != nil || !slices.Equal(blocks, []string{"the engine knows of it"}) {
		t.Errorf("%q, %v", blocks, err)
	}
}

// The rows that were lifted and then deleted leave no numbers to others: a later ban would be taken
// for one that was lifted.
func TestLiftAllAndRowsThatAreDeleted(t *testing.T) {
	j := start(t, options(t.TempDir()))
	j.Ban(ban("10.0.0.1/32", all, time.Hour))
	if err := j.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	j.LiftAll(liftAll())
	if err := j.SyncLifts(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := j.ask(t.Context(), func(s *store) error {
		_, err := s.exec("DELETE FROM ban")
		return err
	}); err != nil {
		t.Fatal(err)
	}

	j.Ban(ban("10.0.0.5/32", all, time.Hour))
	if err := j.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	snap, err := j.Snapshot(t.Context())
	if err != nil || snap.shows() != "10.0.0.5/32 all 1h0m0s" {
		t.Errorf("%s, %v", snap.shows(), err)
	}
}

// What is lifted by one record keeps its history when the row is superseded, or tidied up.
func TestLiftAllIsKeptInTheRows(t *testing.T) {
	j := start(t, options(t.TempDir()))
	for i := range 3 {
		j.Ban(ban(numbered(i).String(), all, time.Hour))
	}
	if err := j.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}

	// All are lifted, one of them is banned again, and two hours later all are over.
	j.LiftAll(liftAll())
	j.Ban(ban(numbered(0).String(), all, time.Hour))
	if err := j.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	wall := time.Now().Add(2 * time.Hour).UnixMilli()
	if err := j.ask(t.Context(), func(s *store) error {
		_, err := s.some(over, wall, wall, tidyRows)
		return err
	}); err != nil {
		t.Fatal(err)
	}

	// Each row has the lift, although the row of lift_all may be deleted now.
	var kept int64
	if err := j.ask(t.Context(), func(s *store) (err error) {
		kept, err = s.number("SELECT count(*) FROM ban WHERE lifted_why = 'emergency' AND current = 0")
		return err
	}); err != nil || kept != 3 {
		t.Errorf("%d rows, %v", kept, err)
	}
}

// However many bans wait to be written, a lift does not wait for them.
func TestLiftsGoFirst(t *testing.T) {
	j := start(t, options(t.TempDir()))

	// The journal writes nothing until all have come.
	held, begun := make(chan struct{}), make(chan struct{})
	asked := make(chan error)
	go func() {
		asked <- j.ask(t.Context(), func(*store) error {
			close(begun)
			<-held
			return nil
		})
	}()
	<-begun

	const many = 50_000
	for i := range many {
		j.Ban(ban(numbered(i).String(), all, time.Hour))
	}
	j.Lift(lift(numbered(many-1).String(), all))
	lifted := make(chan error)
	go func() { lifted <- j.SyncLifts(t.Context()) }() // it waits for the journal, as in a command
	close(held)
	if err := errors.Join(<-asked, <-lifted); err != nil {
		t.Fatal(err)
	}

	waiting := 0
	if err := j.ask(t.Context(), func(s *store) error {
		waiting = len(j.backlog.entries)
		if n, err := s.number("SELECT count(*) FROM ban WHERE lifted IS NOT NULL"); err != nil || n != 1 {
			return fmt.Errorf("%d lifts are written: %w", n, err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if waiting == 0 {
		t.Errorf("no ban waits, of %d: the lift was the last that was written", many)
	}
}
