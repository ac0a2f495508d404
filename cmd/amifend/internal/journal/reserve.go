package journal

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Room on the disk is reserved for lifts and other changes of operators while the disk is full. A
// crash would undo a lift that was not written. It undoes no ban, because the kernel has the bans.
const (
	reserveSize  = 2 << 20 // bytes
	reserveSpare = 8       // nothing is reserved unless this many times reserveSize are free
)

// reserveFile returns the name of the reserve. It lies beside the database.
func (j *Journal) reserveFile() string { return j.path() + ".reserve" }

// reserve makes the reserve unless it exists, and shows why there is none. A file system that cannot
// allocate room has none.
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

// release deletes the reserve if err means a full disk, and reports whether the caller should try
// again.
func (j *Journal) release(err error) bool {
	if !noSpace(err) && (!errors.Is(err, errReadOnly) || !full(j.o.Directory)) {
		return false
	}
	return os.Remove(j.reserveFile()) == nil
}

// flush writes the backlog, whatever the budget. A commit has at most `most` bans that are not
// lifted. With 0, such bans stay in the backlog.
func (j *Journal) flush(most int) error {
	// The disk may have become writable since the last try.
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
