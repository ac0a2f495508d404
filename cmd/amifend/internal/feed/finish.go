package feed

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"reflect"
	"slices"
	"time"
)

// This file takes what the goroutines of the keeper have done: a list that was fetched, read from the
// disk, or written to it.

// finish takes what a goroutine has done. A feed that is gone needs it no more.
func (k *Keeper) finish(d done) {
	i := slices.IndexFunc(k.feeds, func(s *state) bool { return s.gen == d.gen })
	if i < 0 {
		return
	}

	s := k.feeds[i]
	switch d.what {
	case loaded:
		k.finishLoad(s, d)
	case fetched:
		// A fetch with a key that was replaced meanwhile says nothing about the new one. The new one is
		// tried at once.
		s.fetching = false
		if reflect.DeepEqual(d.conf, s.conf) {
			k.finishFetch(s, d)
		}
	case stored:
		k.finishSave(s, d)
	}
}

// finishLoad takes a list of the disk. One that comes too late, after a fetch, is not needed.
func (k *Keeper) finishLoad(s *state, d done) {
	s.loadBy = time.Time{}
	switch {
	case errors.Is(d.err, fs.ErrNotExist):
		return
	case d.err != nil:
		s.disk = describeCache(d.err)
		k.o.Log.Warn("feed: "+s.disk+": it is fetched anew", "feed", s.conf.Name)
		return
	case s.list != nil:
		return
	case k.tooMany(s, d.list) != "":
		return // the fetch tells why
	}

	s.list, s.saved = d.list, d.list
	s.next = jittered(s.list.Fetched.Add(s.conf.Every), s.conf.Every)
	k.o.Log.Info("feed: its list was read from the disk", "feed", s.conf.Name,
		"prefixes", len(s.list.Prefixes), "age", time.Since(s.list.Fetched).Round(time.Minute).String())
}

// finishFetch takes the end of a fetch.
func (k *Keeper) finishFetch(s *state, d done) {
	now := time.Now()
	if errors.Is(d.err, errUnchanged) {
		s.succeed(now)
		s.confirm(d.of, now)
		return
	}

	problem, doubt := k.judge(s, d)
	switch {
	case problem != "":
		k.fail(s, problem, now)
	case doubt != "":
		s.succeed(now)
		s.waiting, s.why = d.list, doubt
		k.o.Log.Warn("feed: a list waits, and the one before stays in force: "+doubt,
			"feed", s.conf.Name, "do", "amifend feed accept "+s.conf.Name)
	default:
		s.succeed(now)
		k.take(s, d.list)
		if s.list.More {
			s.next = now.Add(apibanPause)
		}
	}
}

// judge returns why a fetch gave no list that can be taken, or why its list must wait; "": neither.
func (k *Keeper) judge(s *state, d done) (problem, doubt string) {
	if d.err != nil {
		return describe(d.err), ""
	}
	sum := Sum(d.list.Prefixes)
	if err := sum.check(); err != nil {
		return err.Error(), ""
	}
	if problem := k.tooMany(s, d.list); problem != "" {
		return problem, ""
	}
	return "", sum.doubted(s.size())
}

// size returns the size of the list in force; nil: there is none.
func (s *state) size() *Summary {
	if s.list == nil {
		return nil
	}
	sum := Sum(s.list.Prefixes)
	return &sum
}

// take puts a list in force.
func (k *Keeper) take(s *state, l *List) {
	attrs := []any{"feed", s.conf.Name, "prefixes", len(l.Prefixes)}
	if l.Bad > 0 {
		attrs = append(attrs, "bad_lines", l.Bad, "first", l.BadLines)
	}
	if s.list == nil || !slices.Equal(s.list.Prefixes, l.Prefixes) {
		k.o.Log.Info("feed: there is a new list", attrs...)
	}

	s.list = l
	s.waiting, s.why = nil, ""
	s.problem = ""
}

// confirm notes that a list is still the one that its publisher has.
func (s *state) confirm(l *List, now time.Time) {
	// The age of a file is its own.
	if l == nil || s.conf.File != "" {
		return
	}
	renewed := *l
	renewed.Fetched = now
	switch l {
	case s.waiting:
		s.waiting = &renewed
	case s.list:
		s.list = &renewed
	}
}

func (s *state) succeed(now time.Time) {
	s.problem, s.failures = "", 0
	s.next = jittered(now.Add(s.conf.Every), s.conf.Every)
}

// fail notes why a fetch failed. The list before stays.
func (k *Keeper) fail(s *state, problem string, now time.Time) {
	pause := min(retryFirst<<min(s.failures, 10), max(retryLast, s.conf.Every))
	s.failures++
	s.next = jittered(now.Add(pause), pause)

	// The same failure again is no news.
	if s.problem != problem {
		k.o.Log.Warn("feed: its list was not taken: "+problem, "feed", s.conf.Name,
			"retry", pause.String())
	}
	s.problem = problem
}

// jittered adds up to a tenth of a pause, so that not all machines ask a publisher at once.
func jittered(at time.Time, pause time.Duration) time.Time {
	return at.Add(rand.N(pause/10 + 1)) //nolint:gosec // no secret
}

// finishSave takes the end of a writing to the disk.
func (k *Keeper) finishSave(s *state, d done) {
	s.saving = false
	if d.err == nil {
		s.saved, s.disk = d.of, ""
		return
	}

	// The list is in force without a disk. It is only fetched anew after a restart.
	text := "its list cannot be written to the disk: " + d.err.Error()
	if s.disk != text {
		k.o.Log.Warn("feed: "+text, "feed", s.conf.Name)
	}
	s.disk = text
	s.saveAt = time.Now().Add(lookEvery)
}

// tooMany returns why a list of a feed has no room beside those of the others; "": it has.
func (k *Keeper) tooMany(s *state, l *List) string {
	n := len(l.Prefixes)
	for _, o := range k.feeds {
		if o != s && o.list != nil {
			n += len(o.list.Prefixes)
		}
	}
	if n > mostPrefixes {
		return refuse("all feeds together would have more than %d prefixes", mostPrefixes).Error()
	}
	return ""
}
