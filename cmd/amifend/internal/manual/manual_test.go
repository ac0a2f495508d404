package manual

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// The commands of the tests have all that is hard: texts with quotes, closed lists, files, commands
// within commands.
type testCommands struct {
	Bans struct {
		Sort   string `enum:"newest,until" default:"newest" help:"Order: newest [first], or it's until. More of it."`
		Limit  int    `short:"n" help:".Print -5 \\ at most."`
		Config string `type:"path" help:"The file."`
		Rule   string `complete:"rules" help:"The rule."`
		Deep   bool   `hidden:"" help:"Nobody sees this."`
	} `cmd:"" help:"List who's banned."`
	Import struct {
		Fail2ban struct {
			Path string `arg:"" optional:"" type:"path" help:"The database."`
		} `cmd:"" name:"fail2ban" help:"Of fail2ban."`
	} `cmd:"" help:"Take over bans."`
	Completion struct {
		Shell string `arg:"" enum:"bash,zsh" help:"The shell."`
	} `cmd:"" help:"Print."`
	Secret struct{} `cmd:"" hidden:"" help:"Nobody sees this."`
}

// Help is a detailed help with an example.
func (testCommands) Help() string {
	return "It is \\fBnot\\fR bold.\n.It is no request.\n\n    amifend bans --sort until"
}

func model(t *testing.T) *kong.Application {
	t.Helper()
	k, err := kong.New(&testCommands{}, kong.Name("amifend"), kong.Description("Stops attackers."))
	if err != nil {
		t.Fatal(err)
	}
	return k.Model
}

// need skips a test whose program is not installed: a shell, or groff. CI installs them all, see
// .ci/install.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed", program)
	}
	t.Skipf("%s is not installed", program)
}

func TestPages(t *testing.T) {
	pages := Pages(model(t), "1.0-test")
	texts := map[string]string{}
	for _, p := range pages {
		var b bytes.Buffer
		if _, err := p.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		texts[p.Name] = b.String()
	}

	if len(texts) != 5 {
		t.Errorf("pages %v", texts)
	}

	for name, wants := range map[string][]string{
		"amifend": {
			".TH AMIFEND 8", "amifend \\- Stops attackers\n",
			".BR amifend\\-import\\-fail2ban (8)\n", ".SH EXIT STATUS",
		},
		"amifend-bans": {
			".TH AMIFEND\\-BANS 8 \"\" \"amifend 1.0\\-test\"", "\\-n, \\-\\-limit=",
			"\n\\&.Print \\-5 \\e at most.\n",
			"\n.B \\-\\-sort=", "Order: newest [first], or it's until. More of it.", ".SH SEE ALSO",
		},
		"amifend-import-fail2ban": {
			".SH SYNOPSIS\n.B amifend import fail2ban\n",
			".I path\nThe database.\n",
		},
	} {
		for _, want := range wants {
			if !strings.Contains(texts[name], want) {
				t.Errorf("%s lacks %q:\n%s", name, want, texts[name])
			}
		}
	}

	// Hidden commands and flags must not appear on any page.
	for name, text := range texts {
		if strings.Contains(text, "Nobody sees this") {
			t.Errorf("%s shows what is hidden", name)
		}
	}
}

// The whole of groff's warnings is on, and there is none.
func TestPagesAreValid(t *testing.T) {
	need(t, "groff")
	for _, p := range Pages(model(t), "1") {
		var b bytes.Buffer
		if _, err := p.WriteTo(&b); err != nil {
			t.Fatal(err)
		}

		cmd := exec.Command("groff", "-man", "-ww", "-Tascii")
		cmd.Stdin = &b
		var said bytes.Buffer
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err != nil || said.Len() > 0 {
			t.Errorf("%s: %v\n%s", p.Name, err, &said)
		}
		if p.Name == "amifend-bans" && !strings.Contains(string(out), `.Print -5 \ at most.`) {
			t.Errorf("the text is lost:\n%s", out)
		}
	}
}

// complete has bash complete a command line whose last word is being written.
func complete(t *testing.T, words ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "completion")
	var b bytes.Buffer
	if err := WriteCompletion(&b, model(t), "bash"); err != nil {
		t.Fatal(err)
	}

	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}

	script := `amifend() { [ "$*" = "words rules" ] && echo alpha bravo; };` +
		` . "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _amifend; echo "${COMPREPLY[*]}"`
	out, err := exec.Command("bash",
		append([]string{"--norc", "-c", script, "bash", file}, words...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}

	return strings.TrimSpace(string(out))
}

func TestBash(t *testing.T) {
	need(t, "bash")
	for line, want := range map[string]string{
		"amifend _":                     "bans import completion --help",
		"amifend ba":                    "bans",
		"amifend bans --s":              "--sort",
		"amifend bans --sort _":         "newest until",
		"amifend bans --sort u":         "until",
		"amifend bans --config _":       "", // left to bash: files
		"amifend bans -n _":             "",
		"amifend import _":              "fail2ban --help",
		"amifend import fail2ban --":    "--help",
		"amifend completion _":          "bash zsh --help",
		"amifend bans --sort until --l": "--limit",
		"amifend sec":                   "",
		"amifend bans --rule b":         "bravo",
	} {
		words := strings.Fields(line)
		if last := len(words) - 1; words[last] == "_" {
			words[last] = ""
		}
		if got := complete(t, words...); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

// The others are checked by the shells themselves, where they are installed.
func TestShellsTakeTheirScripts(t *testing.T) {
	for _, shell := range Shells() {
		t.Run(shell, func(t *testing.T) {
			var b bytes.Buffer
			if err := WriteCompletion(&b, model(t), shell); err != nil {
				t.Fatal(err)
			}

			for _, want := range []string{"fail2ban", "sort", "newest", "until", "completion"} {
				if !strings.Contains(b.String(), want) {
					t.Errorf("lacks %s:\n%s", want, &b)
				}
			}

			if strings.Contains(b.String(), "Nobody sees this") ||
				strings.Contains(b.String(), "secret") {
				t.Errorf("shows what is hidden:\n%s", &b)
			}

			// The shell itself finds errors of syntax.
			need(t, shell)
			file := filepath.Join(t.TempDir(), "completion")
			if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}

			if out, err := exec.Command(shell, "-n", file).CombinedOutput(); err != nil ||
				len(out) > 0 {
				t.Errorf("%v: %s", err, out)
			}
		})
	}

	if err := WriteCompletion(&bytes.Buffer{}, model(t), "csh"); err == nil {
		t.Error("csh is known")
	}
}
