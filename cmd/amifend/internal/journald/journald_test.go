package journald

import (
	"errors"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
)

// entry is what journald was sent.
type entry struct {
	line     string
	priority journal.Priority
	fields   map[string]string
}

// written returns what log writes.
func written(t *testing.T, log func(*slog.Logger)) (out []entry) {
	t.Helper()
	h := newHandler(slog.LevelInfo, func(line string, p journal.Priority, f map[string]string) error {
		out = append(out, entry{line, p, f})
		return nil
	})
	log(slog.New(h))
	return out
}

func TestEntries(t *testing.T) {
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		log      func(*slog.Logger)
		line     string
		priority journal.Priority
		fields   map[string]string
	}{
		"a ban": {
			func(l *slog.Logger) {
				l.Info("banned", "source", "203.0.113.7", "attempts", 4, "why", "four accounts")
			},
			`banned  source=203.0.113.7 attempts=4 why="four accounts"`, journal.PriInfo,
			map[string]string{"SOURCE": "203.0.113.7", "ATTEMPTS": "4", "WHY": "four accounts"},
		},
		"no attributes": {
			func(l *slog.Logger) { l.Warn("amifend stops") },
			"amifend stops", journal.PriWarning,
			map[string]string{},
		},
		"attributes of the logger, and groups": {
			func(l *slog.Logger) {
				l.With("server", "office").WithGroup("tls").With("at", at).
					Error("lost", slog.Group("peer", "name", "a b"))
			},
			`lost  server=office tls.at=2026-11-28T12:00:00.000Z tls.peer.name="a b"`,
			journal.PriErr,
			map[string]string{
				"SERVER": "office", "TLS_AT": "2026-11-28T12:00:00Z", "TLS_PEER_NAME": "a b",
			},
		},
		"names that journald gives a meaning": {
			func(l *slog.Logger) {
				l.Info("m", "priority", 0, "message", "x", "_uid", 0, "9p", 1, "", 2, "a-b.c", 3,
					strings.Repeat("k", 70), 4)
			},
			`m  priority=0 message=x _uid=0 9p=1 ""=2 a-b.c=3 ` + strings.Repeat("k", 70) + "=4",
			journal.PriInfo,
			map[string]string{
				"AMIFEND_PRIORITY": "0", "AMIFEND_MESSAGE": "x", "AMIFEND_UID": "0",
				"AMIFEND_9P": "1", "A_B_C": "3", strings.Repeat("K", 64): "4",
			},
		},
		"an attacker's line break": {
			func(l *slog.Logger) { l.Info("alert", "account", "x\nPRIORITY=0") },
			`alert  account="x\nPRIORITY=0"`, journal.PriInfo,
			map[string]string{"ACCOUNT": "x\nPRIORITY=0"}, // one value: sent by its length
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := written(t, c.log)
			if len(got) != 1 {
				t.Fatalf("%d entries, want 1", len(got))
			}

			c.fields["SYSLOG_IDENTIFIER"] = "amifend"
			if got[0].line != c.line || got[0].priority != c.priority {
				t.Errorf("line %q, priority %d, want %q, %d", got[0].line, got[0].priority, c.line,
					c.priority)
			}
			if !maps.Equal(got[0].fields, c.fields) {
				t.Errorf("fields %q, want %q", got[0].fields, c.fields)
			}
		})
	}
}

// A logger that was derived does not change the one that it came from.
func TestDerivedLoggersAreApart(t *testing.T) {
	got := written(t, func(l *slog.Logger) {
		a := l.With("server", "a")
		b := l.With("server", "b")
		a.Info("1")
		b.Info("2", "x", 1)
		l.Debug("below the level")
		l.Info("3")
	})

	for i, want := range []string{"1  server=a", "2  server=b x=1", "3"} {
		if got[i].line != want || len(got[i].fields) != len(strings.Fields(want)) {
			t.Errorf("entry %d: %q with %q, want %q", i, got[i].line, got[i].fields, want)
		}
	}
	if len(got) != 3 {
		t.Errorf("%d entries, want 3", len(got))
	}
}

// Without journald there is no way but standard error.
func TestJournaldIsGone(t *testing.T) {
	h := newHandler(slog.LevelInfo, func(string, journal.Priority, map[string]string) error {
		return errors.New("no such socket")
	})
	if err := h.Handle(t.Context(), slog.Record{Message: "a line of TestJournaldIsGone"}); err != nil {
		t.Error(err)
	}
}
