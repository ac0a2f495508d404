package config

import "log/slog"

// Secret is a password. It prints as "[secret]" however it is printed, encoded or logged. The zero Secret is empty.
type Secret struct {
	text *string // a pointer, since fmt looks into unexported fields of others' structs without asking String
}

const hidden = "[secret]"

// NewSecret makes a Secret of text.
func NewSecret(text string) Secret { return Secret{&text} }

// Reveal returns the password itself, to log in with.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Equal tells whether two secrets are the same password.
func (s Secret) Equal(o Secret) bool { return s.Reveal() == o.Reveal() }

// String returns "[secret]".
func (Secret) String() string { return hidden }

// GoString returns "[secret]", for %#v.
func (Secret) GoString() string { return hidden }

// MarshalText returns "[secret]", for JSON and every other encoder of texts.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue returns "[secret]", for slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }
