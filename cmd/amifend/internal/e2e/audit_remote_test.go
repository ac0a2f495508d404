//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/amifend/amifend/cmd/amifend/internal/audit"
	"github.com/amifend/amifend/cmd/amifend/internal/e2e/lab"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
)

// amifend on another machine than the PBX, with the AMI over TLS: the audit looks from outside, has
// no files, and sends nothing but its login unless the address is one that amifend protects. The
// text fits 80 columns, and HTML is a page.
func TestAuditRemote(t *testing.T) {
	w := newLab(t, "sid", "far")
	w.spoil(t, "bad-pjsip")
	w.edit(t, "manager.conf", func(text string) string {
		return "[general]\nenabled = yes\nbindaddr = 127.0.0.1\ntlsenable = yes\n" +
			"tlsbindaddr = 192.0.2.10:5039\ntlscertfile = /mnt/etc/pbx.crt\n" +
			"tlsprivatekey = /mnt/etc/pbx.key\n[amifend]\nsecret = " + w.secret(t) +
			"\nread = security\nwrite =\n"
	})
	w.restart(t)
	fingerprint, err := w.Fingerprint()
	if err != nil {
		t.Fatal(err)
	}
	config := w.config(t, settings{
		who: lab.Mon, address: lab.PBX4.String() + ":5039",
		tls: []string{`fingerprint = "` + fingerprint + `"`},
	})

	text, code := w.far(t, "audit", "--config", config)
	if code != audit.ExitFindings {
		t.Errorf("exit code %d:\n%s", code, text)
	}
	for _, want := range []string{
		"from 100.64.1.5:", "never an INVITE", "strangers without an account are served",
		"a TLS port accepts TLS 1.0 or 1.1", "the page /httpstatus is served",
		"run on the PBX, as root: amifend audit --pbx-config", "what the daemon has seen: ",
	} {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
			t.Errorf("%q is missing:\n%s", want, text)
		}
	}
	if strings.Contains(text, w.secret(t)) || strings.Contains(text, "ami_plain_beside_tls") {
		t.Errorf("%s", text)
	}

	// The same on a terminal.
	var answer struct{ Data audit.Result }
	out, _ := w.far(t, "audit", "--config", config, "--json")
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		t.Fatal(err)
	}
	var narrow strings.Builder
	if err := audit.WriteText(&narrow, answer.Data, screen.Screen{Width: 80}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(narrow.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}

	page, code := w.far(t, "audit", "--config", config, "--format", "html")
	if code != audit.ExitFindings || !strings.Contains(page, "</html>") {
		t.Errorf("exit code %d:\n%s", code, page)
	}
	if to := os.Getenv("AMIFEND_KEEP_PAGE"); to != "" {
		if err := os.WriteFile(to, []byte(page), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	// Nothing serious, and not everything could be looked at.
	text, code = w.far(t, "audit", "--config", config, "--sip-port", "0", "--sips-port", "0",
		"--http-port", "0", "--https-port", "0")
	if code != audit.ExitBlind {
		t.Errorf("exit code %d:\n%s", code, text)
	}
}

// far runs a command on the machine beside the PBX, and returns what it wrote and its exit
// code.
func (w *world) far(t *testing.T, args ...string) (string, int) {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	cmd := w.Command(t.Context(), lab.Mon, path, args...)
	out, err := cmd.Output()
	exit, failed := errors.AsType[*exec.ExitError](err)
	if err != nil && !failed {
		t.Fatal(err)
	}
	if failed {
		return string(out), exit.ExitCode()
	}
	return string(out), 0
}
