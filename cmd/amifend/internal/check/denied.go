package check

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/denylist"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// mostSpared bounds the exceptions that are listed: a deny list may contain the networks of a whole
// allowlist.
const mostSpared = 50

// deniedSection reports what is always dropped, and the exceptions.
func deniedSection(c *config.Config, never protect.Set) section {
	s := section{title: "always dropped"}
	list := denylist.New(c.Deny, never)
	s.ok("%s: %s listed, %s of addresses dropped", listedIn(c.Deny),
		wording.Count(list.Listed(), "prefix"), wording.Count(len(list.Set.Ranges()), "range"))
	for i, x := range list.Out {
		if i == mostSpared {
			s.note("and %d more that are listed and not dropped", len(list.Out)-i)
			break
		}
		s.note("%s is not dropped: %s; %s", bans.Source(sparedPrefix(x)), plain(x.Reason),
			spared(x))
	}

	return s
}

// spared returns where an exception is listed.
func spared(x denylist.Exception) string {
	text := fmt.Sprintf("listed as %s at %s", bans.Source(x.Listed.Prefix), plain(x.Listed.Where()))
	if x.More > 0 {
		text += " and " + wording.Count(x.More, "more place")
	}
	return text
}

// sparedPrefix returns what is not dropped: the listed prefix if it stands in one place, or the
// protected one.
func sparedPrefix(x denylist.Exception) netip.Prefix {
	if x.More == 0 && x.Listed.Prefix.Bits() > x.Prefix.Bits() {
		return x.Listed.Prefix
	}
	return x.Prefix
}

// listedIn returns the names of the lists with their lengths.
func listedIn(all []config.Denied) string {
	var names []string
	sizes := map[string]int{}
	for _, d := range all {
		if sizes[d.File] == 0 {
			names = append(names, d.File)
		}
		sizes[d.File]++
	}

	for i, name := range names {
		shown := plain(name)
		if name == "" {
			shown = "[deny] prefixes"
		}
		names[i] = fmt.Sprintf("%s (%d)", shown, sizes[name])
	}

	return strings.Join(names, ", ")
}
