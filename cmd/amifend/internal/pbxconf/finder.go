package pbxconf

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
)

// finder fills a Config from sections.
type finder struct {
	Config
	dir     string
	modules modules
	// peers are the sections of the file being read that are peers; true for one with a host.
	peers map[string]bool
}

// host adds a trunk written as an address, a network or a name, with or without a port. It ignores
// "" and texts with variables, which are patterns of pjsip_wizard.conf.
func (f *finder) host(text, where string) {
	text = strings.TrimSpace(text)
	if text == "" || strings.Contains(text, "${") {
		return
	}

	prefix, name, err := parseHost(text)
	switch {
	case err != nil:
		f.Problems = append(f.Problems, Problem{where, err.Error()})
	case name != "":
		f.Trunks = append(f.Trunks, Trunk{Host: name, Where: where})
	case !neverBanned(prefix):
		f.Trunks = append(f.Trunks, Trunk{Prefix: prefix, Where: where})
	}
}

// hosts adds the entries of a comma-separated list.
func (f *finder) hosts(list, where string) {
	for text := range strings.SplitSeq(list, ",") {
		f.host(text, where)
	}
}

// uris adds the hosts of a comma-separated list of SIP URIs. A URI may hold a password, so it is
// not shown.
func (f *finder) uris(list, where string) {
	for text := range strings.SplitSeq(list, ",") {
		if text = strings.TrimSpace(text); text == "" || strings.Contains(text, "${") {
			continue
		}

		host, ok := uriHost(text)
		if !ok {
			f.Problems = append(f.Problems, Problem{where, "is not a SIP URI"})
			continue
		}

		f.host(host, where)
	}
}

// risk adds a risk at a variable of a section.
func (f *finder) risk(kind RiskKind, v variable, s *section, text, do string) {
	f.Risks = append(f.Risks, Risk{kind, at(v, s, v.name), text, do})
}

// at returns the place of a variable.
func at(v variable, s *section, what string) string {
	return fmt.Sprintf("%s [%s] %s", v.where, s.name, what)
}

// neverBanned reports whether no ban can hit a prefix, so that nobody needs to allow it.
func neverBanned(p netip.Prefix) bool {
	a := p.Addr()
	return a.IsLoopback() || a.IsUnspecified() && p.IsSingleIP() || a.IsMulticast()
}

// relative returns the name of a file relative to the folder, if the file is inside it.
func relative(dir, path string) string {
	if rel, err := filepath.Rel(dir, path); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return path
}
