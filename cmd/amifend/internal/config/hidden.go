package config

import (
	"fmt"
	"log/slog"
)

// Hidden is a text that no way of printing shows, such as a URL that holds a token. It is
// [ami.Secret] for packages that need the text. The zero value holds none.
type Hidden struct {
	// A pointer, for the reason that ami.Secret has one.
	text *string
}

const hiddenText = "[redacted]"

// Hide keeps a text hidden.
func Hide(text string) Hidden { return Hidden{text: &text} }

// Reveal returns the text.
func (h Hidden) Reveal() string {
	if h.text == nil {
		return ""
	}
	return *h.text
}

// String returns "[redacted]".
func (h Hidden) String() string { return hiddenText }

// Format prints "[redacted]" for every verb.
func (h Hidden) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(hiddenText)) }

// LogValue returns "[redacted]" for slog.
func (h Hidden) LogValue() slog.Value { return slog.StringValue(hiddenText) }

// MarshalText returns "[redacted]" for JSON, TOML and the like.
func (h Hidden) MarshalText() ([]byte, error) { return []byte(hiddenText), nil }
