package ami

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// rendered prints values in every way that a program may print them.
func rendered(values ...any) string {
	var out bytes.Buffer
	text := slog.New(slog.NewTextHandler(&out, nil))
	asJSON := slog.New(slog.NewJSONHandler(&out, nil))
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		text.Info("text", "value", v)
		asJSON.Info("json", "value", v)

		if b, err := json.Marshal(v); err == nil {
			out.Write(b)
		}
	}

	return out.String()
}

func TestSecretPrintsRedacted(t *testing.T) {
	const hidden = "hunter2"
	secret := NewSecret(hidden)
	type holder struct {
		Exported   Secret
		unexported Secret
		Pointer    *Secret
	}

	// fmt prints unexported fields without asking their methods, so try those too.
	h := holder{secret, secret, &secret}
	said := rendered(secret, &secret, h, &h, []Secret{secret}, map[string]Secret{"k": secret},
		Config{Secret: secret})
	if strings.Contains(said, hidden) || strings.Contains(said, fmt.Sprintf("%x", hidden)) {
		t.Errorf("shows the secret: %s", said)
	}
	if !strings.Contains(said, redacted) || secret.String() != redacted {
		t.Error("does not say that it is redacted")
	}

	if secret.reveal() != hidden || h.unexported.reveal() != hidden {
		t.Error("is lost")
	}
}

func TestSecretEqual(t *testing.T) {
	a, b := NewSecret("x"), NewSecret("x")
	if !a.Equal(b) || a.Equal(NewSecret("y")) || a.Equal(Secret{}) {
		t.Error("Equal does not compare the texts")
	}
	if !(Secret{}).IsZero() || !NewSecret("").IsZero() || a.IsZero() {
		t.Error("IsZero is wrong")
	}
}
