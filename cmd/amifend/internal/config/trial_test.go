package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A config whose trial nobody kept observes, whatever its line says. So a crash or a reboot in a trial
// does not begin to ban for good.
func TestUnkeptTrial(t *testing.T) {
	const server = "[[server]]\naddress = \"127.0.0.1\"\nusername = \"u\"\nsecret = \"s\"\n[policy]\n"
	const record = `{"began": "2026-11-23T14:10:07Z", "sha256": "x"}`
	for _, tt := range []struct {
		name, line, record string
		observe, unkept    bool
		began, warning     string
	}{
		{"no trial", "observe = false", "", false, false, "", ""},
		{"a trial", "observe = false", record, true, true, "14:10:07", ""},
		{"a trial, and no line", "", record, true, true, "14:10:07", ""},
		{"put back", "observe = true", record, true, false, "", ""},
		{"damaged", "observe = false", "{", true, true, "00:00:00", ".trial cannot be read"},
		{"huge", "observe = false", strings.Repeat(" ", 1<<15), true, true, "00:00:00", "cannot be read"},
	} {
		path := filepath.Join(t.TempDir(), "config.toml")
		write := func(path, text string) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(path, server+tt.line+"\n")
		if tt.record != "" {
			write(TrialFile(path), tt.record)
		}

		// The daemon may have been given a symlink.
		link := filepath.Join(t.TempDir(), "other.toml")
		if err := os.Symlink(path, link); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{path, link} {
			c, err := Load(name)
			if err != nil {
				t.Fatal(err)
			}
			warnings := strings.Join(c.Warnings, "\n")
			if c.Observe != tt.observe || (c.Unkept != nil) != tt.unkept ||
				(warnings != "") != (tt.warning != "") || !strings.Contains(warnings, tt.warning) ||
				c.Unkept != nil && c.Unkept.Began.Format("15:04:05") != tt.began {
				t.Errorf("%s: observe %t, unkept %+v, %q", tt.name, c.Observe, c.Unkept, warnings)
			}
		}
	}
}
