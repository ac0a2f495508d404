package config_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
)

// libraryWords match the names that only a Go programmer knows.
var libraryWords = regexp.MustCompile(`Config\.|TLS\.|this program|the session reconnects`)

// An operator reads keys of the config file, never options of the library.
func TestAdviceNamesKeys(t *testing.T) {
	for p := ami.ProblemUnresolved; p <= ami.ProblemUnknown; p++ {
		advice := config.Advice(p)
		if advice == "" || libraryWords.MatchString(advice) {
			t.Errorf("%s: advice %q", p, advice)
		}
	}

	for p, key := range map[ami.Problem]string{
		ami.ProblemUnresolved:     "`address`",
		ami.ProblemRefused:        "`address`",
		ami.ProblemUnreachable:    "`address`",
		ami.ProblemNotAMI:         "`address`",
		ami.ProblemTLSRequired:    "[server.tls]",
		ami.ProblemTLSNotSpoken:   "[server.tls]",
		ami.ProblemUnknownCA:      "ca_file in [server.tls]",
		ami.ProblemNameMismatch:   "server_name in [server.tls]",
		ami.ProblemFingerprint:    "fingerprint",
		ami.ProblemPlainForbidden: "[server.tls]",
	} {
		if advice := config.Advice(p); !strings.Contains(advice, key) {
			t.Errorf("%s: advice %q does not name %s", p, advice, key)
		}
	}
}

func TestSessionWarningNamesKeys(t *testing.T) {
	for key, c := range map[string]ami.Config{
		"[server.tls]": {Address: "192.0.2.10:5038"},
		"insecure_skip_verify": {
			Address: "192.0.2.10:5039", TLS: &ami.TLS{InsecureSkipVerify: true},
		},
	} {
		warnings := c.Warnings()
		if len(warnings) != 1 {
			t.Fatalf("%s: warnings %v, want one", key, warnings)
		}

		text := config.SessionWarning(warnings[0]).String()
		if !strings.Contains(text, key) || libraryWords.MatchString(text) {
			t.Errorf("%s: warning %q", key, text)
		}
	}
}
