package config

import (
	"strings"

	"github.com/amifend/amifend/policy"
)

// HasKey reports whether a config can have the key, such as server.tls.ca_file or
// policy.rules.canary.
func HasKey(path string) bool {
	if name, ok := strings.CutPrefix(path, "policy.weights."); ok {
		_, ok := policy.ParseKind(name)
		return ok
	}
	if name, ok := strings.CutPrefix(path, "policy.rules."); ok {
		_, ok := policy.ParseRule(name)
		return ok
	}
	_, ok := schema()[path]
	return ok
}

// ReadFile reads a config file, or one that a config names, as it is. It refuses what is not a
// regular file, or larger than a config may be.
func ReadFile(path string) ([]byte, error) {
	text, _, err := readRegular(path, maxFile)
	return text, err
}
