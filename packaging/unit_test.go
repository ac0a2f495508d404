package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// exposure is the highest rating of the unit, in tenths, that systemd-analyze may give.
const exposure = "15"

// The unit is valid, and gives the daemon few rights.
func TestUnit(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("systemd-analyze is not installed")
		}
		t.Skip("systemd-analyze is not installed")
	}

	unit, err := filepath.Abs("../examples/systemd/amifend.service")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("systemd-analyze", "security", "--offline=true",
		"--threshold="+exposure, "--no-pager", unit).CombinedOutput()
	if err != nil {
		t.Errorf("the exposure is above %s tenths: %v\n%s", exposure, err, out)
	}

	// The program of the unit need not be on this machine: true stands in for it.
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	here := filepath.Join(t.TempDir(), "amifend.service")
	changed := strings.ReplaceAll(string(text), "/usr/bin/amifend", "/bin/true")
	if err := os.WriteFile(here, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}

	// Units that it names, such as asterisk.service, need not be there either.
	said, err := exec.Command("systemd-analyze", "verify", "--man=no", "--recursive-errors=no",
		here).CombinedOutput()
	if err != nil || strings.Contains(string(said), "amifend.service:") {
		t.Errorf("the unit is not valid: %v\n%s", err, said)
	}
}
