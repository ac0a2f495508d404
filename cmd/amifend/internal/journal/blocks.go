package journal

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"
)

// This file stores the engine's state as a log of blocks. A later block replaces records of earlier
// ones, so the log grows. Now and then the engine is asked for a full copy, a round. After it, the
// older blocks are deleted. Blocks are appended to pages of their own, which costs the disk least.

// Block is a part of the engine's state. Only the engine can read its content.
type Block struct {
	Data []byte // may be empty in a block that only begins or ends a round
	// A round is a full copy of the engine's state. Blocks with later changes may lie between its
	// blocks.
	First bool // a round begins with this block
	Last  bool // it ends with this block

	general bool // it comes from a [LiftAll]
}

// Bounds of the log.
const (
	leastLog   = 2 << 20     // bytes; a shorter log needs no round
	roundEvery = time.Minute // the least time between two rounds
	trimMost   = 16          // blocks to delete in one commit
)

// roundKey is the key of the row of state that holds the first block of the latest complete round.
const roundKey = "engine/round"

// blockLog describes the blocks in the database.
type blockLog struct {
	size    int64     // bytes in all blocks
	base    int64     // the size after the latest round
	round   int64     // the first block of the round being written; 0: none
	trim    int64     // delete the blocks before this one; 0: none
	missing bool      // the log has no full copy: a round is due
	ended   time.Time // when the latest round ended
	cut     bool      // it was logged that there is no room
}

// wants reports whether a round is due.
func (l *blockLog) wants(now time.Time) bool {
	return l.round == 0 &&
		(l.missing || l.size > 2*max(l.base, leastLog) && now.Sub(l.ended) >= roundEvery)
}

// Keep queues a block of the engine's state. It returns false and takes nothing while the block
// before still waits.
func (j *Journal) Keep(b Block) bool { return j.queue.keep(b) }

// Wants reports whether Keep would take a block now, and whether it should begin a round.
func (j *Journal) Wants() (block, round bool) { return j.queue.wants() }

// Blocks calls visit with each stored block in order, until visit returns false. visit may keep the
// bytes.
func (j *Journal) Blocks(ctx context.Context, visit func(data []byte) bool) error {
	return j.ask(ctx, func(s *store) error { return s.blocks(visit) })
}

// blocks is [Journal.Blocks].
func (s *store) blocks(visit func(data []byte) bool) error {
	rows, err := s.conn.QueryContext(context.Background(), "SELECT block FROM engine ORDER BY id")
	if err != nil {
		return fmt.Errorf("read the engine's state: %w", err)
	}
	defer rows.Close()

	// The blocks are large, so they are read one by one.
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

// measure reads the size of the log. If the log is empty, a round is due.
func (s *store) measure() (err error) {
	l := blockLog{}
	var ended, oldest int64
	ended, err = s.number("SELECT coalesce(max(CAST(value AS INTEGER)), 0) FROM state "+
		"WHERE key = ?", []byte(roundKey))
	if err == nil {
		err = s.conn.QueryRowContext(context.Background(), `SELECT coalesce(sum(length(block)), 0),
			coalesce(sum(length(block)) FILTER (WHERE round = ?), 0),
			coalesce(min(id), 0) FROM engine`, ended).Scan(&l.size, &l.base, &oldest)
	}

	if err != nil {
		return fmt.Errorf("measure the engine's state: %w", err)
	}

	// A crash may have interrupted the deletion of the blocks before the latest round.
	if l.missing = oldest == 0; !l.missing && oldest < ended {
		l.trim = ended
	}

	s.log = l
	return nil
}

// putBlock writes a block in the running transaction.
func (s *store) putBlock(b Block) error {
	id, err := s.number("SELECT coalesce(max(id), 0) + 1 FROM engine")
	if err != nil {
		return fmt.Errorf("write block: %w", err)
	}

	l := &s.log
	if b.First {
		l.round, l.missing = id, false
	}

	// A block without data only marks the beginning or the end of a round.
	if len(b.Data) > 0 {
		if _, err := s.do("block", id, l.round, b.Data); err != nil {
			return err
		}
		l.size += int64(len(b.Data))
	}

	// Only a complete round makes the older blocks superfluous.
	if b.Last && l.round != 0 {
		if _, err := s.do("state", []byte(roundKey),
			[]byte(strconv.FormatInt(l.round, 10))); err != nil {
			return err
		}
		l.trim, l.round, l.ended = l.round, 0, time.Now()
	}

	return nil
}

// trim deletes some blocks, and reports whether there are more to delete. It deletes those before
// the latest round. While the log takes more than half of the database's bound, it deletes the
// oldest ones too.
func (j *Journal) trim(now time.Time) (more bool, err error) {
	l := &j.store.log
	full := j.o.MaxSize > 0 && l.size > j.o.MaxSize/2
	if l.trim == 0 && !full {
		return false, nil
	}

	// The engine's state must leave room for the bans.
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

// trim deletes the oldest blocks: several that lie before the latest round, or else one.
func (s *store) trim() (more bool, err error) {
	most, before := 1, int64(math.MaxInt64)
	if s.log.trim != 0 {
		most, before = trimMost, s.log.trim
	}

	// Sum and deletion must see the same blocks.
	var size, gone int64
	err = s.write(func() error {
		err := s.conn.QueryRowContext(context.Background(),
			`SELECT coalesce(sum(length(block)), 0), count(*) FROM (
				SELECT block FROM engine WHERE id < ? ORDER BY id LIMIT ?)`,
			before, most).Scan(&size, &gone)
		if err != nil {
			return err
		}

		_, err = s.exec("DELETE FROM engine WHERE id IN (SELECT id FROM engine WHERE id < ? "+
			"ORDER BY id LIMIT ?)", before, most)

		return err
	})
	if err != nil {
		return false, fmt.Errorf("forget blocks: %w", err)
	}

	// Without the older blocks, the log is as short as it can be. Its growth counts from here.
	l := &s.log
	l.size -= size
	if more = gone == int64(most); !more && l.trim != 0 {
		l.trim, l.base = 0, l.size
	}

	return more, nil
}
