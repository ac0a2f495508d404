package config

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/BurntSushi/toml"
)

// counter numbers the [[server]] tables while the keys of a file are walked in order.
type counter map[string]int

// path is key with the number of its server: server[2].address. The header itself gives server[2].
func (c counter) path(key toml.Key) string {
	if key[0] != "server" {
		return strings.Join(key, ".")
	}
	if len(key) == 1 {
		c["server"]++
	}

	path := fmt.Sprintf("server[%d]", max(c["server"], 1))
	if len(key) > 1 {
		path += "." + strings.Join(key[1:], ".")
	}
	return path
}

// locate finds the line of each key. The TOML library keeps the positions to itself, but it gives
// the keys in their order, so each is looked for from the line of the one before. It may be fooled
// by a comment or a long text; a line number is a help for people and nothing else.
func locate(src []byte, all []toml.Key) map[string]int {
	lines := strings.Split(string(src), "\n")
	out := map[string]int{}
	counts := counter{}
	at := 0

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

// pattern matches the line of a key: its own `name =`, also dotted or in an inline table, or its
// table's header.
func pattern(key toml.Key) *regexp.Regexp {
	part := func(s string) string { return `["']?` + regexp.QuoteMeta(s) + `["']?` }
	whole := make([]string, len(key))
	for i, k := range key {
		whole[i] = part(k)
	}
	return regexp.MustCompile(`^\s*\[\[?\s*` + strings.Join(whole, `\s*\.\s*`) + `\s*\]` +
		`|^([^#]*[\s.{,])?` + part(key[len(key)-1]) + `\s*[.=]`)
}

// line is where key stands, or the nearest table around it that does.
func (l *loader) line(key string) int {
	if key == "server" {
		key = "server[1]"
	}

	for key != "" {
		if n, ok := l.lines[key]; ok {
			return n
		}
		key = key[:max(0, strings.LastIndexByte(key, '.'))]
	}

	return 0
}
