package journal

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"
)

// This file keeps the engine's state: a log of blocks, in which what is said later replaces what
// was said before. A log grows, so from time to time the engine is asked to say everything anew (a
// round); what is older is then forgotten. Blocks are written one after the other into pages of
// their own, which costs a disk the least.

// Block is a part of the engine's state. What is in it, only the engine knows.
type Block struct {
	Data []byte // may be empty: then it only begins or ends a round
	// A round says all that the engine knows. Blocks of what changed meanwhile may stand within it.
	First bool // a round begins with this block
	Last  bool // it ends with this block
}

// How the log is kept.
const (
	leastLog   = 2 << 20     // bytes: a shorter log is not worth a round
	roundEvery = time.Minute // at least, between two rounds
	trimMost   = 16          // blocks that are forgotten in one commit
)

// roundKey is the key, among the rows of state, of the first block of the latest round that ended.
const roundKey = "engine/round"

// log is what is known of the blocks of a database.
type log struct {
	size    int64     // bytes of them
	base    int64     // as they were after the latest round
	round   int64     // the first block of the round that is being written; 0: there is none
	trim    int64     // the blocks before this one are to be forgotten
	missing bool      // what the engine knows is not in it: a round is due
	ended   time.Time // when the latest round ended
	cut     bool      // it was told that there is no room for it
}

// wants tells whether a round is due.
func (l *log) wants(now time.Time) bool {
	return l.round == 0 &&
		(l.missing || l.size > 2*max(l.base, leastLog) && now.Sub(l.ended) >= roundEvery)
}

// Keep writes a block of the engine's state. It is false, and takes nothing, while the one before
// waits to be written.
func (j *Journal) Keep(b Block) bool { return j.queue.keep(b) }

// Wants tells whether a block may be kept now, and whether it had better begin a round.
func (j *Journal) Wants() (block, round bool) { return j.queue.wants() }

// Blocks calls visit with each block that was kept, in their order, until it is false. The bytes
// are visit's own.
func (j *Journal) Blocks(ctx context.Context, visit func(data []byte) bool) error {
	return j.ask(ctx, func(s *store) error { return s.blocks(visit) })
}

func (s *store) blocks(visit func(data []byte) bool) error {
	rows, err := s.conn.QueryContext(context.Background(), "SELECT block FROM engine ORDER BY id")
	if err != nil {
		return fmt.Errorf("read the engine's state: %w", err)
	}
	defer rows.Close()

	for rows.Next() {
		var data []byte
		if err := rows.Scan(&data); err != nil {
			return fmt.Errorf("read the engine's state: %w", err)
		}
		if !visit(data) {
			return nil
		}
	}

	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the engine's state: %w", err)
	}

	return nil
}

// measure finds out how long the log is. An empty one lacks what the engine may know.
func (s *store) measure() (err error) {
	l := log{}
	var ended, oldest int64
	if ended, err = s.number("SELECT coalesce(max(CAST(value AS INTEGER)), 0) FROM state WHERE "+
		"key = ?", []byte(roundKey)); err == nil {
		err = s.conn.QueryRowContext(context.Background(), `SELECT coalesce(sum(length(block)), 0),
			coalesce(sum(length(block)) FILTER (WHERE round = ?), 0), coalesce(min(id), 0) FROM engine`, ended).Scan(&l.size, &l.base, &oldest)
	}

	if err != nil {
		return fmt.Errorf("measure the engine's state: %w", err)
	}

	if l.missing = oldest == 0; !l.missing && oldest < ended {
		l.trim = ended
	}

	s.log = l
	return nil
}

// putBlock writes a block in the transaction that runs.
func (s *store) putBlock(b Block) error {
	id, err := s.number("SELECT coalesce(max(id), 0) + 1 FROM engine")
	if err != nil {
		return fmt.Errorf("write block: %w", err)
	}

	l := &s.log
	if b.First {
		l.round, l.missing = id, false
	}

	if len(b.Data) > 0 {
		if _, err := s.do("block", id, l.round, b.Data); err != nil {
			return err
		}
		l.size += int64(len(b.Data))
	}

	if b.Last && l.round != 0 {
		if _, err := s.do("state", []byte(roundKey),
			[]byte(strconv.FormatInt(l.round, 10))); err != nil {
			return err
		}
		l.trim, l.round, l.ended = l.round, 0, time.Now()
	}

	return nil
}

// trim forgets some blocks: those that were said anew, and the oldest while the log is larger than
// half of what the database may have. It tells whether there are more to forget.
func (j *Journal) trim(now time.Time) (more bool, err error) {
	l := &j.store.log
	full := j.o.MaxSize > 0 && l.size > j.o.MaxSize/2
	if l.trim == 0 && !full {
		return false, nil
	}

	if l.trim == 0 && !l.cut {
		l.cut = true
		j.o.Log.Warn("the engine's state has no room in the journal: a restart would forget the "+
			"sources that were not heard of for longest",
			"bytes", l.size, "do", "raise [state] max_size_mb")
	}

	if err := guard(func() (err error) {
		more, err = j.store.trim()
		return err
	}); err != nil {
		return false, err
	}

	j.spend(now)
	return more, nil
}

// trim forgets the oldest blocks, of those that were said anew if there are any.
func (s *store) trim() (more bool, err error) {
	most, before := 1, int64(math.MaxInt64)
	if s.log.trim != 0 {
		most, before = trimMost, s.log.trim
	}

	var size, gone int64
	err = s.write(func() error {
		if err := s.conn.QueryRowContext(context.Background(),
			`SELECT coalesce(sum(length(block)), 0), count(*) FROM (
			SELECT block FROM engine WHERE id < ? ORDER BY id LIMIT ?)`, before, most).Scan(&size, &gone); err != nil {
			return err
		}

		_, err := s.exec("DELETE FROM engine WHERE id IN (SELECT id FROM engine WHERE id < ? "+
			"ORDER BY id LIMIT ?)", before, most)

		return err
	})
	if err != nil {
		return false, fmt.Errorf("forget blocks: %w", err)
	}

	l := &s.log
	l.size -= size
	if more = gone == int64(most); !more && l.trim != 0 {
		l.trim, l.base = 0, l.size
	}

	return more, nil
}
