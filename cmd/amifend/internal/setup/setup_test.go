package setup

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/lockout"
)

// machine is a root with the files of a layout.
type machine struct {
	Options
	out      bytes.Buffer
	asterisk []string // commands that Asterisk got
	services []string
}

func newMachine(t *testing.T, layout string) *machine {
	t.Helper()
	m := &machine{}
	m.Options = Options{
		Out: &m.out, Root: t.TempDir(), AsteriskDir: "/etc/asterisk", ConfigDir: "/etc/amifend",
		GID: os.Getegid(),
	}
	m.System = System{
		Asterisk: func(_ context.Context, command string) (string, error) {
			m.asterisk = append(m.asterisk, command)
			return "", nil
		},
		Systemctl: func(_ context.Context, args ...string) error {
			m.services = append(m.services, strings.Join(args, " "))
			return nil
		},
		Check: func(context.Context) (bool, error) {
			_, err := config.Load(m.path("/etc/amifend/config.toml"))
			return err == nil, err
		},
		Lookup: func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no DNS") },
		SRV:    nil,
		Sessions: func() []lockout.Session {
			return []lockout.Session{
				{Addr: netip.MustParseAddr("203.0.113.99")}, {Addr: netip.MustParseAddr("192.168.7.2")},
			}
		},
		Networks: func(context.Context) ([]netip.Prefix, error) {
			return []netip.Prefix{
				netip.MustParsePrefix("192.168.7.0/24"), netip.MustParsePrefix("203.0.113.0/24"),
			}, nil
		},
	}

	if layout == "" {
		if err := os.Mkdir(m.path("/etc"), 0o755); err != nil {
			t.Fatal(err)
		}
		return m
	}
	a, err := txtar.ParseFile(filepath.Join("testdata", layout+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	if err := txtar.Write(a, m.Root); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *machine) path(name string) string { return filepath.Join(m.Root, name) }

// read returns a file, or "" for one that is not there.
func (m *machine) read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(m.path(name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

// run runs init. What it prints must not hold the secret.
func (m *machine) run(t *testing.T) (bool, error) {
	t.Helper()
	m.out.Reset()
	m.System.SRV = noSRV
	done, err := Run(t.Context(), m.Options)
	secret := strings.TrimSpace(m.read(t, "/etc/amifend/ami-secret"))
	for _, s := range []string{secret, "S3cret"} {
		if s != "" && strings.Contains(m.out.String(), s) {
			t.Errorf("a secret is printed:\n%s", &m.out)
		}
	}
	return done, err
}

const (
	configFile  = "/etc/amifend/config.toml"
	secretFile  = "/etc/amifend/ami-secret"
	managerConf = "/etc/asterisk/manager.d/amifend.conf"
	sectionFile = "/etc/amifend/asterisk-manager-user.conf"
)

func TestLayouts(t *testing.T) {
	for _, tt := range []struct {
		layout  string
		done    bool     // nothing is left to a person
		written string   // the file with the manager user
		manager []string // in that file
		config  []string
		printed []string
	}{
		{
			"debian", true, managerConf,
			[]string{"[general](+)\nenabled = yes\nbindaddr = 127.0.0.1\n", "permit = 127.0.0.1/255.255.255.255"},
			[]string{
				`address = "127.0.0.1:5038"`, `"198.51.100.9"`, `names = ["sip.provider.example"]`,
				`"192.168.7.0/24"`, `"203.0.113.99"`, `sip_ports = ["5060-5061", "4569/udp", "5160/udp"]`,
			},
			[]string{"Asterisk has read its manager users again", "amifend observes now"},
		},
		{
			"noinclude", false, sectionFile,
			[]string{"[amifend]\n", "read = security\nwrite =\n"},
			[]string{`address = "127.0.0.1:5038"`, `"203.0.113.20"`},
			[]string{"cat /etc/amifend/asterisk-manager-user.conf >> /etc/asterisk/manager.conf"},
		},
		{
			"freepbx", false, sectionFile, nil,
			[]string{`"203.0.113.21"`},
			[]string{"Found FreePBX", ">> /etc/asterisk/manager_custom.conf", "FreePBX overwrites manager.conf"},
		},
		{
			"issabel", false, sectionFile, nil,
			[]string{`"203.0.113.21"`},
			[]string{"Found Issabel", ">> /etc/asterisk/manager_custom.conf", "Issabel overwrites manager.conf"},
		},
		{
			"vitalpbx", false, sectionFile, nil, nil,
			[]string{"Found VitalPBX", "/etc/asterisk/vitalpbx/manager__60-amifend.conf"},
		},
		{
			"realtime", true, managerConf, nil,
			[]string{`"203.0.113.77"`},
			[]string{"comes from a database", "Asterisk itself named 1 trunk."},
		},
		{
			"elsewhere", true, managerConf,
			[]string{"permit = 192.0.2.5/255.255.255.255"},
			[]string{`address = "192.0.2.5:15038"`},
			nil,
		},
		{"user", true, "", nil, nil, []string{"The manager user [amifend] is there: manager.conf:4"}},
	} {
		t.Run(tt.layout, func(t *testing.T) {
			m := newMachine(t, tt.layout)
			m.ReloadAsterisk = true
			if tt.layout == "realtime" {
				m.System.Asterisk = func(_ context.Context, command string) (string, error) {
					if command == "pjsip show identifies" {
						return "  Identify:  itsp/itsp\n        Match: 203.0.113.77/32\n", nil
					}
					return "", nil
				}
			}

			done, err := m.run(t)
			if err != nil || done != tt.done {
				t.Fatalf("done %v, %v; want %v\n%s", done, err, tt.done, &m.out)
			}

			contains(t, "printed", m.out.String(), tt.printed)
			contains(t, "the config", m.read(t, configFile), append(tt.config, "observe = true"))
			if tt.written != "" {
				secret := strings.TrimSpace(m.read(t, secretFile))
				contains(t, tt.written, m.read(t, tt.written), append(tt.manager, "secret = "+secret+"\n"))
			}
			if _, err := config.Load(m.path(configFile)); err != nil {
				t.Error(err)
			}
			for name, mode := range map[string]os.FileMode{
				"/etc/amifend": 0o750, configFile: 0o640, secretFile: 0o640, "/etc/amifend/.init.json": 0o600,
			} {
				if st, err := os.Stat(m.path(name)); err != nil || st.Mode().Perm() != mode {
					t.Errorf("%s: %v, %v", name, st.Mode(), err)
				}
			}

			// Only a machine that is done has its service started.
			if (len(m.services) > 0) != tt.done {
				t.Errorf("systemctl %q", m.services)
			}

			// Once more: nothing changes, and nothing is written.
			before := m.tree(t)
			if again, err := m.run(t); err != nil || again != tt.done {
				t.Errorf("again: done %v, %v\n%s", again, err, &m.out)
			}
			if after := m.tree(t); after != before {
				t.Errorf("the second run changed\n%s\nto\n%s", before, after)
			}
		})
	}
}

func contains(t *testing.T, what, text string, want []string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%s lacks %q:\n%s", what, w, text)
		}
	}
}

// tree returns the names, times and contents of all files.
func (m *machine) tree(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(m.Root, func(path string, st os.FileInfo, err error) error {
		if err == nil && !st.IsDir() {
			b.WriteString(path + " " + st.ModTime().String() + " " + st.Mode().String() + "\n")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// What a person does where init does not write the manager user is all that is missing.
func TestManagerUserByHand(t *testing.T) {
	m := newMachine(t, "freepbx")
	if done, err := m.run(t); done || err != nil {
		t.Fatalf("%v, %v", done, err)
	}
	f, err := os.OpenFile(m.path("/etc/asterisk/manager_custom.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(m.read(t, sectionFile)); err != nil {
		t.Fatal(err)
	}
	f.Close()

	if done, err := m.run(t); !done || err != nil || m.services[0] != "enable --now amifend.service" {
		t.Errorf("%v, %v, %q\n%s", done, err, m.services, &m.out)
	}
}

// Asterisk is not reloaded unless somebody says so, and then init is not finished.
func TestNoReloadUnasked(t *testing.T) {
	m := newMachine(t, "debian")
	if done, err := m.run(t); done || err != nil || len(m.asterisk)+len(m.services) != 0 {
		t.Errorf("%v, %v, asterisk %q, systemctl %q", done, err, m.asterisk, m.services)
	}
	contains(t, "printed", m.out.String(), []string{"asterisk -rx 'manager reload'"})
	if done, err := m.run(t); !done || err != nil {
		t.Errorf("after the reload: %v, %v\n%s", done, err, &m.out)
	}
}

func TestDryRun(t *testing.T) {
	m := newMachine(t, "debian")
	m.DryRun, m.ReloadAsterisk = true, true
	before := m.tree(t)
	if done, err := m.run(t); !done || err != nil || m.tree(t) != before || len(m.services)+len(m.asterisk) != 0 {
		t.Errorf("%v, %v, systemctl %q\n%s", done, err, m.services, m.tree(t))
	}
	contains(t, "printed", m.out.String(), []string{"observe = true", "secret = (not shown)", "nothing was changed"})
}

// What is there stays, unless somebody says to replace it; then a copy is kept.
func TestKeepsWhatIsThere(t *testing.T) {
	m := newMachine(t, "debian")
	write(t, m.path(configFile), "# mine\n")
	if _, err := m.run(t); err != nil {
		t.Fatal(err)
	}
	if got := m.read(t, configFile); got != "# mine\n" {
		t.Errorf("overwritten: %s", got)
	}

	m.Replace = true
	if _, err := m.run(t); err != nil {
		t.Fatal(err)
	}
	copies, _ := filepath.Glob(m.path(configFile) + ".before-*")
	if got := m.read(t, configFile); !strings.Contains(got, "observe = true") || len(copies) != 1 {
		t.Errorf("%q, copies %q", got, copies)
	}
}

// The first config of make install, which nobody has edited, makes way without a question.
func TestReplacesTheQuickstart(t *testing.T) {
	b, err := os.ReadFile("../../../../examples/quickstart/config.toml")
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine(t, "debian")
	write(t, m.path(configFile), string(b))
	write(t, m.path(secretFile), "")
	if _, err := m.run(t); err != nil {
		t.Fatal(err)
	}
	if got := m.read(t, configFile); !strings.Contains(got, "Written by amifend init") {
		t.Errorf("the example was edited: write its new SHA-256, %s, into the constant quickstart", hash(b))
	}
	if len(strings.TrimSpace(m.read(t, secretFile))) != 48 {
		t.Error("the empty secret stayed")
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o750), os.WriteFile(path, []byte(text), 0o640))
	if err != nil {
		t.Fatal(err)
	}
}

func TestUndo(t *testing.T) {
	m := newMachine(t, "debian")
	m.ReloadAsterisk = true
	before := m.tree(t)
	if done, err := m.run(t); !done || err != nil {
		t.Fatalf("%v, %v", done, err)
	}

	if err := Undo(t.Context(), m.Options); err != nil {
		t.Fatal(err)
	}
	if after := m.tree(t); after != before {
		t.Errorf("left:\n%s", after)
	}
	if n := len(m.services); m.services[n-1] != "disable --now amifend.service" ||
		m.asterisk[len(m.asterisk)-1] != "manager reload" {
		t.Errorf("systemctl %q, asterisk %q", m.services, m.asterisk)
	}

	// What was changed since stays.
	if _, err := m.run(t); err != nil {
		t.Fatal(err)
	}
	write(t, m.path(configFile), "# mine now\n")
	if err := Undo(t.Context(), m.Options); err != nil {
		t.Fatal(err)
	}
	if m.read(t, configFile) != "# mine now\n" || m.read(t, secretFile) != "" || m.read(t, managerConf) != "" {
		t.Errorf("left:\n%s", m.tree(t))
	}
}

// A record that the service's user could have written chooses nothing that root removes.
func TestUndoBelievesRootOnly(t *testing.T) {
	m := newMachine(t, "debian")
	victim := m.path("/etc/precious")
	write(t, victim, "x")
	write(t, m.path("/etc/amifend/.init.json"),
		`{"files":[{"path":"/etc/precious","sha256":"`+hash([]byte("x"))+`"}]}`)
	for _, path := range []string{"/etc/amifend/.init.json", "/etc/amifend"} {
		if err := os.Chmod(m.path(path), 0o770); err != nil {
			t.Fatal(err)
		}
		var need *NeedError
		if err := Undo(t.Context(), m.Options); !errors.As(err, &need) {
			t.Errorf("%s: %v", path, err)
		}
		if err := os.Chmod(m.path(path), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(victim); err != nil {
		t.Error(err)
	}
}

// A folder of the service's user becomes root's, with the files in it.
func TestTakesTheFolderOver(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root")
		}
		t.Skip("needs root, to have files of another user")
	}

	m := newMachine(t, "debian")
	write(t, m.path(secretFile), "old-secret-of-theirs\n")
	for _, path := range []string{secretFile, "/etc/amifend"} {
		if err := os.Chown(m.path(path), 4242, 4242); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.run(t); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{secretFile, configFile, "/etc/amifend"} {
		var st unixStat
		if err := lstat(m.path(path), &st); err != nil || st.Uid != 0 || int(st.Gid) != m.GID || st.Mode&0o007 != 0 {
			t.Errorf("%s: %+v, %v", path, st, err)
		}
	}
	contains(t, "manager user", m.read(t, managerConf), []string{"secret = old-secret-of-theirs\n"})

	// A hard link could lead to a file that only root may read.
	m = newMachine(t, "debian")
	write(t, m.path("/etc/shadow"), "root's\n")
	write(t, m.path("/etc/amifend/x"), "")
	if err := os.Link(m.path("/etc/shadow"), m.path(secretFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := m.run(t); err == nil || !strings.Contains(err.Error(), "hard link") {
		t.Errorf("%v", err)
	}
}

// No symlink leads init elsewhere.
func TestFollowsNoSymlink(t *testing.T) {
	for _, link := range []string{"/etc/amifend", "/etc/asterisk/manager.d", configFile} {
		m := newMachine(t, "debian")
		elsewhere := t.TempDir()
		to := elsewhere
		if link == configFile {
			to = filepath.Join(elsewhere, "file")
		}
		err := errors.Join(os.RemoveAll(m.path(link)), os.MkdirAll(filepath.Dir(m.path(link)), 0o750),
			os.Symlink(to, m.path(link)))
		if err != nil {
			t.Fatal(err)
		}

		if done, err := m.run(t); done || err == nil || !strings.Contains(err.Error(), "symlink") {
			t.Errorf("%s: %v, %v\n%s", link, done, err, &m.out)
		}
		if names, err := os.ReadDir(elsewhere); err != nil || len(names) != 0 {
			t.Errorf("%s: written %v", link, names)
		}
	}
}

func TestNoAsteriskHere(t *testing.T) {
	m := newMachine(t, "")
	var need *NeedError
	if _, err := m.run(t); !errors.As(err, &need) || !strings.Contains(need.Do, "--address") {
		t.Errorf("%v", err)
	}
	if names, err := os.ReadDir(m.path("/etc")); err != nil || len(names) != 0 {
		t.Errorf("written: %v", names)
	}
}
