// Package journald writes the log to systemd's journald by its native protocol: each entry has a
// line for people and, beside it, every attribute as a field. So `journalctl SOURCE=203.0.113.7`
// finds all lines about that source.
package journald

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
)

// Connected reports whether standard error goes to journald.
func Connected() bool {
	is, err := journal.StderrIsJournalStream()
	return err == nil && is && journal.Enabled()
}

// Handler is a [slog.Handler] that writes to journald.
type Handler struct {
	level  slog.Leveler
	send   func(line string, priority journal.Priority, fields map[string]string) error
	prefix string // of the names of fields, for groups; ends in an underscore
	fields map[string]string
	text   textHandler
}

// New returns a handler for lines of a level and above.
func New(level slog.Leveler) *Handler {
	return newHandler(level, journal.Send)
}

func newHandler(
	level slog.Leveler, send func(string, journal.Priority, map[string]string) error,
) *Handler {
	return &Handler{level: level, send: send}
}

// Enabled implements slog.Handler.
func (h *Handler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

// WithAttrs implements slog.Handler.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	out := *h
	out.text = h.text.withAttrs(attrs)
	out.fields = maps.Clone(h.fields)
	if out.fields == nil {
		out.fields = map[string]string{}
	}
	for _, a := range attrs {
		addField(out.fields, h.prefix, a)
	}
	return &out
}

// WithGroup implements slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	out := *h
	out.text = h.text.withGroup(name)
	out.prefix += name + "_"
	return &out
}

// Handle implements slog.Handler.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	line, err := h.text.line(ctx, r)
	if err != nil {
		return err
	}

	fields := maps.Clone(h.fields)
	if fields == nil {
		fields = map[string]string{}
	}
	fields["SYSLOG_IDENTIFIER"] = "amifend"
	r.Attrs(func(a slog.Attr) bool {
		addField(fields, h.prefix, a)
		return true
	})

	// Standard error leads to journald as well, without the fields.
	if err := h.send(line, priority(r.Level), fields); err != nil {
		_, err = os.Stderr.WriteString(line + "\n")
		return err
	}
	return nil
}

// priority returns the priority of syslog for a level.
func priority(level slog.Level) journal.Priority {
	switch {
	case level >= slog.LevelError:
		return journal.PriErr
	case level >= slog.LevelWarn:
		return journal.PriWarning
	case level >= slog.LevelInfo:
		return journal.PriInfo
	default:
		return journal.PriDebug
	}
}

// reserved are the fields that journald or systemd give a meaning to (systemd.journal-fields(7)).
var reserved = []string{
	"MESSAGE", "MESSAGE_ID", "PRIORITY", "CODE_FILE", "CODE_LINE", "CODE_FUNC", "ERRNO",
	"INVOCATION_ID", "USER_INVOCATION_ID", "SYSLOG_FACILITY", "SYSLOG_IDENTIFIER", "SYSLOG_PID",
	"SYSLOG_TIMESTAMP", "SYSLOG_RAW", "DOCUMENTATION", "TID", "UNIT", "USER_UNIT",
}

// addField adds an attribute, or those of a group, to the fields of an entry.
func addField(fields map[string]string, prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	switch {
	case v.Kind() == slog.KindGroup:
		if a.Key != "" { // a group without a name is part of what holds it
			prefix += a.Key + "_"
		}
		for _, in := range v.Group() {
			addField(fields, prefix, in)
		}

	case a.Key == "": // slog leaves out such an attribute, too

	case v.Kind() == slog.KindTime:
		fields[fieldName(prefix+a.Key)] = v.Time().Format(time.RFC3339Nano)

	default:
		fields[fieldName(prefix+a.Key)] = v.String()
	}
}

// fieldName returns the name of the field for a key: capitals, digits and underscores, at most 64.
func fieldName(key string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		default:
			return '_'
		}
	}, key)

	// journald drops fields whose names begin with an underscore, and refuses a digit.
	if first := name[0]; first == '_' || first >= '0' && first <= '9' ||
		slices.Contains(reserved, name) {
		name = "AMIFEND_" + strings.TrimLeft(name, "_")
	}

	return name[:min(len(name), 64)]
}

// textHandler makes the lines for people: the message, then the attributes as in slog's text form.
type textHandler struct {
	steps []func(slog.Handler) slog.Handler // groups and attributes, in their order
}

func (t textHandler) withAttrs(attrs []slog.Attr) textHandler {
	return textHandler{append(slices.Clip(t.steps), func(h slog.Handler) slog.Handler {
		return h.WithAttrs(attrs)
	})}
}

func (t textHandler) withGroup(name string) textHandler {
	return textHandler{append(slices.Clip(t.steps), func(h slog.Handler) slog.Handler {
		return h.WithGroup(name)
	})}
}

// line returns the line of a record. journald adds the time and the priority.
func (t textHandler) line(ctx context.Context, r slog.Record) (string, error) {
	var b bytes.Buffer
	var h slog.Handler = slog.NewTextHandler(&b, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			own := a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey
			if len(groups) == 0 && own {
				return slog.Attr{}
			}
			return a
		},
	})
	for _, step := range t.steps {
		h = step(h)
	}

	if err := h.Handle(ctx, r); err != nil {
		return "", err
	}
	return strings.TrimSpace(r.Message + "  " + strings.TrimSpace(b.String())), nil
}
