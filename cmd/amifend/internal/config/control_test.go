package config

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

func TestFindSocket(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct{ name, text, want, fails string }{
		{"given", "[control]\nsocket = '/tmp/x.sock'\n", "/tmp/x.sock", ""},
		{"not given", server, "/run/amifend/amifend.sock", ""},
		{
			"the rest is wrong",
			"[control]\nsocket = '/tmp/x.sock'\n[policy]\ntreshold = 'x'\n[nonsense]\n",
			"/tmp/x.sock", "",
		},
		{"none wanted", "[control]\nsocket = ''\n", "", ""},
		{"of a wrong type", "[control]\nsocket = 3\n", "/run/amifend/amifend.sock", ""},
		{"no TOML", "[[server]]\nsecret = \"s3cret\nx", "", "is not TOML"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := FindSocket(write(t, dir, "config.toml", tt.text, 0o600), false)
			switch {
			case tt.fails == "" && (err != nil || got != tt.want):
				t.Errorf("%q, %v", got, err)
			case tt.fails != "" &&
				(err == nil || !strings.Contains(err.Error(), tt.fails) ||
					strings.Contains(err.Error(), "s3cret")):
				t.Errorf("error %v", err)
			}
		})
	}

	if got, err := FindSocket(filepath.Join(dir, "none"), true); err != nil ||
		got != DefaultControl().Socket {
		t.Errorf("a file that may lack: %q, %v", got, err)
	}

	if _, err := FindSocket(filepath.Join(dir, "none"), false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that was asked for: %v", err)
	}
}

func TestFindTable(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct{ name, text, want, fails string }{
		{"given", "[firewall]\ntable = 'pbx'\n", "pbx", ""},
		{"not given", server, "amifend", ""},
		{
			"the rest is wrong",
			"[firewall]\ntable = 'pbx'\nsip_ports = 'x'\n[policy]\ntreshold = 'x'\n", "pbx", "",
		},
		{"of a wrong type", "[firewall]\ntable = 3\n", "", "firewall.table"},
		{"no name", "[firewall]\ntable = 'a b'\n", "", "firewall.table"},
		{"no TOML", "[[server]]\nsecret = \"s3cret\nx", "", "is not TOML"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := FindTable(write(t, dir, "config.toml", tt.text, 0o600), true)
			switch {
			case tt.fails == "" && (err != nil || got != tt.want):
				t.Errorf("%q, %v", got, err)
			case tt.fails != "" &&
				(err == nil || !strings.Contains(err.Error(), tt.fails) ||
					strings.Contains(err.Error(), "s3cret")):
				t.Errorf("error %v", err)
			}
		})
	}

	if got, err := FindTable(filepath.Join(dir, "none"), true); err != nil || got != "amifend" {
		t.Errorf("a file that may lack: %q, %v", got, err)
	}

	if _, err := FindTable(filepath.Join(dir, "none"), false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that was asked for: %v", err)
	}
}
