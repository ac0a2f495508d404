package replay

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestProofCaptures replays what was recorded of senders who choose the address that Asterisk
// names. The victims sent nothing: none is banned from everything, and the phone that proved
// itself not at all.
func TestProofCaptures(t *testing.T) {
	names, err := filepath.Glob(captures + "/proof/*.ami")
	if err != nil || len(names) != 4 {
		t.Fatalf("find captures: %d, %v", len(names), err)
	}

	ban := regexp.MustCompile(`"action":"ban","prefix":"([^"]*)","scope":"([^"]*)",` +
		`"duration_seconds":([0-9]*)`)
	for _, name := range names {
		short := strings.TrimSuffix(filepath.Base(name), ".ami")
		t.Run(short, func(t *testing.T) {
			decisions := run(t, Options{Files: []string{name}}, nil)
			text := run(t, Options{Files: []string{name}, Format: FormatText}, nil)
			compare(t, "proof_"+short+".txt", decisions+text)

			// Independent of the golden file: what must hold whatever else changes.
			for _, b := range ban.FindAllStringSubmatch(decisions, -1) {
				prefix, scope, seconds := b[1], b[2], b[3]
				switch prefix {
				case "203.0.113.50/32":
					t.Error("the phone that proved itself is banned")
				case "203.0.113.99/32", "8.8.8.8/32":
					if scope != "sip" || seconds != "600" {
						t.Errorf("%s is banned with scope %s for %s s", prefix, scope, seconds)
					}
				}
			}
		})
	}
}
