package pbxconf

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func writeConf(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestReadAMI(t *testing.T) {
	for _, tt := range []struct {
		name, general string
		enabled       bool
		plain, tls    string
	}{
		{"empty", "", false, "0.0.0.0:5038", "invalid AddrPort"},
		{"Debian", "enabled = no\nport = 5038\nbindaddr = 127.0.0.1", false, "127.0.0.1:5038", "invalid AddrPort"},
		{"port", "enabled=yes\nport=15038\nbindaddr=10.0.0.5", true, "10.0.0.5:15038", "invalid AddrPort"},
		{"the last one counts", "enabled = no\nenabled = yes\nbindaddr=::", true, "[::]:5038", "invalid AddrPort"},
		{
			"TLS", "enabled = yes\nport = 0\ntlsenable = yes\nbindaddr = 192.0.2.1", true,
			"192.0.2.1:0", "192.0.2.1:5039",
		},
		{
			"TLS elsewhere", "enabled = yes\ntlsenable = yes\ntlsbindaddr = [2001:db8::1]:7000", true,
			"0.0.0.0:5038", "[2001:db8::1]:7000",
		},
		{"old names", "enabled=yes\nsslenable=yes\nsslbindaddr=192.0.2.7", true, "0.0.0.0:5038", "192.0.2.7:5039"},
	} {
		dir := writeConf(t, map[string]string{"manager.conf": "[general]\n" + tt.general + "\n"})
		a, err := ReadAMI(dir)
		if err != nil {
			t.Fatal(err)
		}
		if a.Enabled != tt.enabled || a.Plain.String() != tt.plain || a.TLS.String() != tt.tls {
			t.Errorf("%s: %+v", tt.name, a)
		}
	}
}

// Users are found in what is included. A file of manager.d may add to [general].
func TestReadAMIIncludes(t *testing.T) {
	dir := writeConf(t, map[string]string{
		"manager.conf": "[general]\nenabled = no\nbindaddr = 0.0.0.0\n" +
			"[t](!)\nsecret = no\n[admin](t)\nread = all\n" +
			"#include \"manager.d/*.conf\"\n#tryinclude manager_custom.conf\n",
		"manager.d/a.conf": "[general](+)\nenabled = yes\nbindaddr = 127.0.0.1\n[amifend]\n" +
			"secret = x\nsecret = right\nread = security\n",
	})
	a, err := ReadAMI(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !a.Enabled || a.Plain != netip.MustParseAddrPort("127.0.0.1:5038") || len(a.Users) != 2 {
		t.Errorf("%+v", a)
	}

	u, ok := a.User("amifend")
	if !ok || !u.Security || u.RevealSecret() != "right" || u.Where != "manager.d/a.conf:4" {
		t.Errorf("%+v, %v", u, ok)
	}
	if text := fmt.Sprintf("%+v %#v", a, u); strings.Contains(text, "right") {
		t.Error("the secret is printed: " + text)
	}
	if !a.IncludesFile("manager.d/amifend.conf") || a.IncludesFile("manager_custom.conf") ||
		a.IncludesFile("manager.d/sub/amifend.conf") || a.IncludesFile("other.d/amifend.conf") {
		t.Errorf("includes %q", a.Includes)
	}
}
