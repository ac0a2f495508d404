package audit

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/audit/advisory"
	"github.com/amifend/amifend/cmd/amifend/internal/audit/finding"
)

// version judges the versions of the servers by the table of advisories.
func (l *look) version() Section {
	s := Section{Depth: finding.Version}
	if l.o.Version != "" {
		s.Wanted = true
		r, ok := advisory.Parse(l.o.Version)
		if !ok {
			s.miss("%s is not a version of Asterisk", l.o.Version)
			return s
		}
		s.note("Asterisk %s, by --asterisk-version; table of %s", r, advisory.Date)
		l.judgeVersion(r, "", l.o.PBXConfig != "", &s)
		return s
	}

	for _, server := range slices.Sorted(maps.Keys(l.versions)) {
		v := l.versions[server]
		r, ok := advisory.Parse(v.text)
		switch branch := advisory.OfAMI(v.ami); {
		case ok:
			s.note("%s: Asterisk %s, by %s; table of %s", server, r, v.by, advisory.Date)
			l.judgeVersion(r, server, v.local, &s)
		case branch != "":
			// The banner names the branch only.
			s.note("%s: Asterisk %s, by the banner of its AMI", server, branch)
			s.miss("%s: its exact version; name it by --asterisk-version \"$(asterisk -V)\"", server)
			l.judgeBranch(advisory.Release{Branch: branch}, server)
		default:
			s.miss("%s: its version; name it by --asterisk-version \"$(asterisk -V)\"", server)
		}
	}
	if len(l.versions) == 0 {
		s.miss("the version: name it by --asterisk-version \"$(asterisk -V)\"")
	}
	return s
}

// judgeVersion adds what a release lacks.
func (l *look) judgeVersion(r advisory.Release, server string, local bool, s *Section) {
	l.judgeBranch(r, server)
	missing := advisory.Missing(r)
	if len(missing) == 0 {
		return
	}
	if r.Package != "" {
		l.askDistribution(r, missing, server, local, s)
		return
	}

	f := finding.New("advisories", fmt.Sprintf("Asterisk %s lacks the fixes of %d advisories", r,
		len(missing)), names(missing)...).Of(server)
	f.Severity = missing[0].Severity
	f.Why = missing[0].What
	f.Do = "update to " + advisory.Newest(r.Branch) + " or later"
	l.add(f)
}

// judgeBranch adds that a branch is no longer maintained.
func (l *look) judgeBranch(r advisory.Release, server string) {
	last, ended := advisory.Ended(r)
	if !ended {
		return
	}
	seen := "Asterisk " + r.Branch
	if last != "" {
		seen += ": its last release is " + last
	}
	l.add(finding.New("branch_ended", seen).Of(server))
}

// askDistribution adds what only the distribution knows. The changelog of its package names the
// advisories that it has fixed.
func (l *look) askDistribution(
	r advisory.Release, missing []advisory.Advisory, server string, local bool, s *Section,
) {
	all := len(missing)
	seen := fmt.Sprintf("%s is a package of a distribution; by its number alone, "+
		"%d fixes would be missing", r, all)

	// What the changelog names is fixed, whatever the number says.
	fixed, path := l.changelog(local, s)
	if fixed != nil {
		missing = slices.DeleteFunc(slices.Clone(missing), func(a advisory.Advisory) bool {
			return a.In(fixed)
		})
		s.note("%s names %d of %d advisories", path, all-len(missing), all)
		seen += fmt.Sprintf("; its changelog names %d of them", all-len(missing))
	}

	if len(missing) > 0 {
		l.add(finding.New("ask_distribution", seen, names(missing)...).Of(server))
	}
}

// changelog returns the names in the changelog of the PBX's package, and its path; nil if there is
// none.
func (l *look) changelog(local bool, s *Section) (map[string]bool, string) {
	path := l.o.Changelog
	if path == "" && local {
		path = l.o.OwnChangelog
	}
	if path == "" {
		return nil, ""
	}

	f, err := os.Open(path)
	if err != nil {
		// Whether this machine has one was only a guess.
		if path == l.o.Changelog {
			s.miss("the changelog of the package: %s", err)
		}
		return nil, ""
	}
	defer f.Close()

	fixed, err := advisory.Mentioned(f)
	if err != nil {
		s.miss("%s: %s", path, err)
	}
	return fixed, path
}

// names returns the advisories in words.
func names(all []advisory.Advisory) (out []string) {
	for _, a := range all {
		out = append(out, fmt.Sprintf("%s (%s, %s): %s", strings.Join(a.Names(), ", "), a.Severity,
			a.Date, a.What))
	}
	return out
}
