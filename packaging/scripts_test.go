package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The first error of a build names what to do about Go.
func TestNeedGo(t *testing.T) {
	old := filepath.Join(t.TempDir(), "go")
	script := "#!/bin/sh\n[ $1 = version ] && echo go version go1.19.8 linux/amd64 && exit\n" +
		"echo \"go: errors parsing go.mod: invalid go version '1.26.8'\" >&2\nexit 1\n"
	if err := os.WriteFile(old, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}

	for program, want := range map[string]string{
		"/no/such/go": "there is no Go here",
		old:           "this Go cannot build amifend: go1.19.8: go: errors parsing go.mod",
	} {
		out, err := exec.Command("./need-go", program).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) ||
			!strings.Contains(string(out), "do: install Go 1.") {
			t.Errorf("%s: %v\n%s", program, err, out)
		}
	}
	if out, err := exec.Command("./need-go").CombinedOutput(); err != nil {
		t.Errorf("the Go of this test: %v\n%s", err, out)
	}
}

// The version follows from the tags and the changelog.
func TestVersion(t *testing.T) {
	dir := t.TempDir()
	text, err := os.ReadFile("version")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "packaging"), 0o755); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(dir, "packaging", "version")
	if err := os.WriteFile(script, text, 0o755); err != nil {
		t.Fatal(err)
	}

	changelog := func(heading string) {
		t.Helper()
		text := "# Changelog\n\n## " + heading + "\n\n## [0.0.1] - 2026-01-01\n"
		if err := os.WriteFile(filepath.Join(dir, "CHANGELOG.md"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	git := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("git", append([]string{
			"-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.org",
			"-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false",
		}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	commit := func() string {
		git("add", "--all")
		git("commit", "--quiet", "--allow-empty", "--message=change")
		return "g" + git("rev-parse", "--short=7", "HEAD")
	}
	expect := func(want string) {
		t.Helper()
		out, err := exec.Command(script).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("version %q, %v, want %q", got, err, want)
		}
	}

	// A source without git: an archive.
	changelog("[0.1.0] - unreleased")
	expect("0.1.0-dev")
	changelog("[0.1.0] - 2026-12-01")
	expect("0.1.0")

	// Before the first tag, at it, and after it.
	git("init", "--quiet")
	expectAfter := func(format string) { t.Helper(); expect(strings.Replace(format, "HASH", commit(), 1)) }
	expectAfter("0.1.0-dev.1+HASH")
	git("tag", "v0.1.0")
	expect("0.1.0")
	expectAfter("0.1.0+1.HASH")
	changelog("[0.2.0] - unreleased")
	expectAfter("0.2.0-dev.2+HASH")
	changelog("[0.2.0] - 2027-01-01")
	expect("0.2.0-dev.2+g" + git("rev-parse", "--short=7", "HEAD") + ".dirty")
}
