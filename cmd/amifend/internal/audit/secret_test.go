package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"pgregory.net/rapid"

	"github.com/amifend/amifend/cmd/amifend/internal/audit/finding"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
)

// No output holds a password of the configuration: text, JSON, HTML, the summary of the weekly
// report. Each run takes configs with many weaknesses, and puts drawn passwords in place of theirs.
// In the end, all kinds of findings that come from a configuration were there.
func TestPropertyNoPasswordInOutput(t *testing.T) {
	seen := map[string]bool{}
	root := t.TempDir()
	if err := os.Chmod(filepath.Dir(root), 0o755); err != nil { // the rights of the files are judged, too
		t.Fatal(err)
	}
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		dir := filepath.Join(root, fmt.Sprint(run))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)

		name := rapid.SampledFrom([]string{"bad-pjsip", "bad-chansip", "freepbx", "vitalpbx"}).Draw(t, "config")
		archive, err := txtar.ParseFile("pbx/testdata/" + name + ".txtar")
		if err != nil {
			t.Fatal(err)
		}
		var secrets []string
		for _, f := range archive.Files {
			text := replaceSecrets(string(f.Data), filepath.Base(f.Name), func(account string) string {
				s := drawSecret(t, account)
				secrets = append(secrets, s)
				return s
			})
			path := filepath.Join(dir, filepath.Base(f.Name))
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}

		r, err := Run(t.Context(), Options{Offline: true, PBXConfig: dir, Version: "Asterisk 16.8.0"})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range r.Findings {
			seen[f.Kind] = true
		}
		for form, text := range outputs(t, r) {
			for _, s := range secrets {
				if strings.Contains(text, s) {
					t.Fatalf("%s: %q is shown", form, s)
				}
			}
		}
	})

	for _, k := range finding.Kinds() {
		// These need what no drawn password leaves: the same one twice, one of a list; or another file.
		drawn := slices.Contains([]string{
			"password_shared", "password_default", "tls_none", "manager_without_tls", "ask_distribution",
		}, k.Name)
		if (k.Depth == finding.Config || k.Depth == finding.Version) && !seen[k.Name] && !drawn {
			t.Errorf("%s was not there", k.Name)
		}
	}
}

// drawSecret returns a password that no text holds by accident.
func drawSecret(t *rapid.T, account string) string {
	core := "zq" + rapid.StringMatching(`[a-z]{3,8}[0-9]{2,6}`).Draw(t, "core")
	return rapid.SampledFrom([]string{
		core, account + core, strings.Repeat(core, 4), core + "<b>&\"'", core + "\x1b[2J", core + " x",
		core + "%s%d", core + "{{.}}", "é" + core, core + "\\;x",
	}).Draw(t, "secret")
}

// replaceSecrets puts new passwords in place of those of a config file. Some stay empty, and some are
// made of the account.
func replaceSecrets(text, name string, with func(account string) string) string {
	var out strings.Builder
	account := ""
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		if strings.HasPrefix(trimmed, "[") {
			account, _, _ = strings.Cut(trimmed[1:], "]")
		}
		key, value, ok := strings.Cut(trimmed, "=")
		value = strings.TrimSpace(strings.TrimPrefix(value, ">"))
		switch key = strings.TrimSpace(key); {
		case ok && slices.Contains([]string{
			"password", "secret", "vmsecret", "inbound_auth/password", "outbound_auth/password",
		}, key) && value != "" && value != account:
			fmt.Fprintf(&out, "%s=%s\n", key, with(account))
		case ok && name == "voicemail.conf" && key != "" && strings.Trim(key, "0123456789") == "":
			_, rest, _ := strings.Cut(value, ",")
			fmt.Fprintf(&out, "%s => %s,%s\n", key, value[:min(4, len(value))], rest)
		default:
			out.WriteString(line)
		}
	}
	return out.String()
}

// outputs returns all forms of a result, unescaped where the form escapes.
func outputs(t *rapid.T, r Result) map[string]string {
	var text, narrow, page bytes.Buffer
	if err := WriteText(&text, r, screen.Screen{}); err != nil {
		t.Fatal(err)
	}
	if err := WriteText(&narrow, r, screen.Screen{Width: 80}); err != nil {
		t.Fatal(err)
	}
	if err := WriteHTML(&page, r); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var plain bytes.Buffer
	encoder := json.NewEncoder(&plain)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(r); err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"text": text.String(), "narrow": strings.Join(strings.Fields(narrow.String()), " "),
		"HTML": html.UnescapeString(page.String()), "JSON": string(out), "plain JSON": plain.String(),
		"summary": fmt.Sprintf("%+v", Summarize(r)), "warnings": strings.Join(r.Warnings(), "\n"),
		"printed": fmt.Sprintf("%+v %#v", r, r),
	}
}
