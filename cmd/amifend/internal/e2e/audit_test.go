//go:build e2e

package e2e

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/amifend/amifend/cmd/amifend/internal/audit"
	"github.com/amifend/amifend/cmd/amifend/internal/e2e/lab"
	"github.com/amifend/amifend/cmd/amifend/internal/e2e/sip"
)

// A real Asterisk loads the hardened example without a warning, and amifend finds nothing there,
// except that Asterisk 16 is old.
func TestAuditHardened(t *testing.T) {
	for release, want := range map[string][]string{"sid": nil, "bullseye": {"branch_ended"}} {
		t.Run(release, func(t *testing.T) {
			w := newLab(t, release, "hardened")
			before := w.complaints(t) // of the lab's own files, such as an empty indications.conf
			secret := rand.Text()
			w.harden(t, secret)
			w.restart(t)
			for _, out := range w.complaints(t) {
				if !slices.Contains(before, out) {
					t.Errorf("Asterisk complains: %s", out)
				}
			}

			r, code := w.audit(t, secret)
			if got := kinds(r); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q: %+v", got, want, r.Findings)
			}
			if code != len(want) { // 0, and 1 with a finding
				t.Errorf("exit code %d: %+v", code, r.Sections)
			}
		})
	}
}

// What is bad on purpose is found on a real Asterisk, each weakness once.
func TestAuditBad(t *testing.T) {
	t.Run("sid", func(t *testing.T) {
		w := newLab(t, "sid", "bad")
		w.spoil(t, "bad-pjsip")
		w.restart(t)
		r, code := w.audit(t, "wE5tYu8iOp3aSd6f")
		want := []string{
			"ami_everywhere", "guests_served", "http_status", "tls_old", "version_shown",
			"web_manager_answers",
		}
		checkBad(t, r, code, want)
	})

	t.Run("bullseye", func(t *testing.T) {
		w := newLab(t, "bullseye", "bad")
		w.spoil(t, "bad-chansip")
		w.restart(t)
		r, code := w.audit(t, w.secret(t), "--account", "2004")
		want := []string{
			"ask_distribution", "branch_ended", "guests_served", "http_status", "tls_old",
			"version_shown",
		}
		checkBad(t, r, code, want)

		// Without guests, the answers still tell accounts apart.
		w.edit(t, "sip.conf", func(text string) string {
			return strings.Replace(text, "[general]\n", "[general]\nallowguest = no\n", 1)
		})
		w.restart(t)
		r, code = w.audit(t, w.secret(t), "--account", "2004")
		want[2] = "accounts_enumerable"
		slices.Sort(want)
		checkBad(t, r, code, want)
	})
}

// checkBad compares the kinds that were not found in the configuration.
func checkBad(t *testing.T, r audit.Result, code int, want []string) {
	t.Helper()
	var outside []string
	for _, f := range r.Findings {
		if f.Depth != "config" {
			outside = append(outside, f.Kind)
		}
	}
	slices.Sort(outside)
	if !slices.Equal(outside, want) || code != audit.ExitFindings {
		t.Errorf("got %q, want %q; exit code %d", outside, want, code)
	}
	if all := kinds(r); len(slices.Compact(slices.Clone(all))) != len(all) {
		t.Errorf("a kind is there twice: %q", all)
	}
}

// A trunk without a password and without identify_by = ip is open to whoever writes its name: the
// reason of the finding trunk_by_name.
func TestTrunkByName(t *testing.T) {
	w := newWorld(t, "sid", "trunk")
	c := surely(w.dial(t, lab.Attack, sip.UDP, netip.MustParseAddr("198.51.100.77")))
	for from, refused := range map[string]bool{"itsp": false, "9001": true} {
		m, err := c.Attempt(t.Context(), sip.Request{Method: "OPTIONS", From: from})
		if err != nil || (m.Status() == 401) != refused {
			t.Errorf("OPTIONS of %s: %v, %v", from, m, err)
		}
	}
}

// newLab brings a lab up without a witness, whose user of the manager a test may remove.
func newLab(t *testing.T, release, name string) *world {
	t.Helper()
	l, err := lab.Up(t.Context(), scripts, lab.Unique(release+"-"+name), release)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Down(); err != nil {
			t.Error(err)
		}
	})
	return &world{Lab: l}
}

// etc returns a file of Asterisk's config.
func (w *world) etc(name string) string { return filepath.Join(w.Run, "etc", name) }

// edit replaces a file of Asterisk's config by what change makes of it.
func (w *world) edit(t *testing.T, name string, change func(string) string) {
	t.Helper()
	text, err := os.ReadFile(w.etc(name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.etc(name), []byte(change(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(w.etc(name), 0o600); err != nil { // the file may have been there
		t.Fatal(err)
	}
}

// placeholder is a password that the example leaves open.
var placeholder = regexp.MustCompile(`@(PASSWORD|PIN)@`)

// harden puts the hardened example in place of the lab's config. The folders and the list of
// modules stay those of the lab.
func (w *world) harden(t *testing.T, secret string) {
	t.Helper()
	example := filepath.Join(scripts, "../asterisk/hardened")
	for _, name := range []string{
		"pjsip.conf", "extensions.conf", "manager.conf", "http.conf", "rtp.conf", "voicemail.conf",
	} {
		text, err := os.ReadFile(filepath.Join(example, name))
		if err != nil {
			t.Fatal(err)
		}
		w.edit(t, name, func(string) string {
			return placeholder.ReplaceAllStringFunc(
				strings.ReplaceAll(string(text), "/etc/asterisk/keys/", "/mnt/etc/"),
				func(what string) string {
					switch {
					case what == "@PIN@":
						return fmt.Sprint(100000 + randomNumber(t)%900000)
					case name == "manager.conf":
						return secret
					}
					return rand.Text()
				})
		})
	}

	options, err := os.ReadFile(filepath.Join(example, "asterisk.conf"))
	if err != nil {
		t.Fatal(err)
	}
	_, lines, _ := strings.Cut(string(options), "[options]\n")
	w.edit(t, "asterisk.conf", func(text string) string { return text + lines })
	w.edit(t, "modules.conf", func(text string) string {
		return strings.ReplaceAll(text, "load = chan_sip.so\n", "") +
			"load = app_dial.so\nload = func_strings.so\nload = func_channel.so\n"
	})
	for _, name := range []string{"sip.conf", "phones.conf"} {
		if err := os.Remove(w.etc(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

// randomNumber returns a number.
func randomNumber(t *testing.T) int {
	t.Helper()
	var b [3]byte
	if _, err := rand.Read(b[:]); err != nil {
		t.Fatal(err)
	}
	return int(b[0])<<16 | int(b[1])<<8 | int(b[2])
}

// spoil puts the files of an archive in place of the lab's. The folders stay those of the lab.
func (w *world) spoil(t *testing.T, name string) {
	t.Helper()
	a, err := txtar.ParseFile("../audit/pbx/testdata/" + name + ".txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range a.Files {
		text := string(f.Data)
		w.edit(t, f.Name, func(old string) string {
			switch f.Name {
			case "asterisk.conf":
				_, lines, _ := strings.Cut(text, "[options]\n")
				return old + lines
			case "modules.conf":
				return old // autoload would load what the lab does not configure
			}
			return text
		})
	}
	w.edit(t, "modules.conf", func(text string) string {
		return text + "load = app_dial.so\nload = res_pjsip_endpoint_identifier_anonymous.so\n"
	})
}

// restart starts Asterisk anew with its new config, and an empty log.
func (w *world) restart(t *testing.T) {
	t.Helper()
	if err := w.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(w.Run, "log/full")); err != nil {
		t.Fatal(err)
	}
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// complaints returns the warnings and errors of Asterisk's log that name the config.
func (w *world) complaints(t *testing.T) (out []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(w.Run, "log/full"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "WARNING") || strings.Contains(line, "ERROR") {
			// Without the time and the thread.
			_, what, _ := strings.Cut(line, "] ")
			_, where, _ := strings.Cut(what, "] ")
			out = append(out, strings.TrimSpace(where))
		}
	}
	return out
}

// audit runs the command beside Asterisk while a daemon watches, and returns its result. The daemon
// must neither ban nor count this machine.
func (w *world) audit(t *testing.T, secret string, args ...string) (audit.Result, int) {
	t.Helper()
	d := w.amifend(t, settings{secret: secret, control: true})
	defer d.stop(t)
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}

	args = append([]string{
		"audit", "--config", d.config, "--pbx-config", w.etc(""), "--json",
	}, args...)
	cmd := w.Command(t.Context(), lab.PBX, path, args...)
	var plan strings.Builder
	cmd.Stderr = &plan
	out, err := cmd.Output()
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}

	var answer struct{ Data audit.Result }
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatalf("%v: %s %s", err, out, plan.String())
	}
	r := answer.Data
	if !strings.Contains(plan.String(), "never an INVITE") {
		t.Errorf("the plan is %q", plan.String())
	}
	for _, s := range r.Sections {
		if !s.Looked && s.Depth != "version" {
			t.Errorf("%+v", s)
		}
	}

	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.lines {
		if l.Msg == sayBanned || l.Msg == sayAlert {
			t.Errorf("the audit raised %s", l.raw)
		}
	}
	return r, code
}

// kinds returns the kinds of the findings, sorted.
func kinds(r audit.Result) (out []string) {
	for _, f := range r.Findings {
		out = append(out, f.Kind)
	}
	slices.Sort(out)
	return out
}
