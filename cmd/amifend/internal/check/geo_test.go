package check

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/geo/geotest"
)

// A missing, a broken and an old file are told, each with what to do. None is a failure.
func TestGeoSection(t *testing.T) {
	fresh := geotest.Write(t, "fresh.mmdb", "DBIP-Country-Lite", time.Now(),
		geotest.Records{"8.8.8.0/24": geotest.Country("US")})
	old := geotest.Write(t, "old.mmdb", "DBIP-ASN-Lite", time.Now().AddDate(0, 0, -100),
		geotest.Records{"8.8.8.0/24": geotest.Network(64500, "Example")})
	broken := filepath.Join(t.TempDir(), "broken.mmdb")
	if err := os.WriteFile(broken, []byte("<html>"), 0o644); err != nil {
		t.Fatal(err)
	}

	all := func(files ...string) string {
		p := &printer{}
		p.print(geoSection(Options{Config: &config.Config{
			Geo: config.Geo{Files: files, Expected: []string{"DE"}},
		}}))
		var b strings.Builder
		if fine, err := p.result(&b); err != nil || !fine {
			t.Errorf("%v, %v", fine, err)
		}
		return b.String()
	}
	text := all(fresh, old, broken, "/does/not/exist.mmdb")
	for _, part := range []string{
		"fresh.mmdb: DBIP-Country-Lite, built", "100 days ago", "broken.mmdb: it is not a file",
		"exist.mmdb: it cannot be opened: no such file",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("it lacks %q:\n%s", part, text)
		}
	}
	if strings.Contains(text, "expected_countries") {
		t.Errorf("a file knows countries:\n%s", text)
	}
	if text := all(old); !strings.Contains(text, "expected_countries raises no alert") {
		t.Errorf("no file knows countries:\n%s", text)
	}
}
