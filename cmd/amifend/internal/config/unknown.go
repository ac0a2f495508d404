package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// synonyms are the words that users of other tools know.
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

// unknownKeys reports each key that is not in known, exactly as it is spelt there. The TOML library
// alone would also take Threshold for threshold.
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

		if slices.ContainsFunc(reported, func(r string) bool {
			return strings.HasPrefix(path, r+".")
		}) {
			continue // its table is unknown already
		}

		reported = append(reported, path)
		l.problem(path, "unknown key; %s", suggest(key, known))
	}
}

// suggest says what key was probably meant to be.
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

	if best, ok := nearest(name, siblings); ok {
		return "did you mean " + best + "?"
	}
	if len(elsewhere) > 0 {
		return "it belongs in " + strings.Join(elsewhere, " or ")
	}

	if best, ok := nearest(name, others); ok && table == "" {
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

func header(table string) string {
	switch table {
	case "":
		return "the top of the file"
	case "server":
		return "[[server]]"
	default:
		return "[" + table + "]"
	}
}

// nearest returns the candidate that name is most probably a misspelling of.
func nearest(name string, candidates []string) (string, bool) {
	best, least := "", 1+len(name)/3 // a third of the letters may be wrong
	for _, c := range candidates {
		if d := distance(strings.ToLower(name), strings.ToLower(c)); d < least || d == least &&
			best == "" {
			best, least = c, d
		}
	}
	return best, best != ""
}

// distance is Levenshtein's: how many bytes must be inserted, deleted or replaced to turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}

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
