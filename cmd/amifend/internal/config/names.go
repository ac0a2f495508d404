package config

import (
	"errors"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// MostNames is the largest number of host names in [allow]. Each is resolved once a minute.
const MostNames = 100

// hostName matches names after RFC 1123, 2.1. The labels before the last one may also have
// underscores, since some names do.
var hostName = regexp.MustCompile(`^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*` +
	`[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)

// names reads [allow] names: in small letters, sorted, each once.
func (l *loader) names(raw rawAllow) []string {
	const key = "allow.names"
	var out []string
	for i, s := range get(l, key, raw.Names, nil) {
		name, err := ParseName(s)
		if err != nil {
			l.problem(key, "%s %s", entry(i), err)
			continue
		}
		out = append(out, name)
	}

	slices.Sort(out)
	if out = slices.Compact(out); len(out) > MostNames {
		l.problem(key, "holds %d names; %d are possible: write the prefixes of networks into "+
			"[allow] prefixes", len(out), MostNames)
	}

	return out
}

// ParseName reads a host name for the allowlist and returns it in small letters. The text of an
// error continues a sentence that begins with the name or its place.
func ParseName(s string) (string, error) {
	name := strings.ToLower(strings.TrimSuffix(s, "."))
	_, notAddr := netip.ParseAddr(s)
	_, notPrefix := netip.ParsePrefix(s)

	// Each common mistake has its own advice.
	switch {
	case notAddr == nil || notPrefix == nil:
		return "", errors.New("is not a name; addresses and prefixes belong into [allow] prefixes")
	case strings.HasPrefix(name, "*"):
		return "", errors.New("stands for many names, which DNS cannot list; write each name, or " +
			"prefixes")
	case name == "localhost" || strings.HasSuffix(name, ".localhost"):
		return "", errors.New("is this machine, which is never banned anyway; leave it out")
	case len(name) > 253 || !hostName.MatchString(name):
		return "", errors.New("is not a host name; write one like \"phones.example.com\"")
	}

	return name, nil
}
