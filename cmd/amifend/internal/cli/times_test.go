package cli

import (
	"os"
	"path/filepath"
	"testing"
)

func TestZoneName(t *testing.T) {
	dir := t.TempDir()
	link := func(name, target string) string {
		path := filepath.Join(dir, name)
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		return path
	}

	// TZ takes precedence. A path in it, or a link elsewhere, names no zone.
	berlin := link("berlin", "../usr/share/zoneinfo/Europe/Berlin")
	for _, tt := range []struct{ tz, localtime, want string }{
		{"", berlin, "Europe/Berlin"},
		{"America/New_York", berlin, "America/New_York"},
		{":Asia/Tokyo", berlin, "Asia/Tokyo"},
		{"UTC", berlin, ""},
		{"/usr/share/zoneinfo/Asia/Tokyo", berlin, ""},
		{"../../etc/passwd", berlin, ""},
		{"", link("utc", "/usr/share/zoneinfo/UTC"), ""},
		{"", link("odd", "/somewhere/else"), ""},
		{"", filepath.Join(dir, "missing"), ""},
	} {
		getenv := func(name string) string { return map[string]string{"TZ": tt.tz}[name] }
		if got := zoneName(getenv, tt.localtime); got != tt.want {
			t.Errorf("TZ=%q, localtime %s: %q, want %q", tt.tz, tt.localtime, got, tt.want)
		}
	}
}

func TestOperator(t *testing.T) {
	for name, tt := range map[string]struct {
		env  map[string]string
		euid int
		want string
	}{
		"sudo":             {map[string]string{"SUDO_USER": "alice"}, 0, "alice"},
		"doas":             {map[string]string{"DOAS_USER": "bob"}, 0, "bob"},
		"pkexec":           {map[string]string{"PKEXEC_UID": "0"}, 0, "root"},
		"pkexec, unknown":  {map[string]string{"PKEXEC_UID": "4000000000"}, 0, "uid 4000000000"},
		"root from root":   {map[string]string{"SUDO_USER": "root"}, 0, ""},
		"root at a login":  {nil, 0, ""},
		"sudo -u somebody": {map[string]string{"SUDO_USER": "alice"}, 1000, ""},
	} {
		got := operator(func(name string) string { return tt.env[name] }, tt.euid)
		if got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
