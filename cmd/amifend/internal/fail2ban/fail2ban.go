// Package fail2ban reads the bans from fail2ban's database, so that an operator who changes to
// amifend can keep them.
//
// It never writes to the database, and checks what it reads: a ban counts only if its address is
// valid and it still runs.
package fail2ban

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Ban is a ban that still runs.
type Ban struct {
	Jail    string
	Prefix  netip.Prefix
	Left    time.Duration // the time that remains, above 0; MaxLeft if Forever
	Forever bool          // its bantime is -1
}

// MaxLeft is the remaining time of a ban for ever.
const MaxLeft = time.Duration(1<<63 - 1)

// Bans is the content of a database.
type Bans struct {
	// Bans are ascending by prefix. A prefix that several jails banned is there once for each.
	Bans []Ban
	Over int // the number of bans that are over
	// Strange holds the first few addresses of rows whose address or time is not valid. They may
	// be an attacker's text.
	Strange []string
	Wrong   int // the number of rows that are not valid
}

// strangeMost is the largest length of Bans.Strange.
const strangeMost = 10

// leastVersion is the first version of fail2ban's database in which a ban has its own bantime, and
// the table bips holds the bans that run (fail2ban 0.11). Before, only the jail's config had the
// time.
const leastVersion = 3

// ErrTooOld is returned for a database that does not hold how long bans last.
var ErrTooOld = errors.New("the database is that of a fail2ban older than 0.11, which does not " +
	"store how long its bans last")

// Read returns the bans of the database at path that run at the time now. The file may be in use
// by fail2ban.
func Read(ctx context.Context, path string, now time.Time) (*Bans, error) {
	// sqlite's own error is only "unable to open database file".
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open fail2ban's database: %w", err)
	}
	f.Close()

	// The database is opened for reading only, and waits a bounded time for fail2ban's lock. A URL
	// quotes the path, which may hold any character.
	name := url.URL{
		Scheme: "file", OmitHost: true, Path: path,
		RawQuery: "mode=ro&_pragma=busy_timeout(5000)&_pragma=query_only(1)",
	}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, fmt.Errorf("open fail2ban's database: %w", err)
	}
	defer db.Close()

	// The version shows whether the columns that are read exist.
	var version int
	if err := db.QueryRowContext(ctx,
		"SELECT max(version) FROM fail2banDb").Scan(&version); err != nil {
		return nil, fmt.Errorf("read %s: not a database of fail2ban: %w", path, err)
	}
	if version < leastVersion {
		return nil, ErrTooOld
	}

	out, err := read(ctx, db, now)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}

	return out, nil
}

func read(ctx context.Context, db *sql.DB, now time.Time) (*Bans, error) {
	// Cells may have any type, so they are cast: a wrong row must not hide the others.
	rows, err := db.QueryContext(ctx, `SELECT
		CAST(jail AS TEXT), CAST(ip AS TEXT),
		CAST(timeofban AS INTEGER), CAST(bantime AS INTEGER),
		typeof(timeofban) IN ('integer', 'real') AND typeof(bantime) IN ('integer', 'real')
		FROM bips`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()

	// A row that cannot be understood is counted, and the next one is read.
	out := &Bans{}
	for rows.Next() {
		// After the casts, only a failure of the database makes Scan fail.
		var jail, ip string
		var from, lasts int64
		var timed bool
		if err := rows.Scan(&jail, &ip, &from, &lasts, &timed); err != nil {
			return nil, err
		}

		if prefix, ok := parse(ip); ok && timed {
			out.add(jail, prefix, from, lasts, now)
		} else {
			out.strange(ip)
		}
	}

	// A fixed order, so that a dry run and the real one can be compared.
	slices.SortFunc(out.Bans, func(a, b Ban) int {
		return cmp.Or(a.Prefix.Compare(b.Prefix), cmp.Compare(a.Jail, b.Jail))
	})
	return out, rows.Err()
}

// strange notes a row that is not a ban.
func (b *Bans) strange(ip string) {
	if b.Wrong++; len(b.Strange) < strangeMost {
		b.Strange = append(b.Strange, ip)
	}
}

// add adds one row. from is in seconds since the Unix epoch, lasts in seconds, negative for ever.
func (b *Bans) add(jail string, prefix netip.Prefix, from, lasts int64, now time.Time) {
	ban := Ban{Jail: jail, Prefix: prefix, Left: MaxLeft, Forever: lasts < 0}
	if !ban.Forever {
		// A ban that begins in the future comes from a wrong clock. It must not last longer than
		// its bantime.
		lasts = min(lasts, int64(MaxLeft/time.Second)-1)
		began := time.Unix(from, 0)
		if began.After(now) {
			began = now
		}

		// The time that has passed counts, so nothing is banned longer than fail2ban decided.
		if ban.Left = time.Duration(lasts)*time.Second - now.Sub(began); ban.Left <= 0 {
			b.Over++
			return
		}
	}

	b.Bans = append(b.Bans, ban)
}

// parse reads an address or a prefix. It reports false for anything else.
func parse(s string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		// IPv4 in IPv6 is the same host.
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), true
	}

	// With host bits in a prefix it is unclear what was meant, so it counts as wrong.
	p, err := netip.ParsePrefix(s)
	if err != nil || p != p.Masked() || p.Addr().Is4In6() {
		return netip.Prefix{}, false
	}

	return p, true
}
