package diagnose

import (
	"bytes"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// removed stands in the place of a secret.
const removed = "(removed)"

// shortest is the length of the shortest secret that is looked for in other texts. A shorter one
// would be found everywhere, and shows nothing there.
const shortest = 4

// secretKey matches names of keys whose values are secrets, of amifend's config and of those that
// people know from other programs.
var secretKey = regexp.MustCompile(
	`(?i)secret|passw|passphrase|pwd|token|credential|private|api_?key|auth`)

// credentials matches what stands before the host in a URL or in an address.
var credentials = regexp.MustCompile(`[^\s"'/@:]*:[^\s"'/@]+@`)

// secrets are texts that no file of the bundle may hold.
type secrets map[string]bool

// add notes a secret, and what is left of it when it is cut at white space.
func (s secrets) add(text string) {
	for _, t := range append(strings.Fields(text), text, strings.TrimSpace(text)) {
		if len(t) >= shortest {
			s[t] = true
		}
	}
}

// clean returns a text without the secrets, however it quotes them, and without credentials.
func (s secrets) clean(text []byte) []byte {
	// The longest first: a secret may hold another one.
	all := make([]string, 0, len(s))
	for t := range s {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })

	for _, t := range all {
		for _, form := range forms(t) {
			text = bytes.ReplaceAll(text, []byte(form), []byte(removed))
		}
	}
	return credentials.ReplaceAll(text, []byte("(credentials)@"))
}

// forms returns how a text is written in TOML, JSON, Go and URLs.
func forms(text string) []string {
	quoted, _ := json.Marshal(text) // a string always can be
	inGo := strconv.Quote(text)
	all := []string{
		text, string(quoted[1 : len(quoted)-1]), inGo[1 : len(inGo)-1], url.QueryEscape(text),
		url.PathEscape(text),
	}
	return slices.Compact(slices.Sorted(slices.Values(all)))
}
