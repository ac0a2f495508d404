package main

import (
	"encoding/xml"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
)

const examples = "../../examples/"

// need skips a test whose program is not installed. CI installs them all, see .ci/install.
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

// readExample returns the text of an example.
func readExample(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(examples + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var secretFile = regexp.MustCompile(`(?m)^secret_file = "([^"]+)"`)

// loadExample loads a config, with a secret in each file that it names.
func loadExample(t *testing.T, text string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{"config.toml": text}
	for _, m := range secretFile.FindAllStringSubmatch(text, -1) {
		files[m[1]] = "s3cret\n"
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	c, err := config.Load(filepath.Join(dir, "config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) > 0 {
		t.Errorf("warnings %q", c.Warnings)
	}
	return c
}

func TestExampleConfigs(t *testing.T) {
	for name, want := range map[string]struct {
		servers int
		tls     bool
		ports   string // one that must be a SIP port, besides 5060
	}{
		"quickstart": {servers: 1},
		"gateway":    {servers: 10, tls: true, ports: "5070"},
		"container":  {servers: 1},
		"freepbx":    {servers: 1, ports: "5160"},
	} {
		t.Run(name, func(t *testing.T) {
			c := loadExample(t, readExample(t, name+"/config.toml"))
			if len(c.Servers) != want.servers || !c.Observe {
				t.Errorf("%d servers, observe %v", len(c.Servers), c.Observe)
			}
			for _, s := range c.Servers {
				if (s.TLS != nil) != want.tls || s.TLS != nil && s.TLS.Fingerprint == "" {
					t.Errorf("server %s: TLS %+v", s.Name, s.TLS)
				}
			}
			if ports := fmt.Sprint(c.Firewall.SIPPorts); !strings.Contains(ports, want.ports) {
				t.Errorf("SIP ports %s lack %s", ports, want.ports)
			}
		})
	}

	// No other example is forgotten.
	found, err := filepath.Glob(examples + "*/config.toml")
	if err != nil || len(found) != 4 {
		t.Errorf("examples %q, %v", found, err)
	}
}

// The definitions for firewalld and ufw open the ports of the ruleset.
func TestExampleServices(t *testing.T) {
	var service struct {
		Ports []struct {
			Protocol string `xml:"protocol,attr"`
			Port     string `xml:"port,attr"`
		} `xml:"port"`
	}
	text := readExample(t, "firewall/firewalld/asterisk.xml")
	if err := xml.Unmarshal([]byte(text), &service); err != nil {
		t.Fatal(err)
	}

	var ports []string
	for _, p := range service.Ports {
		ports = append(ports, strings.Replace(p.Port, "-", ":", 1)+"/"+p.Protocol)
	}
	profile := readExample(t, "firewall/ufw/asterisk")
	if want := "\nports=" + strings.Join(ports, "|") + "\n"; !strings.Contains(profile, want) {
		t.Errorf("ufw's profile lacks %q:\n%s", want, profile)
	}
	if len(ports) != 3 || ports[0] != "5060:5061/udp" {
		t.Errorf("firewalld's ports %q", ports)
	}
}

// The container has the folders that the daemon writes to, and nothing that must be fetched.
func TestExampleContainer(t *testing.T) {
	text := readExample(t, "container/Containerfile")
	c := loadExample(t, readExample(t, "container/config.toml"))
	for _, want := range []string{
		"\nFROM scratch\n", "\nCOPY bin/amifend /usr/bin/amifend\n",
		`VOLUME ["` + c.State.Directory + `", "` + filepath.Dir(c.Control.Socket) + `"]`,
		"\nENTRYPOINT [\"/usr/bin/amifend\"]\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the Containerfile lacks %q", want)
		}
	}
	if c.Control.ReadGroup != "0" || c.Control.AdminGroup != "0" {
		t.Errorf("groups %q and %q, but the image has no names", c.Control.ReadGroup,
			c.Control.AdminGroup)
	}
}

// Ansible takes the playbook, and the config that its role writes is valid.
func TestExampleAnsible(t *testing.T) {
	need(t, "ansible-playbook")
	dir := t.TempDir()
	play := func(args ...string) {
		t.Helper()
		cmd := exec.Command("ansible-playbook", append([]string{
			"-i", "localhost,", "-c", "local", "-e", "ansible_become=false",
		}, args...)...)
		cmd.Dir = examples + "ansible"
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "ANSIBLE_LOCALHOST_WARNING=false")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("ansible-playbook %q: %v\n%s", args, err, out)
		}
	}

	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	mine, err := user.LookupGroupId(me.Gid)
	if err != nil {
		t.Fatal(err)
	}

	play("--syntax-check", "playbook.yml")

	// The tasks that need a package or the service are left out by their tags.
	play("--tags", "config", "-e", "amifend_secret=s3cret", "-e",
		fmt.Sprintf(`{"amifend_folder": %q, "amifend_owner": %q, "amifend_group": %q,
			"amifend_observe": false, "amifend_allow": ["198.51.100.0/24", "2001:db8::1"],
			"amifend_servers": [{"name": "a", "address": "127.0.0.1:5038"},
			{"name": "b", "address": "192.0.2.1:5039", "fingerprint": %q}]}`,
			dir, me.Username, mine.Name, strings.Repeat("ab", 32)), "playbook.yml")
	c, err := config.Load(filepath.Join(dir, "config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Observe || len(c.Warnings) > 0 || len(c.Servers) != 2 || c.Servers[1].TLS == nil ||
		len(c.Allow) != 2 {
		t.Errorf("config %+v", c)
	}
}

// keys returns the settings of a section of an Asterisk config, without the secret.
func keys(text, section string) map[string]string {
	out := map[string]string{}
	in := false
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), ";")
		if strings.HasPrefix(line, "[") {
			in = strings.TrimSpace(line) == section
		}
		if k, v, ok := strings.Cut(line, "="); ok && in && strings.TrimSpace(k) != "secret" {
			out[strings.TrimSpace(k)] = strings.TrimSpace(v)
		}
	}
	return out
}

// FreePBX's manager user has the same rights as that of a plain Asterisk.
func TestExampleManagerUsers(t *testing.T) {
	want := keys(readExample(t, "asterisk/manager.d/amifend.conf"), "[amifend]")
	got := keys(readExample(t, "freepbx/manager_custom.conf"), "[amifend]")
	if len(want) != 5 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("FreePBX's %v, plain Asterisk's %v", got, want)
	}
}

// Debian's fail2ban takes the file, and runs no jail for Asterisk.
func TestExampleFail2ban(t *testing.T) {
	cache := os.Getenv("AMIFEND_LAB_CACHE")
	if cache == "" {
		cache = "/var/cache/amifend"
	}
	unpacked := filepath.Join(cache, "fail2ban")
	if _, err := os.Stat(unpacked); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("fail2ban is not unpacked: .ci/install does it as root: %v", err)
		}
		t.Skip("fail2ban is not unpacked: sudo .ci/install does it")
	}

	dir := t.TempDir()
	if out, err := exec.Command("cp", "-r", unpacked+"/etc/fail2ban/.", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, text := range map[string]string{
		"amifend.local": readExample(t, "fail2ban/amifend.local"),
		// Before, as an administrator had it.
		"a-asterisk.local": "[asterisk]\nenabled = true\nbackend = systemd\n",
		"defaults-debian.conf": "[x]\nenabled = true\nfilter = sshd\nbackend = auto\n" +
			"logpath = /dev/null\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, "jail.d", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	cmd := exec.Command("/usr/bin/python3", unpacked+"/usr/bin/fail2ban-client", "-c", dir, "-d")
	cmd.Env = append(os.Environ(), "PYTHONPATH="+unpacked+"/usr/lib/python3/dist-packages")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "'start', 'x'") ||
		strings.Contains(string(out), "asterisk") {
		t.Errorf("fail2ban: %v\n%s", err, out)
	}
}
