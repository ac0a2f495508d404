package pbx

import (
	"fmt"
	"regexp"
	"strings"
)

// dialplan is what extensions.conf says: contexts by their names.
type dialplan map[string]*dialContext

// dialContext is a context of the dialplan.
type dialContext struct {
	steps []step
	next  []string // contexts that it includes or jumps to
}

// step is one priority of an extension.
type step struct {
	exten string
	app   string // in lower case
	args  string
	where string
}

// readDialplan reads extensions.conf. A dialplan in another language is a problem.
func (l *looker) readDialplan() {
	l.dialplan = dialplan{}
	for _, other := range []struct{ file, module string }{
		{"extensions.ael", "pbx_ael"}, {"extensions.lua", "pbx_lua"},
	} {
		if exists(l.dir, other.file) && l.modules.Loaded(other.module) {
			l.problem(other.file + ": this form of a dialplan is not read")
		}
	}

	for _, s := range l.sections("extensions.conf") {
		if s.Is("general") || s.Is("globals") {
			continue
		}

		// Asterisk joins sections of one name.
		c := l.dialplan[s.Name()]
		if c == nil {
			c = &dialContext{}
			l.dialplan[s.Name()] = c
		}

		exten := ""
		for v := range s.Settings() {
			switch v.Name() {
			case "include":
				name, _, _ := strings.Cut(strings.ReplaceAll(v.Value(), "|", ","), ",")
				c.next = append(c.next, strings.TrimSpace(name))
			case "exten", "same":
				st, ok := parseStep(v.Name(), v.Value(), exten)
				if !ok {
					continue
				}
				exten, st.where = st.exten, v.Where()
				c.steps = append(c.steps, st)
				c.next = append(c.next, jumps(st)...)
			}
		}
	}
}

// parseStep reads EXTEN,PRIORITY,APP(ARGS), or PRIORITY,APP(ARGS) of the extension before.
func parseStep(key, value, before string) (step, bool) {
	exten := before
	if key == "exten" {
		var found bool
		if exten, value, found = cutOutside(value, ','); !found {
			return step{}, false
		}
	}

	_, call, found := strings.Cut(value, ",")
	if !found {
		return step{}, false
	}
	app, args, _ := strings.Cut(strings.TrimSpace(call), "(")
	return step{
		exten: strings.TrimSpace(exten), app: strings.ToLower(strings.TrimSpace(app)),
		args: strings.TrimSuffix(strings.TrimSpace(args), ")"),
	}, true
}

// cutOutside cuts a text at the first separator outside of square brackets, which patterns have.
func cutOutside(text string, sep byte) (before, after string, found bool) {
	depth := 0
	for i := range len(text) {
		switch c := text[i]; {
		case c == '[':
			depth++
		case c == ']' && depth > 0:
			depth--
		case c == sep && depth == 0:
			return text[:i], text[i+1:], true
		}
	}
	return text, "", false
}

// local matches a channel that runs another context: Local/600@phones/n.
var local = regexp.MustCompile(`(?i)\blocal/[^@&,)]*@([A-Za-z0-9_.-]+)`)

// jumps returns the contexts that a step may go on with.
func jumps(s step) (out []string) {
	for _, m := range local.FindAllStringSubmatch(s.args, -1) {
		out = append(out, m[1])
	}

	switch s.app {
	case "goto", "gosub":
		if parts := strings.Split(s.args, ","); len(parts) >= 3 {
			out = append(out, strings.TrimSpace(parts[0]))
		}
	case "gotoif", "gosubif", "gotoiftime":
		// CONDITION?CONTEXT,EXTEN,PRIORITY:CONTEXT,EXTEN,PRIORITY
		_, labels, _ := strings.Cut(s.args, "?")
		for label := range strings.SplitSeq(labels, ":") {
			if parts := strings.Split(label, ","); len(parts) >= 3 {
				out = append(out, strings.TrimSpace(parts[0]))
			}
		}
	case "macro":
		name, _, _ := strings.Cut(s.args, ",")
		out = append(out, "macro-"+strings.TrimSpace(name))
	}
	return out
}

// reach returns the contexts that a call in a context can get to, that one first.
func (d dialplan) reach(from string) []string {
	seen := map[string]bool{from: true}
	queue := []string{from}
	for i := 0; i < len(queue); i++ {
		c := d[queue[i]]
		if c == nil {
			continue
		}
		for _, next := range c.next {
			if !seen[next] {
				seen[next] = true
				queue = append(queue, next)
			}
		}
	}
	return queue
}

// outside matches the devices of Dial that are lines to the world: a SIP peer or endpoint that is
// given a number, IAX2, and telephone cards.
var outside = regexp.MustCompile(`(?i)(^|&)\s*(` +
	`pjsip/[^&,]*@[^&,]+|pjsip/[^&,/]+/sips?:|sip/[^&,/]+/[^&,]+|sip/[^&,]+@[^&,]+|` +
	`iax2?/[^&,]+/[^&,]+|(dahdi|zap|misdn|motif|dongle|quectel|ooh323)/)`)

// isTrunk reports whether a step calls somebody outside.
func isTrunk(s step) bool {
	if s.app != "dial" && s.app != "originate" && s.app != "page" {
		return false
	}
	devices, _, _ := strings.Cut(s.args, ",")
	return outside.MatchString(devices)
}

// callerText judges the dialplan: what guests reach, and what is done with a caller's text.
func (l *looker) callerText() {
	for _, g := range l.guests {
		for _, name := range l.dialplan.reach(g.context) {
			c := l.dialplan[name]
			if c == nil {
				continue
			}
			for _, s := range c.steps {
				if isTrunk(s) {
					l.add("guests_reach_trunk", "%s: context %s dials out at %s", g.where, name,
						s.where)
				}
			}
		}
	}

	for name, c := range sorted(l.dialplan) {
		for _, s := range c.steps {
			place := fmt.Sprintf("%s [%s] %s", s.where, name, s.exten)
			switch {
			case s.app == "dial" && anyText(s.exten) && unfiltered(s.args, "${EXTEN"):
				l.add("dialplan_injection", "%s", place)
			case runsPrograms(s) && (unfiltered(s.args, "${CALLERID") ||
				anyText(s.exten) && unfiltered(s.args, "${EXTEN")):
				l.add("dialplan_shell", "%s", place)
			}
		}
	}
}

// runsPrograms reports whether a step passes its arguments to a shell.
func runsPrograms(s step) bool {
	return s.app == "system" || s.app == "trysystem" || strings.Contains(s.args, "SHELL(")
}

// anyText reports whether a pattern matches text of any length, letters and & among it.
func anyText(exten string) bool {
	return strings.HasPrefix(exten, "_") &&
		(strings.HasSuffix(exten, ".") || strings.HasSuffix(exten, "!"))
}

// unfiltered reports whether arguments hold a variable outside of FILTER().
func unfiltered(args, variable string) bool {
	args = strings.ToUpper(args)
	for {
		before, after, found := strings.Cut(args, variable)
		if !found {
			return false
		}

		// FILTER(0-9,${EXTEN}) is the last call that was opened before the variable.
		open := strings.LastIndex(before, "FILTER(")
		if open < 0 || strings.Contains(before[open+len("FILTER("):], ")") {
			return true
		}
		args = after
	}
}
