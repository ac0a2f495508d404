package ami

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
	"strings"
)

const redacted = "[redacted]"

// Secret is a manager user's secret. No way of printing shows it: not %v, %+v, %#v, %x, slog, JSON
// or TOML, and not a struct that holds it. The zero value holds none.
type Secret struct {
	// A pointer: for an unexported field of a struct, fmt calls no method. It prints the text of a
	// string, but only the address of a pointer.
	text *string
}

// NewSecret keeps text as a secret.
func NewSecret(text string) Secret { return Secret{text: &text} }

// IsZero reports whether s holds no secret, or an empty one.
func (s Secret) IsZero() bool { return s.reveal() == "" }

// Equal reports whether two secrets are equal. It compares them in constant time.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.reveal()), []byte(other.reveal())) == 1
}

// String returns "[redacted]".
func (s Secret) String() string { return redacted }

// Format prints "[redacted]" for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue returns "[redacted]" for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[redacted]" for JSON, TOML and the like.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// reveal returns the text, for the wire only.
func (s Secret) reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// scrub removes the secret, and the values in more that were made from it, from a text that the
// other side sent. The other side may repeat what it got from us.
func (s Secret) scrub(text string, more ...string) string {
	for _, hidden := range append(more, s.reveal()) {
		if hidden != "" {
			text = strings.ReplaceAll(text, hidden, redacted)
		}
	}
	return text
}
