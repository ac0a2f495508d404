package journal

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Room on the disk is reserved for what an operator changes while the disk is full: a ban that
// could not be written is found in the kernel after a crash, but a lift that was not written would
// be undone by it.
const (
	reserveSize  = 2 << 20
	reserveSpare = 8 // it is reserved only while there is that many times the room
)

// reserveFile is beside the database, which may be one of several in its directory.
func (j *Journal) reserveFile() string { return j.path() + ".reserve" }

// reserve makes sure that the room is reserved. On a file system that cannot reserve any, there is
// none.
func (j *Journal) reserve() {
	if _, err := os.Lstat(j.reserveFile()); err == nil ||
		room(j.o.Directory) < reserveSpare*reserveSize {
		return
	}

	f, err := createNew(j.reserveFile())
	if err != nil {
		return
	}
	defer f.Close()

	if unix.Fallocate(int(f.Fd()), 0, 0, reserveSize) != nil {
		_ = os.Remove(j.reserveFile()) // it is of no use
	}
}

// release gives the reserved room back if err is for the want of it. It tells whether that is worth
// another try.
func (j *Journal) release(err error) bool {
	if !noSpace(err) && (!errors.Is(err, errReadOnly) || !full(j.o.Directory)) {
		return false
	}
	return os.Remove(j.reserveFile()) == nil
}

// flush writes all that waits, whatever the budget.
func (j *Journal) flush() error {
	if now := time.Now(); j.store.readOnly {
		if j.due.open = now; !j.open(now) || j.store.readOnly {
			return errReadOnly
		}
	}

	for j.backlog.urgent() {
		if err := j.commit(time.Now(), false); err != nil {
			return err
		}
	}

	return nil
}
