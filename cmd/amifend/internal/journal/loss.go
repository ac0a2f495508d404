package journal

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// lossKey is the key of the row of state with a [Loss] that nobody has acknowledged.
const lossKey = "loss"

// Loss describes the loss of a journal, or of a part of it.
type Loss struct {
	At    time.Time `json:"at"`    // wall clock
	Cause string    `json:"cause"` // what was wrong with the old journal
	// Aside is the file of the old journal; "": it is gone.
	Aside string `json:"aside,omitempty"`
	// Kept lists what was copied from the old journal, for people; "": nothing.
	Kept string `json:"kept,omitempty"`
	// Gone lists the tables that could not be copied whole.
	Gone string `json:"gone,omitempty"`
}

// String returns the loss in words.
func (l *Loss) String() string {
	text := fmt.Sprintf("it was lost at %s (%s) and begun anew", l.At.UTC().Format(time.RFC3339),
		l.Cause)

	// The reader must know which decisions may be missing.
	switch {
	case l.Gone == "" && l.Kept != "":
		text += "; all of it was kept: " + l.Kept
	case l.Kept != "":
		text += "; kept of it: " + l.Kept + "; not all of: " + l.Gone
	default:
		text += "; bans, allowances and scores are as the daemon knew them, the history and the " +
			"alerts are gone"
	}

	if l.Aside != "" {
		text += "; the old one is " + l.Aside
	}
	return text
}

// Do returns what to do about the loss.
func (l *Loss) Do() string {
	return "look at the disk, and at amifend bans and amifend allow --list; if something is " +
		"missing, amifend restore a backup; then amifend status --acknowledge"
}

// newLoss returns the loss of a database from which s was salvaged.
func newLoss(at time.Time, cause, aside string, s salvaged) *Loss {
	l := &Loss{At: at.Round(0), Cause: cause, Aside: aside}

	// The order is that of importance for an operator.
	var kept []string
	for _, t := range []struct{ table, what string }{
		{"ban", "bans"},
		{"state", "allowances and other values"},
		{"operation", "changes of operators"},
		{"alert", "alerts"},
		{"engine", "blocks of scores"},
	} {
		if n := s.rows[t.table]; n > 0 {
			kept = append(kept, fmt.Sprintf("%d %s", n, t.what))
		}
	}

	l.Kept, l.Gone = strings.Join(kept, ", "), strings.Join(s.broken, ", ")
	return l
}

// putLoss writes a loss to the database and to the health.
func (j *Journal) putLoss(l *Loss) error {
	text, _ := json.Marshal(l) // texts and a time: it cannot fail
	err := j.store.write(func() error {
		_, err := j.store.do("state", []byte(lossKey), text)
		return err
	})
	j.health.set(func(h *Health) { h.Loss = l })
	return err
}

// readLoss copies the loss that nobody has acknowledged from the database to the health.
func (j *Journal) readLoss() {
	var l *Loss
	read := func(r Row) error {
		if string(r.Key) == lossKey {
			l = &Loss{}
			if json.Unmarshal(r.Value, l) != nil {
				l.Cause = "the row with the reason cannot be read"
			}
		}
		return nil
	}

	// If the table cannot be read, the next write reports the error.
	_ = guard(func() error { return j.store.state(read) })
	j.health.set(func(h *Health) { h.Loss = l })
}

// NoteLoss records that the journal was lost before it was opened.
func (j *Journal) NoteLoss(ctx context.Context, cause string) error {
	return j.ask(ctx, func(*store) error {
		return j.putLoss(newLoss(j.o.Clock.Wall(), cause, "", salvaged{}))
	})
}

// Acknowledge ends the report of a loss, and reports whether there was one.
func (j *Journal) Acknowledge(ctx context.Context) (was bool, err error) {
	err = j.ask(ctx, func(s *store) error {
		if was = j.Health().Loss != nil; !was {
			return nil
		}

		// A restart must not report it again, so the row goes first.
		if err := s.write(func() error {
			_, err := s.do("forget", []byte(lossKey))
			return err
		}); err != nil {
			return err
		}

		j.health.set(func(h *Health) { h.Loss = nil })
		return nil
	})
	return was, err
}
