package config

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// findCase is a config in which one value is looked for: want is found, or the error has fails.
type findCase struct{ name, text, want, fails string }

// testFind calls find for the config of each case. No error may show the secret in it.
func testFind(t *testing.T, dir string, find func(path string) (string, error), cases []findCase) {
	t.Helper()
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			got, err := find(write(t, dir, "config.toml", tt.text, 0o600))
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
}

func TestFindSocket(t *testing.T) {
	dir := t.TempDir()
	find := func(path string) (string, error) { return FindSocket(path, false) }
	testFind(t, dir, find, []findCase{
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
	})

	// Only a file that the user did not name may be missing.
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
	find := func(path string) (string, error) { return FindTable(path, true) }
	testFind(t, dir, find, []findCase{
		{"given", "[firewall]\ntable = 'pbx'\n", "pbx", ""},
		{"not given", server, "amifend", ""},
		{
			"the rest is wrong",
			"[firewall]\ntable = 'pbx'\nsip_ports = 'x'\n[policy]\ntreshold = 'x'\n", "pbx", "",
		},
		{"of a wrong type", "[firewall]\ntable = 3\n", "", "firewall.table"},
		{"no name", "[firewall]\ntable = 'a b'\n", "", "firewall.table"},
		{"no TOML", "[[server]]\nsecret = \"s3cret\nx", "", "is not TOML"},
	})

	// Only a file that the user did not name may be missing.
	if got, err := FindTable(filepath.Join(dir, "none"), true); err != nil || got != "amifend" {
		t.Errorf("a file that may lack: %q, %v", got, err)
	}

	if _, err := FindTable(filepath.Join(dir, "none"), false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that was asked for: %v", err)
	}
}
