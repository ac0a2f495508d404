package journal

import (
	"errors"
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

// reserve makes the reserve unless it exists. A file system that cannot allocate room has none.
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
		_ = os.Remove(j.reserveFile()) // an empty file reserves nothing
	}
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
