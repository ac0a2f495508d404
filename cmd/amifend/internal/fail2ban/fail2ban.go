// Package fail2ban reads the bans of fail2ban's own database, so that an operator who changes to
// amifend takes them along.
//
// It changes nothing there, and believes nothing: a ban counts only if its address is one, and it
// is not over.
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
	Left    time.Duration // what remains of it, above 0; of one for ever, MaxLeft
	Forever bool          // its bantime is -1
}

// MaxLeft is what remains of a ban for ever.
const MaxLeft = time.Duration(1<<63 - 1)

// Bans are what was found.
type Bans struct {
	Bans    []Ban    // ascending by prefix; a prefix that several jails banned is there once for each
	Over    int      // bans that are over
	Strange []string // what stands where an address or a time should be, some of it; it may be an attacker's text
	Wrong   int      // how many such rows there are
}

// strangeMost is how many strange addresses are told.
const strangeMost = 10

// Versions of fail2ban's database: since 3 (fail2ban 0.11) a ban has its own bantime, and the table
// bips holds those that run. Before, the time was in the jail's config alone.
const leastVersion = 3

// ErrTooOld says that the database does not tell how long bans last.
var ErrTooOld = errors.New("the database is of a fail2ban older than 0.11 and does not tell how " +
	"long its bans last")

// Read reads the bans that run at a time. The file may be in use by fail2ban.
func Read(ctx context.Context, path string, now time.Time) (*Bans, error) {
	f, err := os.Open(path)
	if err != nil { // sqlite would say no more than that it is "unable to open database file"
		return nil, fmt.Errorf("open fail2ban's database: %w", err)
	}
	f.Close()
	name := url.URL{
		Scheme: "file", OmitHost: true, Path: path,
		RawQuery: "mode=ro&_pragma=busy_timeout(5000)&_pragma=query_only(1)",
	}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, fmt.Errorf("open fail2ban's database: %w", err)
	}
	defer db.Close()
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
	// Whatever type a cell has, a row that is wrong must not hide the others.
	rows, err := db.QueryContext(ctx, `SELECT CAST(jail AS TEXT), CAST(ip AS TEXT), CAST(timeofban AS INTEGER), CAST(bantime AS INTEGER),
		typeof(timeofban) IN ('integer', 'real') AND typeof(bantime) IN ('integer', 'real') FROM bips`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := &Bans{}
	for rows.Next() {
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
	slices.SortFunc(out.Bans, func(a, b Ban) int {
		return cmp.Or(a.Prefix.Compare(b.Prefix),
			cmp.Compare(a.Jail, b.Jail))
	})
	return out, rows.Err()
}

// strange notes a row that is no ban.
func (b *Bans) strange(ip string) {
	if b.Wrong++; len(b.Strange) < strangeMost {
		b.Strange = append(b.Strange, ip)
	}
}

// add takes in one row: times are seconds since the Unix epoch, and seconds.
func (b *Bans) add(jail string, prefix netip.Prefix, from, lasts int64, now time.Time) {
	ban := Ban{Jail: jail, Prefix: prefix, Left: MaxLeft, Forever: lasts < 0}
	if !ban.Forever {
		// A ban that begins in the future is of a clock that was wrong: it lasts no longer than it
		// was to.
		lasts = min(lasts, int64(MaxLeft/time.Second)-1)
		began := time.Unix(from, 0)
		if began.After(now) {
			began = now
		}
		if ban.Left = time.Duration(lasts)*time.Second - now.Sub(began); ban.Left <= 0 {
			b.Over++
			return
		}
	}
	b.Bans = append(b.Bans, ban)
}

// parse reads an address or a prefix.
func parse(s string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p != p.Masked() || p.Addr().Is4In6() {
		return netip.Prefix{}, false
	}
	return p, true
}
