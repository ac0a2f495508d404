package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"
)

// Past is a ban of the past, or one that runs, as it was decided. Times are the wall clock's.
type Past struct {
	Prefix   netip.Prefix
	Scope    string
	Rule     string
	Attempts int
	Evidence string // an attacker's bytes are quoted in it
	From     time.Time
	Until    time.Time
	Lifted   time.Time // zero: it was not
	By, Why  string    // of the lifting
	Observed bool      // nothing was dropped
}

// History returns the latest bans that covered an address, the last one first, most of them at most. It reads the database by
// itself, beside the goroutine that writes to it and without holding that up; what was told just now may not be there yet.
// Without a database there is no history.
func (j *Journal) History(ctx context.Context, addr netip.Addr, most int) ([]Past, error) {
	path := j.Health().Path
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	name := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: "mode=ro" + connOptions}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, fmt.Errorf("read the history of %s: %w", addr, err)
	}
	defer db.Close()
	out, err := history(ctx, db, addr, most)
	if err != nil {
		return nil, fmt.Errorf("read the history of %s: %w", addr, err)
	}
	return out, nil
}

func history(ctx context.Context, db *sql.DB, addr netip.Addr, most int) (out []Past, err error) {
	var args []any
	for bits := range addr.BitLen() + 1 { // every prefix that the address is in: a ban may be of any length
		args = append(args, netip.PrefixFrom(addr, bits).Masked().String())
	}
	rows, err := db.QueryContext(ctx, `SELECT prefix, scope, rule, attempts, evidence, decided, until, coalesce(lifted, 0),
		coalesce(lifted_by, ''), coalesce(lifted_why, ''), observed FROM ban
		WHERE prefix IN (?`+strings.Repeat(", ?", len(args)-1)+`) ORDER BY decided DESC, id DESC LIMIT ?`, append(args, most)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var p Past
		var prefix string
		var from, until, lifted int64
		if err := rows.Scan(&prefix, &p.Scope, &p.Rule, &p.Attempts, &p.Evidence, &from, &until, &lifted, &p.By, &p.Why, &p.Observed); err != nil {
			return nil, err
		}
		if p.Prefix, err = netip.ParsePrefix(prefix); err != nil {
			continue // changed by hand
		}
		p.From, p.Until = time.UnixMilli(from), time.UnixMilli(until)
		if lifted != 0 {
			p.Lifted = time.UnixMilli(lifted)
		}
		out = append(out, p)
	}
	return out, rows.Err()
}
