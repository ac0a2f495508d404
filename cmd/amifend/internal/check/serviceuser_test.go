package check

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
)

// A config that only root can read works for the check by root, and not for the service.
func TestServiceUserReadsTheConfig(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root, to be another user")
		}
		t.Skip("needs root, to be another user")
	}

	for name, tt := range map[string]struct {
		unit, dropIn string
		config       os.FileMode
		secret       os.FileMode
		ok           bool
		says         []string
	}{
		"all can be read": {
			"[Service]\nUser=nobody\n", "", 0o644, 0o644, true,
			[]string{"ok    amifend.service, which runs as user nobody, can read it"},
		},
		"the config is root's": {
			"[Unit]\nUser=root\n[Service]\nUser = nobody\n", "", 0o600, 0o600, false,
			[]string{
				"FAIL  amifend.service runs as user nobody, which cannot read it: open config: ",
				"permission denied", "do: chown root:nobody ",
			},
		},
		"the secret is root's": {
			"[Service]\nUser=root\n", "[Service]\nUser=nobody\n", 0o644, 0o600, false,
			[]string{
				"FAIL  amifend.service runs as user nobody, which cannot use it: " +
					"server[1].secret_file open secret: ", "permission denied",
			},
		},
		"no such user": {
			"[Service]\nUser=no-such-user\n", "", 0o600, 0o600, false,
			[]string{"FAIL  amifend.service runs as user no-such-user, which does not exist here"},
		},
		"root's service": {"[Service]\nUser=root\n", "", 0o600, 0o600, true, nil},
		"no user at all": {"[Service]\nType=notify\n", "", 0o600, 0o600, true, nil},
		"by a credential": {
			"[Service]\nUser=nobody\nLoadCredential=x:y\n", "", 0o600, 0o600, true,
			nil,
		},
		"another config": {
			"[Service]\nUser=nobody\nExecStart=/x run --config=/y\n", "", 0o600,
			0o600, true, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, units := openDir(t), t.TempDir()
			path := write(t, dir, "config.toml", tt.config, "[[server]]\naddress = \"127.0.0.1\"\n"+
				"username = \"amifend\"\nsecret_file = \"ami-secret\"\n"+dryRun)

			write(t, dir, "ami-secret", tt.secret, testSecret)

			unit := tt.unit
			if name != "another config" {
				unit += "ExecStart=/usr/local/sbin/amifend run --config " + path + "\n"
			}

			write(t, units, "amifend.service", 0o644, unit)
			if tt.dropIn != "" {
				if err := os.Mkdir(filepath.Join(units, "amifend.service.d"), 0o755); err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(units, "amifend.service.d"), "user.conf", 0o644, tt.dropIn)
			}

			c, err := config.Load(path)
			if err != nil {
				t.Fatal(err)
			}

			c.Warnings = nil // about files that all may read
			out, ok := look(t, Options{
				Config: c, Path: path, Offline: true, UnitDirs: []string{t.TempDir(), units},
			})

			want(t, out, tt.says...)
			if len(tt.says) == 0 {
				wantNot(t, out, "runs as user", "not tested")
			}
			if ok != tt.ok {
				t.Errorf("well: %t\n%s", ok, out)
			}
		})
	}

	// The thread of the other user is gone: this one may still read everything.
	if _, err := os.ReadFile("/etc/shadow"); err != nil && !os.IsNotExist(err) {
		t.Errorf("root lost its right: %v", err)
	}
}

// openDir returns a folder that every user can enter.
func openDir(t *testing.T) string {
	t.Helper()

	//nolint:usetesting // a folder of t.TempDir is closed to other users
	dir, err := os.MkdirTemp("/tmp", "check")
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
