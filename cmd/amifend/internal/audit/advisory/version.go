// Package advisory knows Asterisk's security advisories since 2021: which release of each branch
// has their fix first.
//
// The table is compiled in and has a date: [Date]. It was made from the commits and the tags of
// https://github.com/asterisk/asterisk: a commit names the advisory that it resolves, and the first
// tag of a branch that contains such a commit is the fix of that branch. The severities are those
// of amifend, by who can use the weakness: the commits have none.
package advisory

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Release is a version of Asterisk.
type Release struct {
	// Branch is what fixes are released for: "22", or "certified-20.7".
	Branch string
	// Numbers order the releases of a branch.
	Numbers []int
	// Package is what a distribution added to the version, such as "~dfsg-0+deb11u4"; "": none.
	Package string
	// Development marks a build that is no release.
	Development bool
}

var (
	product   = regexp.MustCompile(`(?i)asterisk|fpbx|certified|^\s*\d`)
	certified = regexp.MustCompile(`(?i)\bcertified[-/](\d{1,3})\.(\d{1,3})-cert(\d{1,3})(\S{0,80})`)
	numbered  = regexp.MustCompile(`(\d[\d.]*)([^\s\d]\S{0,80})?`)
	three     = regexp.MustCompile(`^(\d{1,3})\.(\d{1,4})\.(\d{1,4})$`)
	candidate = regexp.MustCompile(`(?i)^-?(rc|beta|alpha|pre)\d*$`)
)

// Parse finds the version of Asterisk in a text: the header Server, the output of `asterisk -V`, or
// a bare version.
func Parse(text string) (Release, bool) {
	if len(text) > 500 {
		text = text[:500]
	}
	if !product.MatchString(text) {
		return Release{}, false // Kamailio has versions, too
	}
	if m := certified.FindStringSubmatch(text); m != nil {
		n := numbers(m[1:4])
		return Release{
			Branch: fmt.Sprintf("certified-%d.%d", n[0], n[1]), Numbers: n, Package: tail(m[4]),
		}, true
	}

	// FPBX-16.0.40.7(18.24.1) names FreePBX first: a version of Asterisk has three numbers.
	for at := 0; at < len(text); {
		m := numbered.FindStringSubmatchIndex(text[at:])
		if m == nil {
			break
		}
		digits, rest := text[at+m[2]:at+m[3]], ""
		if m[4] >= 0 {
			rest = text[at+m[4] : at+m[5]]
		}

		at += m[3]
		n := three.FindStringSubmatch(digits)
		if n == nil {
			continue
		}
		r := Release{Numbers: numbers(n[1:]), Package: tail(rest)}
		r.Branch = strconv.Itoa(r.Numbers[0])
		if candidate.MatchString(r.Package) {
			r.Package, r.Development = "", true
		}
		return r, true
	}
	return Release{}, false
}

// tail returns what follows the numbers of a version, without the marks that end it in a sentence.
func tail(text string) string { return strings.TrimRight(text, `)(,;"'`) }

func numbers(texts []string) (out []int) {
	for _, t := range texts {
		n, _ := strconv.Atoi(t) // at most four digits
		out = append(out, n)
	}
	return out
}

// String returns the release as Asterisk writes it, with what a distribution added.
func (r Release) String() string {
	if base, ok := strings.CutPrefix(r.Branch, "certified-"); ok {
		return fmt.Sprintf("certified-%s-cert%d%s", base, r.Numbers[2], r.Package)
	}
	return fmt.Sprintf("%d.%d.%d%s", r.Numbers[0], r.Numbers[1], r.Numbers[2], r.Package)
}

// before reports whether a release is older than another of the same branch.
func (r Release) before(fixed string) bool {
	other, ok := Parse(fixed)
	return ok && r.Branch == other.Branch && slices.CompareFunc(r.Numbers, other.Numbers,
		cmp.Compare[int]) < 0
}

// Missing returns the advisories whose fix a release lacks, the worst first. For the version of a
// distribution, these are only candidates: it may have added the fixes.
func Missing(r Release) (out []Advisory) {
	for _, a := range table {
		if a.lacks(r) {
			out = append(out, a)
		}
	}
	slices.SortStableFunc(out, func(a, b Advisory) int { return int(b.Severity) - int(a.Severity) })
	return out
}

// lacks reports whether a release has the weakness.
func (a Advisory) lacks(r Release) bool {
	fixed, ok := a.Fixed[r.Branch]
	if !ok || !r.before(fixed) {
		return false
	}
	since, ok := a.Since[r.Branch]
	return !ok || !r.before(since)
}

// Newest returns the last release of a branch at the date of the table, or "".
func Newest(branch string) string { return branches[branch].last }

// Ended returns the last release of a branch, "" if it is not known, and reports whether the branch
// gets no fixes any more. Older branches than those of the table ended, too.
func Ended(r Release) (last string, ended bool) {
	b, known := branches[r.Branch]
	if !known {
		// Asterisk 1.8 to 15, and certified releases of them.
		major, _ := strconv.Atoi(strings.TrimPrefix(r.Branch, "certified-"))
		if len(r.Numbers) > 0 {
			major = r.Numbers[0]
		}
		return "", major < 16
	}
	return b.last, b.ended
}

// OfAMI returns the branch of Asterisk that greets with a version of AMI (main/manager.c and
// include/asterisk/manager.h, AMI_VERSION), or "".
func OfAMI(version string) string {
	major, _, _ := strings.Cut(version, ".")
	return map[string]string{
		"5": "16", "6": "17", "7": "18", "8": "19", "9": "20", "10": "21", "11": "22", "12": "23",
	}[major]
}

// All returns the whole table, the oldest first.
func All() []Advisory { return slices.Clone(table) }
