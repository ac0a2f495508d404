package manual

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// Page is a man page of section 8.
type Page struct {
	Name string // such as amifend-bans
	text string
}

// Pages returns the man pages of the program and of each command.
func Pages(app *kong.Application, version string) []Page {
	all := commands(app)
	pages := make([]Page, 0, len(all))
	for _, c := range all {
		p := Page{Name: strings.Join(append([]string{app.Name}, c.path...), "-")}
		var b strings.Builder
		p.write(&b, app, c, all, version)
		p.text = b.String()
		pages = append(pages, p)
	}

	return pages
}

// WriteTo writes the page in the format of man(7).
func (p Page) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, p.text)
	return int64(n), err
}

// exits lists the exit codes of every command.
const exits = `.SH EXIT STATUS
.TP
.B 0
done
.TP
.B 1
failed
.TP
.B 2
a wrong command line, or a config that is not valid
`

// write builds the page of a command.
func (p Page) write(
	b *strings.Builder, app *kong.Application, c command, all []command, version string,
) {
	fmt.Fprintf(b, ".TH %s 8 \"\" \"amifend %s\" \"amifend\"\n", strings.ToUpper(roff(p.Name)),
		roff(version))

	fmt.Fprintf(b, ".SH NAME\n%s \\- %s\n", roff(p.Name), roff(strings.TrimSuffix(c.Help, ".")))
	fmt.Fprintf(b, ".SH SYNOPSIS\n.B %s\n%s\n",
		roff(strings.Join(append([]string{app.Name}, c.path...), " ")), roff(synopsis(c)))

	// A section without content is left out.
	if c.Detail != "" {
		b.WriteString(".SH DESCRIPTION\n")
		writeText(b, c.Detail)
	}

	if len(c.Positional) > 0 {
		b.WriteString(".SH ARGUMENTS\n")
		for _, a := range c.Positional {
			fmt.Fprintf(b, ".TP\n.I %s\n%s\n", roff(a.Name), roff(a.Help))
		}
	}

	b.WriteString(".SH OPTIONS\n")
	for _, f := range c.flags() {
		writeFlag(b, f)
	}

	// The program's page lists the commands. Each other page refers to it.
	if len(c.path) == 0 {
		writeCommands(b, app, all)
	}

	b.WriteString(exits)
	if len(c.path) == 0 {
		b.WriteString(".SH FILES\n.TP\n.I /etc/amifend/config.toml\nthe config; " +
			"config.toml.example documents every key\n")
		return
	}

	fmt.Fprintf(b, ".SH SEE ALSO\n.BR %s (8)\n", roff(app.Name))
}

// synopsis returns the arguments of a command.
func synopsis(c command) string {
	parts := []string{"[OPTION]..."}
	if len(c.words()) > 0 {
		parts = append(parts, "COMMAND")
	}
	for _, a := range c.Positional {
		parts = append(parts, a.Summary())
	}
	return strings.Join(parts, " ")
}

// writeCommands lists the commands with their pages.
func writeCommands(b *strings.Builder, app *kong.Application, all []command) {
	b.WriteString(".SH COMMANDS\n")
	for _, c := range all {
		if len(c.path) == 0 || len(c.words()) > 0 {
			continue
		}
		page := strings.Join(append([]string{app.Name}, c.path...), "-")
		fmt.Fprintf(b, ".TP\n.BR %s (8)\n%s\n", roff(page), roff(c.Help))
	}
}

// writeFlag describes one flag.
func writeFlag(b *strings.Builder, f *kong.Flag) {
	name := "\\-\\-" + roff(f.Name)
	if f.Short != 0 {
		name = "\\-" + roff(string(f.Short)) + ", " + name
	}
	if !f.IsBool() {
		name += "=" + roff(f.FormatPlaceHolder())
	}
	fmt.Fprintf(b, ".TP\n.B %s\n%s\n", name, roff(f.Help))
}

// writeText writes paragraphs. Indented ones are examples.
func writeText(b *strings.Builder, text string) {
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		if strings.HasPrefix(paragraph, "    ") {
			fmt.Fprintf(b, ".PP\n.nf\n%s\n.fi\n", roffLines(paragraph))
			continue
		}
		fmt.Fprintf(b, ".PP\n%s\n", roffLines(paragraph))
	}
}

// roff escapes a text of one line, see groff_man(7): a backslash and a minus are printed as they
// are, and no text is taken for a request.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(strings.Join(strings.Fields(s), " "))
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

// roffLines escapes a text and keeps its lines.
func roffLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		indent := len(l) - len(strings.TrimLeft(l, " "))
		lines[i] = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(l)
		if indent == 0 && (strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'")) {
			lines[i] = `\&` + lines[i]
		}
	}

	return strings.Join(lines, "\n")
}
