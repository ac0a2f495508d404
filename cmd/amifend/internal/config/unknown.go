package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// synonyms maps the words of other tools to ours.
var synonyms = map[string]string{
	"ignoreip":  "[allow] prefixes",
	"whitelist": "[allow] prefixes",
	"allowlist": "[allow] prefixes",
	"blacklist": "[deny] files",
	"blocklist": "[deny] files",
	"denylist":  "[deny] files",
	"maxretry":  "[policy] threshold",
	"findtime":  "[policy] half_life",
	"host":      "[[server]] address",
	"hostname":  "[[server]] address",
	"port":      `[[server]] address, as in "pbx.example:5038"`,
	"user":      "[[server]] username",
	"login":     "[[server]] username",
	"password":  "[[server]] secret",
}

// unknownKeys records a problem for each key that is not in known, or has another case there. The
// TOML library alone would accept Threshold for threshold.
func (l *loader) unknownKeys(all []toml.Key, known keys) {
	var reported []string
	counts := counter{}
	for _, key := range all {
		path := counts.path(key)
		plain := strings.Join(key, ".")
		if _, ok := known[plain]; ok || strings.HasPrefix(plain, "policy.weights.") ||
			strings.HasPrefix(plain, "policy.rules.") {
			continue
		}

		// The keys of an unknown table are not reported one by one.
		if slices.ContainsFunc(reported, func(r string) bool {
			return strings.HasPrefix(path, r+".")
		}) {
			continue
		}

		reported = append(reported, path)
		l.problem(path, "unknown key; %s", suggest(key, known))
	}
}

// suggest returns advice for an unknown key: the nearest key, its right place, or the keys that are
// valid there.
func suggest(key toml.Key, known keys) string {
	table, name := strings.Join(key[:len(key)-1], "."), key[len(key)-1]
	var siblings, elsewhere, others []string
	for _, k := range slices.Sorted(maps.Keys(known)) {
		t, n := "", k
		if i := strings.LastIndexByte(k, '.'); i >= 0 {
			t, n = k[:i], k[i+1:]
		}

		switch {
		case t == table:
			siblings = append(siblings, n)
		case n == name:
			elsewhere = append(elsewhere, header(t))
		default:
			others = append(others, n)
		}
	}

	// The likeliest mistake comes first: a misspelling, then a key in the wrong table, then a word
	// of another tool.
	if best, ok := Nearest(name, siblings); ok {
		return "did you mean " + best + "?"
	}
	if len(elsewhere) > 0 {
		return "it belongs in " + strings.Join(elsewhere, " or ")
	}

	if best, ok := Nearest(name, others); ok && table == "" {
		return "did you mean " + best + "? It belongs into its [table]"
	}

	if s, ok := synonyms[strings.ToLower(name)]; ok {
		return "write " + s
	}
	if len(siblings) == 0 {
		return header(table) + " has no keys below it"
	}

	return "valid here: " + strings.Join(siblings, ", ")
}

// header returns the name of a table as a user writes it.
func header(table string) string {
	switch table {
	case "":
		return "the top of the file"
	case "server", "notify", "feed":
		return "[[" + table + "]]"
	default:
		return "[" + table + "]"
	}
}

// Nearest returns the candidate that is closest to name, and reports whether one is close enough:
// at most a third of the letters may be wrong.
func Nearest(name string, candidates []string) (string, bool) {
	best, least := "", 1+len(name)/3
	for _, c := range candidates {
		if d := distance(strings.ToLower(name), strings.ToLower(c)); d < least || d == least &&
			best == "" {
			best, least = c, d
		}
	}
	return best, best != ""
}

// distance returns the Levenshtein distance: the bytes to insert, delete or replace to turn a into
// b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}

	// row holds the distances of the beginnings of b from a[:i].
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}

	return row[len(b)]
}
