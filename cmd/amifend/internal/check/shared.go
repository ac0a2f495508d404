package check

import (
	"context"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// askTime limits how long a running daemon may take to answer.
const askTime = 2 * time.Second

// askDaemon returns the status of a running daemon, and reports whether one answers.
func askDaemon(ctx context.Context, socket string) (control.Status, bool) {
	if socket == "" {
		return control.Status{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	st, err := control.NewClient(socket).Status(ctx)
	return st, err == nil
}

// journalSection warns where no room is reserved for the journal. Only a running daemon knows.
func journalSection(st control.Status) (s section, found bool) {
	if st.Journal == nil || st.Journal.Unreserved == "" {
		return section{}, false
	}
	s = section{title: "journal"}
	s.add(levelWarn, control.AdviseReserve, "no room is reserved on its disk: %s",
		st.Journal.Unreserved)
	return s, true
}

// sharedSection names the addresses that many users share. Only a running daemon knows them.
func sharedSection(st control.Status) (section, bool) {
	if len(st.SharedSources) == 0 {
		return section{}, false
	}

	s := section{title: "addresses that many users share"}
	for i, shared := range st.SharedSources {
		do := ""
		if i == len(st.SharedSources)-1 {
			do = "let the PBX see real sources (PROXY protocol, X-Forwarded-For, no masquerading), or " +
				"allow such an address and limit guesses there"
		}
		s.add(levelNote, do, "%s: %s logged in from there lately; attacks through it ban nobody",
			shared.Source, wording.Count(shared.Accounts, "account"))
	}

	if st.SharedMore > 0 {
		s.note("and %d more", st.SharedMore)
	}
	return s, true
}
