package feed

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
)

// A list on the disk is a file of the state directory itself: a confined process makes no folder. Its
// first line is the header, as JSON, and each further line is a prefix.
const (
	cachePrefix  = "feed-"
	cacheSuffix  = ".list"
	cacheVersion = 1
	mostCache    = 64 << 20
)

// header is the first line of a list on the disk.
type header struct {
	Version  int    `json:"version"`
	Origin   string `json:"origin"`
	Sum      string `json:"sha256"` // of all that follows
	Fetched  int64  `json:"fetched"`
	ETag     string `json:"etag,omitempty"`
	Modified string `json:"modified,omitempty"`
	ID       string `json:"id,omitempty"`
	Ignored  int    `json:"ignored,omitempty"`
	Bad      int    `json:"bad,omitempty"`
	BadLines []int  `json:"bad_lines,omitempty"`
}

// errCache is the error of a list on the disk that cannot be used.
var errCache = errors.New("the list on the disk is damaged")

// errOrigin is the error of a list on the disk that another publisher sent.
var errOrigin = errors.New("the list on the disk is that of another URL")

// origin identifies whose list it is. It is no key: the key of an API does not change whose list it is.
func origin(c config.Feed) string {
	sum := sha256.Sum256([]byte(c.Source + "\x00" + c.URL.Reveal() + "\x00" + c.File))
	return hex.EncodeToString(sum[:8])
}

func cachePath(dir, name string) string {
	return filepath.Join(dir, cachePrefix+name+cacheSuffix)
}

// save writes a list in place of the one that is there. It never leaves a half list behind.
func save(dir string, c config.Feed, l *List) error {
	var body bytes.Buffer
	for i, p := range l.Prefixes {
		body.WriteString(p.String())
		if i < len(l.Seen) {
			body.WriteString(" " + strconv.FormatInt(l.Seen[i], 10))
		}
		body.WriteByte('\n')
	}

	sum := sha256.Sum256(body.Bytes())
	head, err := json.Marshal(header{
		Version: cacheVersion, Origin: origin(c), Sum: hex.EncodeToString(sum[:]),
		Fetched: l.Fetched.Unix(), ETag: l.ETag, Modified: l.Modified, ID: l.ID,
		Ignored: l.Ignored, Bad: l.Bad, BadLines: l.BadLines,
	})
	if err != nil {
		return err
	}

	path := cachePath(dir, c.Name)
	temp := path + ".new"
	if err := write(temp, append(head, '\n'), body.Bytes()); err != nil {
		_ = os.Remove(temp) // it may have no room to be there
		return err
	}
	return os.Rename(temp, path)
}

// write writes a file, and waits until the disk has it.
func write(path string, parts ...[]byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()

	for _, part := range parts {
		if _, err := f.Write(part); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

// load reads a list from the disk. A missing one gives fs.ErrNotExist. All that a fetch checks is
// checked here, too: others may have written the file.
func load(dir string, c config.Feed, now time.Time) (*List, error) {
	f, err := openRegular(cachePath(dir, c.Name))
	if err != nil {
		return nil, err
	}
	defer f.Close()

	text, err := io.ReadAll(io.LimitReader(f, mostCache+1))
	if err != nil {
		return nil, err
	}
	first, body, ok := bytes.Cut(text, []byte("\n"))
	var h header
	if !ok || len(text) > mostCache || json.Unmarshal(first, &h) != nil || h.Version != cacheVersion {
		return nil, errCache
	}
	if sum := sha256.Sum256(body); h.Sum != hex.EncodeToString(sum[:]) {
		return nil, errCache
	}
	if h.Origin != origin(c) {
		return nil, errOrigin
	}

	l := &List{
		ETag: h.ETag, Modified: h.Modified, ID: h.ID, Ignored: h.Ignored, Bad: h.Bad,
		BadLines: h.BadLines,
	}
	lines := bufio.NewScanner(bytes.NewReader(body))
	for lines.Scan() {
		if err := l.cached(lines.Text()); err != nil {
			return nil, err
		}
	}
	if !slices.IsSortedFunc(l.Prefixes, netip.Prefix.Compare) || len(l.Prefixes) > mostPrefixes ||
		Sum(l.Prefixes).check() != nil {
		return nil, errCache
	}

	// From here on the age follows the monotonic clock. A list of the future was fetched under a
	// clock that was wrong, and is new.
	age := max(now.Sub(time.Unix(h.Fetched, 0)), 0)
	l.Fetched = now.Add(-age)
	return l, nil
}

// cached adds a line of the disk.
func (l *List) cached(line string) error {
	text, at, timed := strings.Cut(line, " ")
	p, err := netip.ParsePrefix(text)
	if err != nil || p != p.Masked() || p.Addr().Is4In6() || isReserved(p) ||
		p.Addr().Is4() && p.Bits() < widest4 || p.Addr().Is6() && p.Bits() < widest6 {
		return errCache
	}

	l.Prefixes = append(l.Prefixes, p)
	if timed {
		seen, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			return errCache
		}
		l.Seen = append(l.Seen, seen)
	}
	if len(l.Seen) != 0 && len(l.Seen) != len(l.Prefixes) {
		return errCache
	}
	return nil
}

// sweep removes the lists of feeds that are not in the config any more.
func sweep(dir string, feeds []config.Feed) {
	paths, _ := filepath.Glob(filepath.Join(dir, cachePrefix+"*"+cacheSuffix)) // the pattern is valid
	for _, path := range paths {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), cachePrefix), cacheSuffix)
		if !slices.ContainsFunc(feeds, func(c config.Feed) bool { return c.Name == name }) {
			_ = os.Remove(path) // what stays is only room on the disk
		}
	}
}

// describeCache returns why a list on the disk is not used.
func describeCache(err error) string {
	if errors.Is(err, errCache) || errors.Is(err, errOrigin) {
		return err.Error()
	}
	return fmt.Sprintf("the list on the disk cannot be read: %s", err)
}
