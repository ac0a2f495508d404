package cli

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// UsageError returns the error of a command line that could not be read. It says what is wrong in the
// words of a user, and names the help of the command, if one was named.
func UsageError(model *kong.Application, err error) error {
	var command *kong.Node
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil {
		command = parse.Context.Selected()
	}

	help := "amifend --help lists the commands"
	if command != nil {
		help = command.FullPath() + " --help"
	}
	return control.Errorf(control.CodeBadRequest, "%s", usageText(model, command, err.Error())).
		Advise("%s", help)
}

// The forms of kong's errors that are hard to read.
var (
	mustBe     = regexp.MustCompile(`^(.+) must be one of (".*") but got (".*")$`)
	unexpected = regexp.MustCompile(`^unexpected argument (\S+)$`)
	unknown    = regexp.MustCompile(`^unknown flag (--?\S+)$`)
	argument   = regexp.MustCompile(`^\[?<([^>]+)>(?: \.\.\.)?\]?: `)
)

// usageText returns kong's text for people. command is nil if no command was named.
func usageText(model *kong.Application, command *kong.Node, text string) string {
	// kong's own suggestions are far-fetched: "top" for "log", "-h" for "-V".
	text, _, _ = strings.Cut(text, ", did you mean ")

	// The help names the command and its argument already.
	if command != nil {
		text = strings.TrimPrefix(text, strings.TrimPrefix(command.FullPath(), "amifend ")+": ")
	}
	text = argument.ReplaceAllString(text, "")

	if m := mustBe.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("%s %s: write %s", m[1], m[3], alternatives(m[2]))
	}
	if m := unexpected.FindStringSubmatch(text); m != nil && command == nil {
		return fmt.Sprintf("there is no command %q%s", m[1], meant(m[1], commandNames(model.Node)))
	}
	if m := unknown.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("there is no flag %s%s", m[1], meantFlag(model, command, m[1]))
	}

	// kong lists only some commands here, and the help lists all.
	if command == nil && strings.HasPrefix(text, "expected one of ") {
		return "write a command, such as amifend status"
	}
	if list, ok := strings.CutPrefix(text, "expected one of "); ok {
		return "write " + alternatives(list)
	}
	return text
}

// alternatives returns a list of quoted words, such as `"","all","sip"`, for people.
func alternatives(quoted string) string {
	var words []string
	for w := range strings.SplitSeq(quoted, ",") {
		if w = strings.Trim(w, `" `); w != "" {
			words = append(words, w)
		}
	}
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// usualWords are the words that other programs have for a command, and for the ways to see the
// version.
var usualWords = map[string]string{
	"list": "bans", "ls": "bans", "banned": "bans", "decisions": "bans", "show": "status",
	"banip": "ban", "block": "ban", "add": "ban", "drop": "ban",
	"unbanip": "unban", "unblock": "unban", "free": "unban", "delete": "unban", "lift": "unban",
	"whitelist": "allow", "allowlist": "allow", "ignoreip": "allow", "permit": "allow",
	"blacklist": "deny", "denylist": "deny", "blocklist": "deny",
	"why": "explain", "whois": "explain", "log": "events", "logs": "events", "tail": "events",
	"follow": "events", "monitor": "top", "watch": "top", "stats": "report", "history": "report",
	"test": "check", "doctor": "check", "start": "run", "daemon": "run", "setup": "init",
	"install": "init", "info": "status", "ping": "status", "metrics": "top",
	"-V": "version", "-v": "version",

	// systemctl does these.
	"stop": "", "restart": "",
}

// meant returns a suggestion for a word that is no command, or "".
func meant(word string, names []string) string {
	best, known := usualWords[word]
	if !known && len(word) > 3 {
		best, _ = config.Nearest(word, names) // a shorter word is near to anything
	}
	if best == "" {
		return ""
	}
	return "; did you mean amifend " + best + "?"
}

// meantFlag returns a suggestion for a flag that does not exist, or "".
func meantFlag(model *kong.Application, command *kong.Node, flag string) string {
	if command == nil {
		if best, ok := usualWords[flag]; ok {
			return "; did you mean amifend " + best + "?"
		}
		command = model.Node
	}

	// A single letter is like any other one.
	name, long := strings.CutPrefix(flag, "--")
	if !long {
		return ""
	}
	var names []string
	for _, group := range command.AllFlags(true) {
		for _, f := range group {
			names = append(names, f.Name)
		}
	}
	if best, ok := config.Nearest(name, names); ok {
		return "; did you mean --" + best + "?"
	}
	return ""
}

// commandNames returns the names of the commands that the help shows.
func commandNames(node *kong.Node) (names []string) {
	for _, c := range node.Children {
		if !c.Hidden {
			names = append(names, c.Name)
		}
	}
	return names
}

// chosen returns an error unless the value of a flag is one of those that are known, or empty: the flag
// was not given. noun is the name of one of them.
func chosen(flag, value, noun string, known []string) error {
	if value == "" || slices.Contains(known, value) {
		return nil
	}
	if best, ok := config.Nearest(value, known); ok {
		return fmt.Errorf("%s %q: there is no such %s; did you mean %s?", flag, value, noun, best)
	}
	return fmt.Errorf("%s %q: there is no such %s; write one of %s", flag, value, noun,
		strings.Join(known, ", "))
}
