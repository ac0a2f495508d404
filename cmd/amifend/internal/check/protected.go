package check

import (
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
)

// protectedSection lists what is never banned and why.
func protectedSection(set protect.Set, unresolved []*protect.LookupError, err error) section {
	s := section{title: "never banned"}
	if err != nil {
		s.fail("", "cannot find the addresses that must never be banned: %s", err)
		return s
	}

	// The addresses form a column.
	width := 0
	for _, e := range set.Entries {
		width = max(width, len(bans.Source(e.Prefix)))
	}

	for _, e := range set.Entries {
		s.add(levelNone, "", "%-*s  %s", width, bans.Source(e.Prefix), plain(e.Reason))
	}

	// Others may ban what only the server itself names.
	for _, l := range set.Learned {
		s.add(levelWarn, l.Advice(), "%s  %s: protected only from what that server reports", l.Addr,
			plain(l.Reason))
	}

	// For a network of ours the rule differs: single hosts can be banned.
	if len(set.OnLink) > 0 {
		var nets []string
		for _, p := range set.OnLink {
			nets = append(nets, p.String())
		}
		s.note("our networks: a host there can be banned, never the whole: %s",
			strings.Join(nets, ", "))
	}

	// A name without addresses protects nobody now.
	for _, e := range unresolved {
		s.add(levelWarn,
			"see whether the name is right and DNS works: getent ahosts "+plain(e.Host),
			"%s: its addresses are not protected", plain(e.Error()))
	}

	return s
}
