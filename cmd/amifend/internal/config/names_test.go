package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestAllowedNames(t *testing.T) {
	c, err := load(t, server+`[allow]
names = ["Trunk.Provider.example.", "home.dyndns.example", "trunk.provider.example", "pbx", "_sip.x_y.example"]
`)
	if err != nil {
		t.Fatal(err)
	}

	if want := []string{
		"_sip.x_y.example", "home.dyndns.example", "pbx",
		"trunk.provider.example",
	}; !slices.Equal(c.Names, want) {
		t.Errorf("names %q, want %q", c.Names, want)
	}
}

func TestAllowedNamesThatAreNone(t *testing.T) {
	for name, want := range map[string]string{
		"192.0.2.7": "is not a name; addresses and prefixes belong into [allow] " +
			"prefixes",
		"2001:db8::1":             "is not a name;",
		"192.0.2.0/24":            "is not a name;",
		"192.0.2":                 "is not a host name",
		"*.example.com":           "stands for many names",
		"localhost":               "is this machine",
		"":                        "is not a host name",
		"a b":                     "is not a host name",
		"-a.example":              "is not a host name",
		"sip:trunk.example":       "is not a host name",
		"trunk.example:5060":      "is not a host name",
		strings.Repeat("a.", 130): "is not a host name",
		"\x1b[2J.example":         "is not a host name",
	} {
		_, err := load(t,
			fmt.Sprintf("%s[allow]\nnames = [%q]\n", server, strings.ReplaceAll(name, "\x1b", "?")))
		if err == nil || !strings.Contains(err.Error(), "config.toml:6: allow.names: ") ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
	}

	// Each name is right, but they are too many.
	var many []string
	for i := range MostNames + 1 {
		many = append(many, fmt.Sprintf("%q", fmt.Sprintf("h%d.example", i)))
	}

	if _, err := load(t, server+"[allow]\nnames = ["+strings.Join(many, ",")+"]\n"); err == nil ||
		!strings.Contains(err.Error(), "holds 101 names") {
		t.Errorf("%v", err)
	}
}
