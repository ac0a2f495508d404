package geo

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
	"golang.org/x/sys/unix"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// Bounds of the files in bytes. The largest free ones have about 130 MB.
const (
	mostFile  = 256 << 20
	mostFiles = 512 << 20 // all together
)

// file is a file of the config.
type file struct {
	path     string
	stamp    stamp     // of the file at the last attempt to read it
	database *database // nil: it could not be read yet
	problem  string    // why it cannot be used as it is now; "": it can
}

// stamp changes when a file does.
type stamp struct {
	inode   uint64
	size    int64
	changed unix.Timespec
}

// database is the content of a file.
type database struct {
	memory []byte // mapped, and not of a file
	reader *maxminddb.Reader
	kind   string
	built  time.Time
}

// free gives the memory back. Nobody may use the database any more.
func (d *database) free() {
	d.reader.Close()
	_ = unix.Munmap(d.memory) // fails only for memory that is not ours
}

// look returns the state of the files. It reads those that have changed since a look before.
func look(names []string, before []*file) []*file {
	room := int64(mostFiles)
	out := make([]*file, 0, len(names))
	for _, path := range names {
		f := &file{path: path}
		i := slices.IndexFunc(before, func(o *file) bool { return o.path == path })
		if i >= 0 {
			*f = *before[i]
		}
		f.look(room)
		if f.database != nil {
			room -= int64(len(f.database.memory))
		}
		out = append(out, f)
	}
	return out
}

// look reads the file if it has changed. What was read before stays in use if that fails.
func (f *file) look(room int64) {
	handle, now, err := open(f.path)
	if err != nil {
		f.problem, f.stamp = err.Error(), stamp{}
		return
	}
	defer handle.Close()
	if now == f.stamp {
		return
	}

	// A file that is being written has another stamp at the next look, and is then read again.
	d, err := read(handle, now, room)
	f.stamp, f.problem = now, ""
	if err != nil {
		f.problem = err.Error()
		return
	}
	f.database = d
}

// open opens a regular file. It does not wait for the writer of a pipe.
func open(path string) (*os.File, stamp, error) {
	handle, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		if pathError, ok := errors.AsType[*fs.PathError](err); ok {
			err = pathError.Err
		}
		return nil, stamp{}, fmt.Errorf("it cannot be opened: %w", err)
	}

	now, err := stampOf(handle)
	if err != nil {
		handle.Close()
		return nil, stamp{}, err
	}
	return handle, now, nil
}

// stampOf returns the stamp of a regular file.
func stampOf(handle *os.File) (stamp, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(handle.Fd()), &st); err != nil {
		return stamp{}, fmt.Errorf("it cannot be read: %w", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return stamp{}, errors.New("it is not a regular file")
	}
	return stamp{st.Ino, st.Size, st.Mtim}, nil
}

// read reads a database into memory of its own. room limits its size.
func read(handle *os.File, now stamp, room int64) (*database, error) {
	switch {
	case now.size == 0:
		return nil, errors.New("it is empty")
	case now.size > mostFile:
		return nil, fmt.Errorf("it has %d MiB; at most %d are read", now.size>>20, mostFile>>20)
	case now.size > room:
		return nil, fmt.Errorf("all files together have more than %d MiB", mostFiles>>20)
	}

	memory, err := unix.Mmap(-1, 0, int(now.size), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("there is no memory for it: %w", err)
	}

	d, err := fillMemory(handle, now, memory)
	if err != nil {
		_ = unix.Munmap(memory) // as in free
	}
	return d, err
}

// fillMemory reads a file into memory, and makes a database of it.
func fillMemory(handle *os.File, now stamp, memory []byte) (*database, error) {
	if _, err := io.ReadFull(handle, memory); err != nil {
		return nil, fmt.Errorf("it cannot be read: %w", err)
	}
	if after, err := stampOf(handle); err != nil || after != now {
		return nil, errors.New("it changed while it was read")
	}
	if bytes.HasPrefix(memory, []byte{0x1f, 0x8b}) {
		return nil, errors.New("it is compressed: gunzip it")
	}

	reader, err := openReader(memory)
	if err != nil {
		return nil, err
	}
	return &database{
		memory: memory, reader: reader, kind: printable(reader.Metadata.DatabaseType),
		built: reader.Metadata.BuildTime(),
	}, nil
}

// errBroken is the error of a file that is not a database.
var errBroken = errors.New("it is not a file in MaxMind DB form (.mmdb), or is damaged")

// openReader returns a reader of a database. The texts of the library's errors may hold bytes of
// the file.
func openReader(memory []byte) (r *maxminddb.Reader, err error) {
	defer func() {
		if recover() != nil {
			r, err = nil, errBroken
		}
	}()

	r, err = maxminddb.OpenBytes(memory)
	if err != nil {
		return nil, errBroken
	}
	return r, nil
}

// fill adds to an origin what the database knows of an address. A nil database knows nothing, and
// neither does a damaged record.
func (d *database) fill(o *control.Origin, addr netip.Addr) {
	if d == nil || !addr.IsValid() || addr.Is6() && d.reader.Metadata.IPVersion == 4 {
		return
	}

	// The library checks what it reads. Should it miss something, a name is missing and no more.
	defer func() { _ = recover() }()
	var r record
	if d.reader.Lookup(addr.Unmap().WithZone("")).Decode(&r) == nil {
		r.fill(o)
	}
}

// Info describes a file.
type Info struct {
	Kind    string // as the file names its type
	Built   time.Time
	Country bool // it names the country of some address
}

// Read returns the description of a file, for amifend check.
func Read(path string) (Info, error) {
	f := file{path: path}
	f.look(mostFiles)
	if f.problem != "" {
		return Info{}, errors.New(f.problem)
	}
	defer f.database.free()
	return Info{
		Kind: f.database.kind, Built: f.database.built, Country: f.database.hasCountries(),
	}, nil
}

// hasCountries reports whether the database knows the country of any of some well-known addresses.
func (d *database) hasCountries() bool {
	for _, text := range []string{
		"8.8.8.8", "9.9.9.9", "193.0.6.139", "194.25.0.60", "202.12.29.175", "200.3.14.10",
		"196.216.2.1", "81.2.69.142", "1.0.16.1",
	} {
		var o control.Origin
		if d.fill(&o, netip.MustParseAddr(text)); o.Country != "" {
			return true
		}
	}
	return false
}
