package diagnose

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
)

// bundle makes a bundle of a config, and returns its files, unpacked, by name.
func bundle(t *testing.T, path string) map[string]string {
	t.Helper()
	var b bytes.Buffer
	listed, err := Write(t.Context(), &b, Options{
		Config: path, Table: "amifend-diagnose-test", Build: "a build", Now: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}

	z, err := gzip.NewReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for in := tar.NewReader(z); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(h.Name, "amifend-diagnose/")] = string(text)
	}

	// Each file is described, and each described one is there, or it is said why not.
	for _, f := range listed {
		if _, ok := files[f.Name]; !ok && f.Error == "" {
			t.Errorf("%s is listed, and neither there nor said to be missing", f.Name)
		}
		if !strings.Contains(files["README.txt"], f.Name) && f.Name != "README.txt" {
			t.Errorf("the README does not describe %s", f.Name)
		}
	}
	return files
}

// A secret that stands in any place of a config, also in a wrong one, is in no file of the bundle.
func TestBundleHoldsNoSecret(t *testing.T) {
	const secret = `Hunter2-"ü/%y`
	const plain = "hunter2hunter2" // could be a key, a word, a host or a file
	const digits = "94711" + "5550199"
	head := "[[server]]\nname = \"office\"\naddress = \"192.0.2.1\"\nusername = \"u\"\n"

	quote := func(s string) string {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
	}
	configs := map[string]string{
		"comment":    "# secret = " + secret + plain + "\n" + head + "secret_file = \"s\" # " + plain + "\n",
		"itself":     head + "secret = " + quote(secret) + "\n",
		"number":     head + "secret = " + digits + "\n",
		"list":       head + "secret = [" + quote(secret) + "]\n",
		"table":      head + "[server.secret]\na = " + quote(secret) + "\nb = { c = " + quote(plain) + " }\n",
		"file":       head + "secret_file = " + quote(secret) + "\n",
		"file plain": head + "secret_file = " + quote(plain) + "\n",
		"file there": head + "secret_file = \"secret\"\n",
		"url":        head + "secret_file = \"s\"\n[control]\nsocket = \"http://me:" + plain + "@192.0.2.1/\"\n",
		"section":    head + "[" + plain + "]\na = 1\n",
		"twice":      head + "secret = " + quote(secret) + "\nsecret = " + quote(secret) + "\n",
		"no TOML":    head + "secret = " + plain + "\n",
		"no TOML 2":  plain + "\n" + head,
		"no TOML 3":  head + "secret = \"" + plain + "\n",
	}

	// Every key that a config has, and some that others have, each with every form of value.
	keys := []string{"server.password", "server.hunter", "server.token", "api_key", "policy.secret"}
	for k := range shown() {
		keys = append(keys, k)
	}
	keys = append(keys, "server.tls.insecure_skip_verify", "policy.threshold", "firewall.max_bans",
		"policy.rules.canary_account", "policy.weights.InvalidPassword", "policy.rules."+plain)
	for _, key := range keys {
		for i, value := range []string{
			quote(secret), quote(plain), "[" + quote(plain) + "]", "{ a = " + quote(plain) + " }",
			"{ " + plain + " = 1 }", quote("user:" + plain + "@192.0.2.1:5038"), quote("192.0.2.1:" + plain),
		} {
			name, inServer := strings.CutPrefix(key, "server.")
			text := head + "secret_file = \"s\"\n"
			if inServer {
				text = "[[server]]\n" + name + " = " + value + "\n"
			} else if table, name, ok := strings.Cut(key, "."); ok {
				text += "[" + table + "]\n" + name + " = " + value + "\n"
			} else {
				text = key + " = " + value + "\n" + text
			}
			configs[fmt.Sprintf("%s %d", key, i)] = text
		}
	}

	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "config.toml")
	for name, text := range configs {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}

		// What depends on the config alone is made for each; whole bundles for a few.
		found := secrets{}
		clean, _, err := readConfig(path, found)
		files := map[string]string{"config.toml": string(clean), "error": fmt.Sprint(err)}
		files["problems.txt"] = string(found.clean(problems(path)))
		if !strings.Contains(name, ".") {
			files = bundle(t, path)
		}
		for file, content := range files {
			for _, s := range []string{secret, quote(secret), plain, digits, "Hunter2"} {
				if strings.Contains(content, s) {
					t.Errorf("%s: %s holds a secret:\n%s\nof\n%s", name, file, content, text)
				}
			}
		}
	}
}

// The secrets that the config names are removed from all other texts, as these write them.
func TestClean(t *testing.T) {
	s := secrets{}
	s.add("tab\tand \"quote\"\n")
	s.add("a&b c")
	s.add("a&b")
	s.add("abc") // too short to be looked for
	for in, want := range map[string]string{
		`{"x":"tab\tand \"quote\""}`:     `{"x":"(removed)"}`,
		"p=a%26b+c a%26b":                "p=(removed) a%26b",
		"http://me:a@192.0.2.1:5038/abc": "http://(credentials)@192.0.2.1:5038/abc",
		"ami://u:pw@pbx 10:15:00 abc":    "ami://(credentials)@pbx 10:15:00 abc",
		"time 10:15:00 fe80::1 a@b":      "time 10:15:00 fe80::1 a@b",
	} {
		if got := string(s.clean([]byte(in))); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// What helps is shown: numbers, switches, times, addresses, and files that exist.
func TestConfigIsOfUse(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(path, []byte(`[[server]]
address = "192.0.2.1:5038"
secret = "right"
[policy]
threshold = 3.5
half_life = "20m"
[policy.rules]
canary_account = false
[policy.weights]
InvalidPassword = 2.0
[allow]
prefixes = ["192.0.2.0/24"]
[firewall]
sip_ports = ["5060-5061/udp", 5080]
[state]
directory = "`+dir+`"
`), 0o600); err != nil {
		t.Fatal(err)
	}

	clean, state, err := readConfig(path, secrets{})
	if err != nil || state != dir {
		t.Fatal(state, err)
	}
	for _, want := range []string{
		`address = "192.0.2.1:5038"`, `threshold = 3.5`, `half_life = "20m"`, `canary_account = false`,
		`InvalidPassword = 2.0`, `prefixes = ["192.0.2.0/24"]`, `"5060-5061/udp", 5080`, `directory = "` + dir,
	} {
		if !strings.Contains(string(clean), want) {
			t.Errorf("%s is missing:\n%s", want, clean)
		}
	}
}

// A line of the log that may name an account is left out: passwords are typed there.
func TestLogLine(t *testing.T) {
	line, ok := logLine(map[string]any{
		"MESSAGE": "the journal cannot be written  err=\"no space\"", "PRIORITY": "4",
		"__REALTIME_TIMESTAMP": "1764369006000000",
	})
	if want := "2025-11-28T22:30:06Z <4> the journal cannot be written  err=\"no space\""; !ok ||
		line != want {
		t.Errorf("%q, %t, want %q", line, ok, want)
	}
	if line, ok := logLine(map[string]any{"MESSAGE": "alert", "ACCOUNT": `"hunter2"`}); ok {
		t.Errorf("%q is shown", line)
	}
}

// Every key of a config has a rule, or is a number or a switch.
func TestKeysAreKnown(t *testing.T) {
	for key := range shown() {
		if !config.HasKey(key) {
			t.Errorf("no config has the key %s", key)
		}
	}
	for _, key := range []string{"server.secrt", "hunter2", "policy.rules.hunter2", "server.tls.x"} {
		if config.HasKey(key) {
			t.Errorf("a config has the key %s", key)
		}
	}
}
