package config

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/BurntSushi/toml"
)

// counter counts the [[server]] and [[notify]] tables while the keys of a file are walked in order.
type counter map[string]int

// path returns key with the number of its table, such as server[2].address. The header itself
// gives server[2].
func (c counter) path(key toml.Key) string {
	if !isList(key[0]) {
		return strings.Join(key, ".")
	}
	if len(key) == 1 {
		c[key[0]]++
	}

	path := fmt.Sprintf("%s[%d]", key[0], max(c[key[0]], 1))
	if len(key) > 1 {
		path += "." + strings.Join(key[1:], ".")
	}
	return path
}

// locate returns the line of each key. The TOML library does not export positions, so locate
// searches the text. A comment or a long text may mislead it, which does no harm: the number only
// helps people.
func locate(src []byte, all []toml.Key) map[string]int {
	lines := strings.Split(string(src), "\n")
	out := map[string]int{}
	counts := counter{}
	at := 0

	// The library lists the keys in the order of the file, so each search begins where the last one
	// ended.
	for _, key := range all {
		path := counts.path(key)
		here := pattern(key)
		for n := at; n < len(lines); n++ {
			if here.MatchString(lines[n]) {
				if _, ok := out[path]; !ok {
					out[path] = n + 1
				}
				at = n
				break
			}
		}
	}

	return out
}

// pattern returns an expression that matches the line of a key: "name =", also dotted or in an
// inline table, or the header of a table.
func pattern(key toml.Key) *regexp.Regexp {
	part := func(s string) string { return `["']?` + regexp.QuoteMeta(s) + `["']?` }
	whole := make([]string, len(key))
	for i, k := range key {
		whole[i] = part(k)
	}
	return regexp.MustCompile(`^\s*\[\[?\s*` + strings.Join(whole, `\s*\.\s*`) + `\s*\]` +
		`|^([^#]*[\s.{,])?` + part(key[len(key)-1]) + `\s*[.=]`)
}

// line returns the line of key. If it is not known, line returns that of the nearest table around
// the key, or 0.
func (l *loader) line(key string) int {
	// A problem of all servers, or of all targets, is shown at the first one.
	if isList(key) {
		key += "[1]"
	}

	for key != "" {
		if n, ok := l.lines[key]; ok {
			return n
		}
		key = key[:max(0, strings.LastIndexByte(key, '.'))]
	}

	return 0
}
