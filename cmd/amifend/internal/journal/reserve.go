package journal

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Room on the disk is reserved for what an operator changes while the disk is full: a ban that
// could not be written is found in the kernel after a crash, but a lift that was not written would
// be undone by it.
const (
	reserveSize  = 2 << 20
	reserveSpare = 8 // times reserveSize must be free, or nothing is reserved
)

// reserveFile returns the name of the reserve, beside its database.
func (j *Journal) reserveFile() string { return j.path() + ".reserve" }

// reserve makes the reserve unless it exists, and shows why there is none. On a file system without
// allocation there is none.
func (j *Journal) reserve() {
	why := ""
	if err := j.makeReserve(); err != nil {
		why = err.Error()
	}
	j.health.set(func(h *Health) { h.Unreserved = why })
}

// makeReserve makes the reserve unless it exists.
func (j *Journal) makeReserve() error {
	if f, err := os.Lstat(j.reserveFile()); err == nil {
		if !f.Mode().IsRegular() {
			return fmt.Errorf("%s is not a file", j.reserveFile())
		}
		return nil
	}
	if least := uint64(reserveSpare * reserveSize); room(j.o.Directory) < least {
		return fmt.Errorf("less than %d MiB are free", least>>20)
	}

	f, err := createNew(j.reserveFile())
	if err != nil {
		return err
	}
	defer f.Close()

	if err := unix.Fallocate(int(f.Fd()), 0, 0, reserveSize); err != nil {
		_ = os.Remove(j.reserveFile()) // an empty file reserves nothing
		return fmt.Errorf("the file system cannot reserve room: %w", err)
	}
	return nil
}

// release deletes the reserve if err means a full disk, and reports whether another try makes
// sense.
func (j *Journal) release(err error) bool {
	if !noSpace(err) && (!errors.Is(err, errReadOnly) || !full(j.o.Directory)) {
		return false
	}
	return os.Remove(j.reserveFile()) == nil
}

// flush writes what waits, whatever the budget: at most so many bans that are not lifted in each
// commit, and with 0 none of them.
func (j *Journal) flush(most int) error {
	if now := time.Now(); j.store.readOnly {
		if j.due.open = now; !j.open(now) || j.store.readOnly {
			return errReadOnly
		}
	}

	for j.backlog.urgent() && (most > 0 || j.backlog.pressing()) {
		if err := j.commitSome(time.Now(), false, most); err != nil {
			return err
		}
	}

	return nil
}
