package config

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/amifend/amifend/ami"
)

// What editors put around a password in a file.
func TestSecretFile(t *testing.T) {
	for name, tt := range map[string]struct {
		file, want string
		says       string // of an error or a warning
	}{
		"plain":             {"s3cret", "s3cret", ""},
		"a line":            {"s3cret\n", "s3cret", ""},
		"lines":             {"s3cret\r\n\r\n", "s3cret", ""},
		"byte order mark":   {"\ufeffs3cret\n", "s3cret", ""},
		"a blank inside":    {"s3 cret\n", "s3 cret", ""},
		"a blank behind":    {"s3cret \n", "s3cret ", "server[1].secret_file: the secret ends with"},
		"a blank before":    {" s3cret\n", " s3cret", "secret begins with a blank"},
		"blanks and a mark": {"\ufeff s3cret \n", " s3cret ", "begins and ends with a blank"},
		"UTF-16":            {"\xff\xfes\x003\x00", "", "is UTF-16; save it as UTF-8"},
		"UTF-16, the other": {"\xfe\xff\x00s\x003", "", "is UTF-16; save it as UTF-8"},
		"two lines":         {"s3cret\nmore", "", "holds a line break"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "config.toml")
			if err := os.WriteFile(filepath.Join(dir, "s"), []byte(tt.file), 0o600); err != nil {
				t.Fatal(err)
			}
			text := "[[server]]\naddress = \"a.example\"\nusername = \"u\"\nsecret_file = \"s\"\n"
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}

			c, err := Load(path)
			if tt.want == "" {
				if err == nil || !strings.Contains(err.Error(), tt.says) {
					t.Fatalf("got %v, want … %s …", err, tt.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !c.Servers[0].Secret.Equal(ami.NewSecret(tt.want)) {
				t.Errorf("the secret is not %q", tt.want)
			}
			warnings := strings.Join(c.Warnings, "\n")
			if tt.says == "" && warnings != "" || !strings.Contains(warnings, tt.says) ||
				strings.Contains(warnings, "s3cret") {
				t.Errorf("warnings %q, want … %s …", warnings, tt.says)
			}
		})
	}
}

// A table pasted below the one that is there.
func TestTablesAndKeysThatStandTwice(t *testing.T) {
	for text, says := range map[string]string{
		"[allow]\nprefixes = []\n[policy]\n[allow]\nprefixes = [\"192.0.2.1\"]\n": ":4: the table " +
			"[allow] is there already; put the keys below this header into the first [allow]",
		"[allow]\nprefixes = []\nprefixes = [\"192.0.2.1\"]\n": ":3: allow.prefixes stands there " +
			"twice; put all values into one",
		"[[server]]\naddress = \"a\"\naddress = \"b\"\n": "address stands twice in one [[server]]",
	} {
		path := filepath.Join(t.TempDir(), "config.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: got %v, want … %s …", text, err, says)
		}
	}
}

// Whatever key a password is pasted into, and however the line is damaged, no error and no warning
// shows it.
func TestNoErrorShowsWhatIsWritten(t *testing.T) {
	const secret = "Hunter2!x/y%z"
	const valid = "[[server]]\naddress = \"a.example\"\nusername = \"u\"\nsecret = \"s\"\n"

	dir := t.TempDir()
	path := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(filepath.Join(dir, "list"), []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	check := func(text string) (isError bool) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}

		c, err := Load(path)
		var said string
		if err != nil {
			said = err.Error()
		} else {
			said = strings.Join(c.Warnings, "\n")
		}
		for _, part := range []string{"Hunter", "x/y", "%z"} {
			if strings.Contains(said, part) {
				t.Errorf("%q shows:\n%s", text, said)
			}
		}
		return err != nil
	}

	check(valid + "[deny]\nfiles = [\"list\"]\n")
	check(valid + "[" + secret + "]\n")
	check(valid + secret + "\n")

	// Each key of the schema, as the last one of its table.
	errors := 0
	for key, isTable := range schema() {
		if isTable {
			continue
		}
		i := strings.LastIndexByte(key, '.')
		table, name := key[:i], key[i+1:]
		head := valid + "[" + table + "]\n"
		if table == "server" {
			head = strings.ReplaceAll(valid, name+" =", "#")
		}

		for _, value := range []string{
			`"` + secret + `"`, `["` + secret + `"]`, `["` + secret + `", "192.0.2.1"]`, secret,
			`"` + secret, `'` + secret + `' ` + secret, `"\H` + secret + `"`, `{` + secret + `}`,
			`["` + secret, `[` + secret + `]`, `{ a = "` + secret + `"}`,
		} {
			for _, line := range []string{
				name + " = " + value, name + " " + value, name + ": " + value,
				name + " = " + value + "\n" + name + " = " + value,
			} {
				if check(head + line + "\n") {
					errors++
				}
			}
		}
	}
	if errors < 1000 {
		t.Errorf("only %d errors: the test looks at the wrong thing", errors)
	}
}

// A file that is none makes nobody wait, and is an error that names the key.
func TestOnlyRegularFilesAreRead(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}

	// To open one of these would wait for ever, or read without an end.
	const server = "[[server]]\naddress = \"a.example\"\nusername = \"u\"\n"
	path := filepath.Join(dir, "config.toml")
	for text, key := range map[string]string{
		server + "secret_file = \"pipe\"\n":                            "server[1].secret_file",
		server + "secret_file = \"" + dir + "\"\n":                     "server[1].secret_file",
		server + "secret_file = \"/dev/zero\"\n":                       "server[1].secret_file",
		server + "secret = \"s\"\n[server.tls]\nca_file = \"pipe\"\n":  "server[1].tls.ca_file",
		server + "secret = \"s\"\n[deny]\nfiles = [\"pipe\"]\n":        "deny.files",
		server + "secret = \"s\"\n[deny]\nfiles = [\"/dev/random\"]\n": "deny.files",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), key) ||
			!strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("%q: %v", text, err)
		}
	}

	if _, err := Load(pipe); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("the config itself: %v", err)
	}
	if _, err := FindSocket(pipe, true); err == nil {
		t.Error("the socket of a pipe was found")
	}
}
