package check

import (
	"fmt"
	"slices"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/denylist"
	"github.com/amifend/amifend/cmd/amifend/internal/feed"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// feedSection reports on the feeds: what the daemon knows of them, and what the files of this machine
// hold. Nothing is fetched: a publisher counts how often it is asked. known is the state of the daemon;
// nil: it does not run.
func feedSection(feeds []config.Feed, known []control.FeedState, never protect.Set) section {
	s := section{title: "feeds"}
	for _, c := range feeds {
		if c.File != "" {
			s.feedFile(c, never)
		}

		i := slices.IndexFunc(known, func(f control.FeedState) bool { return f.Name == c.Name })
		if i >= 0 {
			s.feedState(known[i])
		}

		switch {
		case i >= 0 || c.File != "":
		case known != nil:
			s.warn("%s: amifend has not loaded it yet; amifend reload", c.Name)
		default:
			s.note("%s: %s, fetched as soon as amifend runs", c.Name, publisherOf(c))
		}
	}
	return s
}

// publisherOf returns who publishes a feed. A URL may hold a token, so it is not printed.
func publisherOf(c config.Feed) string {
	if c.Source != "" {
		return c.Source
	}
	return "a list of its url"
}

// feedFile reports on the file of a feed, and on who is listed and must never be banned.
func (s *section) feedFile(c config.Feed, never protect.Set) {
	list, err := feed.ReadFile(c.File)
	if err != nil {
		s.warn("%s: %s: %s", c.Name, plain(c.File), err)
		return
	}

	if age := time.Since(list.Fetched); age > feed.StaleAfter {
		s.warn("%s: %s is %d days old; after 30 days it drops nobody", c.Name, plain(c.File),
			int(age.Hours()/24))
	} else {
		s.ok("%s: %s: %s", c.Name, plain(c.File), wording.Count(len(list.Prefixes), "prefix"))
	}
	if list.Bad > 0 {
		s.warn("%s: %s neither an address nor a prefix, the first is line %d", c.Name,
			linesAre(list.Bad), list.BadLines[0])
	}

	out := denylist.CutPublic(list.Prefixes, never, nil).Out
	for i, x := range out {
		if i == mostSpared {
			s.note("%s: and %d more that are listed and not dropped", c.Name, len(out)-i)
			break
		}
		s.note("%s: lists %s, which is not dropped: %s", c.Name, x.Prefix, plain(x.Reason))
	}
}

// linesAre begins a sentence about lines.
func linesAre(n int) string {
	if n == 1 {
		return "1 line is"
	}
	return fmt.Sprintf("%d lines are", n)
}

// feedState reports what the daemon knows of a feed.
func (s *section) feedState(f control.FeedState) {
	old := fmt.Sprintf("%s: its list is %d days old", f.Name, int(f.Age/(24*60*60)))
	switch f.State {
	case feed.StateStale:
		s.warn("%s; after 30 days it drops nobody; amifend feed list", old)
	case feed.StateDropped:
		s.warn("%s and drops nobody; amifend feed list", old)
	case feed.StateNone:
		s.warn("%s: there is no list yet; amifend feed list", f.Name)
	case feed.StateWaiting:
	default:
		s.ok("%s: %s in force", f.Name, wording.Count(f.Prefixes, "prefix"))
	}

	if f.Waiting > 0 {
		s.warn("%s: a list of %s waits: %s; look at it, then: amifend feed accept %[1]s", f.Name,
			wording.Count(f.Waiting, "prefix"), f.Why)
	}
	if f.Problem != "" {
		s.warn("%s: its last list was not taken: %s", f.Name, f.Problem)
	}
	if f.Disk != "" {
		s.warn("%s: %s", f.Name, f.Disk)
	}
}
