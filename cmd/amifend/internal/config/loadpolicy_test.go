package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLoadPolicy(t *testing.T) {
	const unreadable = "[[server]]\naddress = \"192.0.2.10\"\nusername = " +
		"\"amifend\"\nsecret_file = \"not-there\"\n" +
		"[server.tls]\nca_file = \"not-there.pem\"\n[policy]\nthreshold = 7\n"
	for name, test := range map[string]struct{ file, problem string }{
		"secrets that cannot be read": {unreadable, ""},
		"no server at all":            {"[policy]\nthreshold = 7\n", ""},
		"a wrong threshold":           {"[policy]\nthreshold = -7\n", "policy.threshold"},
		"an unknown key":              {"[policy]\nthreshold = 7\nfoo = 1\n", "foo"},
		"a secret of a wrong type": {
			strings.Replace(unreadable, `"not-there"`, "7", 1),
			"secret_file",
		},
	} {
		path := filepath.Join(t.TempDir(), "config.toml")
		if err := os.WriteFile(path, []byte(test.file), 0o600); err != nil {
			t.Fatal(err)
		}

		c, err := LoadPolicy(path)
		switch {
		case test.problem != "" && (err == nil || !strings.Contains(err.Error(), test.problem)):
			t.Errorf("%s: %v; want a problem with %s", name, err, test.problem)
		case test.problem == "" && (err != nil || c.Policy.Threshold != 7):
			t.Errorf("%s: %+v, %v; want the policy", name, c, err)
		}

		// The case would prove nothing if Load accepted it.
		if _, err := Load(path); err == nil {
			t.Errorf("%s: Load takes it too", name)
		}
	}
}
