package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// damaged makes a journal with bans, lifts and an allowance, and has damage change its file.
func damaged(t *testing.T, many int, damage func(file []byte) []byte) (dir string) {
	t.Helper()
	dir = t.TempDir()
	j := start(t, options(dir))
	for i := range many {
		j.Ban(ban(numbered(i).String(), all, time.Hour))
	}
	j.Lift(lift(numbered(0).String(), all))
	if !j.Save([]Row{{Key: []byte("allow/192.0.2.0/24"), Value: []byte("{}")}}) {
		t.Fatal("the row is not taken")
	}
	if err := j.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	j.stop()

	path := filepath.Join(dir, File)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, damage(file), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func rowsOf(t *testing.T, j *running) (out map[string]string) {
	t.Helper()
	out = make(map[string]string)
	if err := j.State(t.Context(), func(r Row) error {
		out[string(r.Key)] = string(r.Value)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// What can be read of a damaged journal is kept: what operators allowed and lifted, and the bans on
// both sides of the damage. The loss is shown until somebody acknowledges it, also after a restart.
func TestSalvage(t *testing.T) {
	const many = 3000
	dir := damaged(t, many, func(file []byte) []byte {
		// A page with rows in its middle.
		at := bytes.LastIndex(file, []byte(numbered(many/2).String()))
		page := file[at/4096*4096:][:4096]
		for i := range page {
			page[i] = 0x5a
		}
		return file
	})

	j := start(t, options(dir))
	snap, err := j.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(snap.Open) < many/2 || len(snap.Open) == many-1 {
		t.Errorf("%d bans of %d", len(snap.Open), many)
	}
	for _, i := range []int{1, many - 1} {
		if _, ok := snap.Open[Key{numbered(i), all}.Compact()]; !ok {
			t.Errorf("ban %d is gone", i)
		}
	}
	if _, ok := snap.Lifted[Key{numbered(0), all}.Compact()]; !ok {
		t.Error("the lift is gone")
	}
	if rowsOf(t, j)["allow/192.0.2.0/24"] != "{}" {
		t.Error("the allowance is gone")
	}

	j.stop()
	j = start(t, options(dir))
	j.snapshot(t)
	l := j.Health().Loss
	if l == nil || !strings.Contains(l.Kept, " bans") || l.Gone != "ban" ||
		!strings.Contains(l.Aside, ".corrupt-") {
		t.Fatalf("%+v", l)
	}
	if was, err := j.Acknowledge(t.Context()); !was || err != nil || j.Health().Loss != nil {
		t.Errorf("acknowledged: %v, %v", was, err)
	}
	if was, err := j.Acknowledge(t.Context()); was || err != nil {
		t.Errorf("again: %v, %v", was, err)
	}
}

// Of a file that holds nothing readable, the daemon writes what it knows: it is told so, and what
// was lifted last is not forgotten.
func TestNothingToSalvage(t *testing.T) {
	dir := t.TempDir()
	o := options(dir)
	begun := make(chan struct{}, 10)
	o.Begun = func() { begun <- struct{}{} }
	j := start(t, o)
	j.Ban(ban("192.0.2.1/32", all, time.Hour))
	j.Lift(lift("192.0.2.1/32", all))
	if err := j.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}

	// Nothing of it is left in the log of SQLite, and the journal notices when it reads.
	damaged := false
	if err := j.ask(t.Context(), func(s *store) error {
		if damaged {
			return nil
		}
		damaged = true
		if _, err := s.exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
			return err
		}
		return errors.Join(errDamaged, os.WriteFile(filepath.Join(dir, File),
			bytes.Repeat([]byte("x"), 8192), 0o600))
	}); err != nil {
		t.Fatal(err)
	}
	<-begun
	if l := j.Health().Loss; l == nil || l.Kept != "" {
		t.Errorf("%+v", l)
	}
	eventually(t, func() bool {
		snap, err := j.Snapshot(t.Context())
		return err == nil && len(snap.Lifted) == 1
	})
	if _, round := j.Wants(); !round {
		t.Error("the engine is not asked for all that it knows")
	}
}

// A file that is taken away while the daemon runs is copied from what is open.
func TestTakenAway(t *testing.T) {
	dir := t.TempDir()
	j := start(t, options(dir))
	j.Ban(ban("192.0.2.1/32", all, time.Hour))
	if err := j.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, end := range companions() {
		_ = os.Remove(filepath.Join(dir, File) + end)
	}
	if err := j.ask(t.Context(), func(*store) error {
		j.look(time.Now())
		return nil
	}); err != nil {
		t.Fatal(err)
	}

	if snap := j.snapshot(t); snap.shows() != "192.0.2.1/32 all 1h0m0s" {
		t.Error(snap.shows())
	}
	if l := j.Health().Loss; l == nil || l.Kept == "" {
		t.Errorf("%+v", l)
	}
}

// A backup is whole although the daemon writes, and comes back. What was there is kept. Neither a
// damaged file nor that of another table is restored, and none while the daemon runs.
func TestBackupAndRestore(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	o := options(dir)
	o.Table = "amifend"
	j := start(t, o)
	for i := range 1000 {
		j.Ban(ban(numbered(i).String(), all, time.Hour))
	}
	if err := j.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}

	// A backup is made while the journal runs. It is private, and replaces no file.
	file := filepath.Join(elsewhere, "backup.db")
	if err := Backup(t.Context(), o, file); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
	if err := Backup(t.Context(), o, file); !errors.Is(err, os.ErrExist) {
		t.Errorf("over another file: %v", err)
	}

	// Nothing is restored while the journal runs, from a damaged file, or from another table's.
	j.LiftAll(liftAll())
	if err := j.SyncLifts(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), o, file); !errors.Is(err, ErrLocked) {
		t.Errorf("while it runs: %v", err)
	}
	j.stop()

	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(elsewhere, "bad.db")
	if err := os.WriteFile(bad, append(bytes.Clone(good[:len(good)/2]),
		make([]byte, len(good)/2)...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), o, bad); err == nil {
		t.Error("a damaged file is restored")
	}
	other := o
	other.Table = "other"
	if _, err := Restore(t.Context(), other, file); !errors.Is(err, ErrOther) {
		t.Errorf("of another table: %v", err)
	}

	// The bans come back, and the journal with the lift is kept.
	aside, err := Restore(t.Context(), o, file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(aside); err != nil {
		t.Error(err)
	}
	if snap := start(t, o).snapshot(t); len(snap.Open) != 1000 || len(snap.Lifted) != 0 {
		t.Errorf("%d bans run, %d are lifted", len(snap.Open), len(snap.Lifted))
	}
}

// An older amifend refuses the journal of a newer one, and names the copy that the upgrade kept.
func TestDowngrade(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, File)
	s, err := openStore(path, Clock{}.OrReal())
	if err != nil {
		t.Fatal(err)
	}

	// An upgrade keeps a copy of the older version.
	if _, err := s.exec(fmt.Sprintf("PRAGMA user_version = %d", len(migrations)-1)); err != nil {
		t.Fatal(err)
	}
	s.keepOld(len(migrations) - 1)
	if _, err := os.Stat(keptFile(path, len(migrations)-1)); err != nil {
		t.Errorf("no copy is kept: %v", err)
	}

	// This amifend refuses a newer version, and says how to go back without a copy.
	if _, err := s.exec(fmt.Sprintf("PRAGMA user_version = %d", len(migrations)+1)); err != nil {
		t.Fatal(err)
	}
	s.close()
	_, err = openStore(path, Clock{}.OrReal())
	if !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "amifend restore FILE") {
		t.Errorf("%v", err)
	}

	// With a copy of its own version, it names that.
	kept := keptFile(path, len(migrations))
	if err := os.WriteFile(kept, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = openStore(path, Clock{}.OrReal()); !strings.Contains(err.Error(),
		"amifend restore "+kept) {
		t.Errorf("%v", err)
	}
}
