package manual

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// Shells returns the shells that have a completion.
func Shells() []string { return []string{"bash", "zsh", "fish"} }

// WriteCompletion writes the completion for a shell, one of Shells.
func WriteCompletion(w io.Writer, app *kong.Application, shell string) error {
	var b strings.Builder
	switch shell {
	case "bash":
		bash(&b, app)
	case "zsh":
		zsh(&b, app)
	case "fish":
		fish(&b, app)
	default:
		return fmt.Errorf("no completion for the shell %q: write one of %s", shell,
			strings.Join(Shells(), ", "))
	}

	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the completion of %s: %w", shell, err)
	}

	return nil
}

// bash completes commands, flags and closed lists of values. It leaves the rest, such as files, to
// bash.
func bash(b *strings.Builder, app *kong.Application) {
	name, all := app.Name, commands(app)
	fmt.Fprintf(b, "# bash completion for %s; made by: %[1]s completion bash\n_%[1]s() {\n", name)
	b.WriteString(`	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} at="" i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case "$at ${COMP_WORDS[i]}" in
`)

	// The first part of the script finds the command that was typed so far.
	var paths []string
	for _, c := range all[1:] {
		paths = append(paths, quote(" "+strings.Join(c.path, " ")))
	}

	fmt.Fprintf(b, "\t\t%s) at=\"$at ${COMP_WORDS[i]}\" "+
		";;\n\t\tesac\n\tdone\n\tCOMPREPLY=()\n\tcase \"$at $prev\" in\n", strings.Join(paths, "|"))

	// The second part completes the value of a flag.
	for _, c := range all {
		for _, f := range c.flags() {
			if f.IsBool() {
				continue
			}

			at := prefix(c)
			names := quote(at + " --" + f.Name)
			if f.Short != 0 {
				names += "|" + quote(at+" -"+string(f.Short))
			}

			fmt.Fprintf(b, "\t%s) ", names)
			if v := values(f.Value); v != nil {
				fmt.Fprintf(b, "COMPREPLY=($(compgen -W %s -- \"$cur\")); ",
					quote(strings.Join(v, " ")))
			} else if list := live(app, f.Value); list != "" {
				fmt.Fprintf(b, "COMPREPLY=($(compgen -W \"$(%s)\" -- \"$cur\")); ", list)
			}

			b.WriteString("return ;;\n")
		}
	}

	b.WriteString("\tesac\n\tcase \"$at\" in\n")

	// The third part completes commands and flags.
	for _, c := range all {
		words, now := c.words(), ""
		for _, a := range c.Positional {
			words = append(words, values(a)...)
			if list := live(app, a); list != "" {
				now = fmt.Sprintf(`" $(%s)"`, list)
			}
		}

		for _, f := range c.flags() {
			words = append(words, "--"+f.Name)
		}

		fmt.Fprintf(b, "\t%s) COMPREPLY=($(compgen -W %s%s -- \"$cur\")) ;;\n", quote(prefix(c)),
			quote(strings.Join(words, " ")), now)
	}

	fmt.Fprintf(b, "\tesac\n}\ncomplete -o bashdefault -o default -F _%s %[1]s\n", name)
}

// prefix returns a command as the scripts keep it: a space before each word.
func prefix(c command) string {
	if len(c.path) == 0 {
		return ""
	}
	return " " + strings.Join(c.path, " ")
}

// zsh writes one function for each command.
func zsh(b *strings.Builder, app *kong.Application) {
	fmt.Fprintf(b, "#compdef %s\n# zsh completion; made by: %[1]s completion zsh\n", app.Name)

	// Each command gets a function of its own, which calls those of the commands below it.
	for _, c := range commands(app) {
		fmt.Fprintf(b, "\n%s() {\n\tlocal line state\n\t_arguments -C -s", zshName(app, c.path))
		for _, f := range c.flags() {
			fmt.Fprintf(b, " \\\n\t\t%s", quote(zshFlag(app, f)))
		}

		// Then the arguments; a command with commands below it completes their names.
		for _, a := range c.Positional {
			many := ""
			if a.IsCumulative() {
				many = "*"
			}
			fmt.Fprintf(b, " \\\n\t\t%s", quote(many+":"+zshText(a.Name)+":"+zshAction(app, a)))
		}

		// A command without commands below it ends here.
		words := c.words()
		if len(words) == 0 {
			b.WriteString("\n}\n")
			continue
		}

		b.WriteString(" \\\n\t\t'1: :->command' \\\n\t\t'*:: :->rest'\n\tcase $state " +
			"in\n\tcommand)\n\t\tlocal -a commands=(")
		for _, child := range c.Children {
			if !child.Hidden {
				fmt.Fprintf(b, "\n\t\t\t%s", quote(child.Name+":"+zshText(sentence(child.Help))))
			}
		}

		b.WriteString("\n\t\t)\n\t\t_describe command commands ;;\n\trest)\n\t\tcase $line[1] in\n")
		for _, word := range words {
			fmt.Fprintf(b, "\t\t%s) %s ;;\n", word,
				zshName(app, append(slices.Clone(c.path), word)))
		}

		b.WriteString("\t\tesac ;;\n\tesac\n}\n")
	}

	fmt.Fprintf(b, "\n_%s \"$@\"\n", app.Name)
}

// zshName returns the name of a command's function.
func zshName(app *kong.Application, path []string) string {
	return "_" + strings.Join(append([]string{app.Name}, path...), "_")
}

// zshFlag returns a flag as _arguments expects it.
func zshFlag(app *kong.Application, f *kong.Flag) string {
	text := "--" + f.Name
	if !f.IsBool() {
		text += "="
	}

	text += "[" + zshText(sentence(f.Help)) + "]"
	if !f.IsBool() {
		text += ":" + zshText(strings.ToLower(f.Name)) + ":" + zshAction(app, f.Value)
	}
	return text
}

// zshAction returns how to complete a value.
func zshAction(app *kong.Application, v *kong.Value) string {
	switch list := values(v); {
	case list != nil:
		return "(" + strings.Join(list, " ") + ")"
	case live(app, v) != "":
		return "{compadd -- ${(f)\"$(" + live(app, v) + ")\"}}"
	case isFile(v):
		return "_files"
	default:
		return ""
	}
}

// zshText escapes the characters that have a meaning for _arguments.
func zshText(s string) string {
	return strings.NewReplacer(`\`, `\\`, ":", `\:`, "[", `\[`, "]", `\]`).Replace(s)
}

// fish writes one line for each flag and command.
func fish(b *strings.Builder, app *kong.Application) {
	fmt.Fprintf(b,
		"# fish completion for %s; made by: %[1]s completion fish\ncomplete -c %[1]s -f\n",
		app.Name)

	for _, c := range commands(app) {
		when := "__fish_use_subcommand"
		if len(c.path) > 0 {
			when = "__fish_seen_subcommand_from " + c.path[len(c.path)-1]
		}

		// Below a command that has commands, only its own words are offered.
		if words := c.words(); len(c.path) > 0 && len(words) > 0 {
			when += "; and not __fish_seen_subcommand_from " + strings.Join(words, " ")
		}

		// Each word, flag and value needs a line of its own, with the condition of its command.
		line := func(format string, args ...any) {
			fmt.Fprintf(b, "complete -c %s -n %s %s\n", app.Name, fishQuote(when),
				fmt.Sprintf(format, args...))
		}
		for _, child := range c.Children {
			if !child.Hidden {
				line("-a %s -d %s", child.Name, fishQuote(sentence(child.Help)))
			}
		}

		for _, f := range c.flags() {
			short := ""
			if f.Short != 0 {
				short = " -s " + string(f.Short)
			}
			line("-l %s%s%s -d %s", f.Name, short, fishValue(app, f), fishQuote(sentence(f.Help)))
		}

		for _, a := range c.Positional {
			if list := values(a); list != nil {
				line("-a %s", fishQuote(strings.Join(list, " ")))
			} else if list := live(app, a); list != "" {
				line("-a %s", fishQuote("("+list+")"))
			} else if isFile(a) {
				line("-F")
			}
		}
	}
}

// fishValue returns how to complete the value of a flag.
func fishValue(app *kong.Application, f *kong.Flag) string {
	switch list := values(f.Value); {
	case f.IsBool():
		return ""
	case list != nil:
		return " -x -a " + fishQuote(strings.Join(list, " "))
	case live(app, f.Value) != "":
		return " -x -a " + fishQuote("("+live(app, f.Value)+")")
	case isFile(f.Value):
		return " -r -F"
	default:
		return " -x"
	}
}

// quote quotes a text for bash and zsh.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// fishQuote quotes a text for fish, which has two escapes within single quotes.
func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}
