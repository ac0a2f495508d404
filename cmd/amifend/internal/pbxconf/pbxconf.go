// Package pbxconf reads the trunks of an Asterisk: the addresses and names of providers, which must
// not be banned, out of its config files or out of what its command line prints.
//
// What Asterisk keeps in a database (realtime) is in no file; where the files say so, that is a
// [Problem]. Neither are the objects that something created at run time. The command line shows
// both: see [Commands] and [FromCLI].
//
// Nothing is executed, nothing is resolved, and no password is part of a result.
package pbxconf

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Commands are what to ask Asterisk for input to [FromCLI]: asterisk -rx "COMMAND".
func Commands() []string {
	return []string{
		"pjsip show identifies", "pjsip show registrations", "sip show peers",
		"sip show registry",
	}
}

// Trunk is one address, network or name that calls come from or go to.
type Trunk struct {
	Prefix netip.Prefix // masked; invalid if Host is a name
	Host   string       // a name that the caller resolves; "" if there is a Prefix
	Where  string       // where it was found, such as "pjsip.conf:12 [itsp] type=identify match"
}

// Problem is something that may hide a trunk.
type Problem struct {
	Where string // a file, with its line where there is one
	Text  string
}

func (p Problem) String() string { return p.Where + ": " + p.Text }

// Trunks reads pjsip.conf, pjsip_wizard.conf and sip.conf of a folder, usually /etc/asterisk, with
// all that they include. Trunks are in the order of the files; the same address may come several
// times.
//
// What is broken in the files is a Problem and the rest is read. It is an error if none of the
// three can be read.
func Trunks(dir string) ([]Trunk, []Problem, error) {
	if st, err := os.Stat(dir); err != nil {
		return nil, nil, fmt.Errorf("open the folder of Asterisk's config: %w", err)
	} else if !st.IsDir() {
		return nil, nil, fmt.Errorf("open the folder of Asterisk's config: %s is no folder", dir)
	}

	f := &finder{}
	var causes []string
	for _, file := range []struct {
		name string
		read func(*section)
	}{{"pjsip.conf", f.pjsip}, {"pjsip_wizard.conf", f.wizard}, {"sip.conf", f.sip}} {
		sections, problems, err := readConfig(dir, file.name)
		f.problems = append(f.problems, problems...)
		if err != nil {
			causes = append(causes, file.name+": "+cause(err))
			if !errors.Is(err, fs.ErrNotExist) {
				f.problems = append(f.problems, Problem{file.name, cause(err)})
			}
			continue
		}

		sections = slices.DeleteFunc(sections, func(s *section) bool { return s.template })
		f.peers = map[string]bool{}
		for _, s := range sections {
			f.peers[s.name] = f.peers[s.name] || s.isPeer() && s.staticHost() != ""
		}

		for _, s := range sections {
			file.read(s)
		}
	}

	if len(causes) == 3 {
		return nil, nil,
			fmt.Errorf("read Asterisk's config in %s: %s", dir, strings.Join(causes, "; "))
	}

	f.realtime(dir)
	return f.trunks, f.problems, nil
}

// cause is what is wrong with a file, without its name, which is said already.
func cause(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Op + ": " + pe.Err.Error()
	}
	return err.Error()
}

// finder collects trunks out of sections.
type finder struct {
	trunks   []Trunk
	problems []Problem
	// sections of the file that is read, when it is sip.conf: true for a peer with a host
	peers map[string]bool
}

// host adds a trunk written as an address, a network or a name, with or without a port. "" and
// variables are nothing.
func (f *finder) host(text, where string) {
	text = strings.TrimSpace(text)
	if text == "" || strings.Contains(text, "${") { // a pattern of pjsip_wizard.conf
		return
	}

	prefix, name, err := parseHost(text)
	switch {
	case err != nil:
		f.problems = append(f.problems, Problem{where, err.Error()})
	case name != "":
		f.trunks = append(f.trunks, Trunk{Host: name, Where: where})
	case !neverBanned(prefix):
		f.trunks = append(f.trunks, Trunk{Prefix: prefix, Where: where})
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
			f.problems = append(f.problems, Problem{where, "is no SIP URI"})
			continue
		}

		f.host(host, where)
	}
}

// neverBanned tells of what no ban can hit anyway, so nobody needs to allow it.
func neverBanned(p netip.Prefix) bool {
	a := p.Addr()
	return a.IsLoopback() || a.IsUnspecified() && p.IsSingleIP() || a.IsMulticast()
}

// relative shows a file as one knows it: by its name in the folder.
func relative(dir, path string) string {
	if rel, err := filepath.Rel(dir, path); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return path
}
