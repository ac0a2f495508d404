package config

import (
	"bytes"
	"fmt"
	"reflect"
	"regexp"

	"github.com/BurntSushi/toml"
)

// Parts of a line that sets [policy] observe.
var (
	sectionLine = regexp.MustCompile(`^\s*\[\s*([A-Za-z0-9_.\-" ]+?)\s*\]`)
	observeLine = regexp.MustCompile(`^(\s*(policy\s*\.\s*)?observe\s*=\s*)(true|false)\b(.*)$`)
)

// Edited is a config with one changed line.
type Edited struct {
	Text          []byte // of the whole file
	Line          int    // the number of the line, from 1; 0: there is nothing to change
	Before, After string // the line
}

// EndObserving returns the config with observe = true changed to observe = false. Nothing else
// changes, and comments stay. EndObserving fails for a file that is not TOML, or that sets the key
// in an unusual form.
func EndObserving(text []byte) (Edited, error) { return setObserve(text, false) }

// BeginObserving is the reverse of [EndObserving]: it changes observe = false to observe = true.
// There is nothing to change in a config without the key.
func BeginObserving(text []byte) (Edited, error) { return setObserve(text, true) }

func setObserve(text []byte, to bool) (Edited, error) {
	var before map[string]any
	if _, err := toml.Decode(string(text), &before); err != nil {
		return Edited{}, &Error{Problems: []Problem{syntaxProblem(text, err)}}
	}

	policy, _ := before["policy"].(map[string]any)
	if observe, set := policy["observe"].(bool); !set || observe == to {
		return Edited{Text: text}, nil
	}

	// The TOML library cannot write a file with its comments, so the line is changed as text.
	section := ""
	lines := bytes.Split(text, []byte("\n"))
	for i, line := range lines {
		if m := sectionLine.FindSubmatch(line); m != nil {
			section = string(m[1])
			continue
		}

		// The key is policy.observe before the first header, and observe below [policy].
		m := observeLine.FindSubmatch(line)
		if m == nil || (len(m[2]) > 0) != (section == "") || section != "" && section != "policy" {
			continue
		}

		out := Edited{Line: i + 1, Before: string(line)}
		lines[i] = fmt.Appendf(nil, "%s%t%s", m[1], to, m[4])
		out.After = string(lines[i])
		out.Text = bytes.Join(lines, []byte("\n"))

		// A line within a text of several lines could look like the key. So the new file is read,
		// and must differ in this one value.
		var after map[string]any
		policy["observe"] = to
		_, err := toml.Decode(string(out.Text), &after)
		if err != nil || !reflect.DeepEqual(before, after) {
			return Edited{}, noObserve(to)
		}
		return out, nil
	}

	return Edited{}, noObserve(to)
}

// noObserve returns the error for a file in which the line cannot be found.
func noObserve(to bool) error {
	return fmt.Errorf("the line that sets [policy] observe cannot be found; change it by hand to "+
		"observe = %t, then run amifend reload", to)
}
