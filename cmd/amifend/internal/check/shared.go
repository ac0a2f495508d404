package check

import (
	"context"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// askTime limits how long a running daemon may take to answer.
const askTime = 2 * time.Second

// sharedSection names the addresses that many users share. Only a running daemon knows them, so
// nothing is printed where none answers.
func sharedSection(ctx context.Context, socket string) (section, bool) {
	if socket == "" {
		return section{}, false
	}

	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	st, err := control.NewClient(socket).Status(ctx)
	if err != nil || len(st.SharedSources) == 0 {
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
