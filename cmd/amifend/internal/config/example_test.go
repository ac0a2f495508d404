package config

import (
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

func example(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../../../config.toml.example")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// commented are the example's settings that are switched off. Prose has a space after its #.
var commented = regexp.MustCompile(`(?m)^#([A-Za-z_]+ = |\[)`)

func TestExampleLacksNothingButTheSecret(t *testing.T) {
	_, err := load(t, example(t))
	var e *Error
	if !errors.As(err, &e) || len(e.Problems) != 1 || e.Problems[0].Key != "server[1].secret" {
		t.Fatalf("as it is: %v; want that the secret is empty, and nothing else", err)
	}

	if line := strings.Split(example(t), "\n")[e.Problems[0].Line-1]; line != `secret = ""` {
		t.Errorf("the problem's line is %q", line)
	}

	c, err := load(t, strings.Replace(example(t), `secret = ""`, `secret = "s3cret"`, 1))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) != 0 {
		t.Errorf("warnings: %q", c.Warnings)
	}

	if s := c.Servers[0]; s.Address != "127.0.0.1:5038" || s.Username != "amifend" ||
		!s.Secret.Equal(ami.NewSecret("s3cret")) || s.TLS != nil {
		t.Errorf("server: %+v", s)
	}
}

// The defaults that the example claims are the ones that a file without any of these keys has.
func TestExampleShowsTheTrueDefaults(t *testing.T) {
	const server = "[[server]]\naddress = \"127.0.0.1:5038\"\nusername = \"amifend\"\nsecret = " +
		"\"s3cret\"\n"

	want, err := load(t, server)
	if err != nil {
		t.Fatal(err)
	}

	text := strings.Replace(example(t), `secret = ""`, `secret = "s3cret"`, 1)
	head, rest, ok := strings.Cut(text, "#[server.tls]")
	if !ok {
		t.Fatal("the example has no #[server.tls]")
	}

	head = strings.Replace(head, "#secret_file", "# secret_file", 1) // excludes secret

	// Neither TLS nor [[notify]] has defaults to compare: both are off without their header.
	_, rest, ok = strings.Cut(rest, "[allow]")
	if !ok {
		t.Fatal("the example has no [allow] behind the servers")
	}
	rest, _, ok = strings.Cut(rest, "#[[notify]]")
	if !ok {
		t.Fatal("the example has no #[[notify]] at its end")
	}

	got, err := load(t, commented.ReplaceAllString(head+"\n[allow]"+rest, "$1"))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("with all that is commented out:\n%s\nwithout:\n%s", dump(t, got), dump(t, want))
	}

	if !reflect.DeepEqual(want.Firewall,
		Firewall{
			"nftables", "amifend", firewall.DefaultSIPPorts(), firewall.DefaultWSPorts(),
			firewall.DefaultMaxBans,
		}) {
		t.Errorf("firewall: %+v", want.Firewall)
	}

	if want.Sensor != (Sensor{Enabled: true, Group: firewall.DefaultGroup}) {
		t.Errorf("sensor: %+v", want.Sensor)
	}

	if want.Limiter != (Limiter{
		LimiterObserve, firewall.DefaultPerMinute, firewall.DefaultBurst,
		firewall.DefaultStrangersPerSecond, firewall.DefaultStrangersBurst,
	}) {
		t.Errorf("limiter: %+v", want.Limiter)
	}

	if !reflect.DeepEqual(want.Policy, policy.DefaultOptions()) {
		t.Errorf("policy: %+v, want the engine's defaults", want.Policy)
	}
}

func dump(t *testing.T, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Every key of the raw structs, every event with a weight and every rule that can be switched
// stands in the example, in its own table.
func TestExampleDocumentsEveryKey(t *testing.T) {
	var file map[string]any
	text := commented.ReplaceAllString(example(t), "$1")
	md, err := toml.Decode(text, &file)
	if err != nil {
		t.Fatal(err)
	}

	documented := map[string]bool{}
	for _, k := range md.Keys() {
		documented[strings.Join(k, ".")] = true
	}

	// Weights and rules are maps, whose keys are no fields.
	want := schema()
	for _, e := range events() {
		want["policy.weights."+e] = false
	}

	for _, r := range ruleNames(false) {
		want["policy.rules."+r] = false
	}

	if len(want) < 40 {
		t.Fatalf("only %d keys are known: the test looks at the wrong thing", len(want))
	}

	// Both ways: every key is documented, and nothing else is.
	for key := range want {
		if !documented[key] {
			t.Errorf("%s is not in config.toml.example", key)
		}
		delete(documented, key)
	}

	for key := range documented {
		t.Errorf("config.toml.example has %s, which no one reads", key)
	}
}
