//go:build packages

package packaging

import (
	"crypto/sha256"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// arch is the architecture that the tests build for; `make dist` builds for all.
const arch = "amd64"

// buildIn builds all packages of a source folder, and returns the folder that has them.
func buildIn(t *testing.T, source, umask string) string {
	t.Helper()
	dist := t.TempDir()
	cmd := exec.Command("sh", "-c", "umask "+umask+"; exec packaging/build dist")
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "ARCHS="+arch, "DIST="+dist)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the packages: %v\n%s", err, out)
	}
	return dist
}

// sums returns the SHA-256 of each file in a folder.
func sums(t *testing.T, dir string) map[string][32]byte {
	t.Helper()
	out := map[string][32]byte{}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[f.Name()] = sha256.Sum256(text)
	}
	return out
}

// copySource copies the source and its history to another folder, with the tools that were built.
func copySource(t *testing.T) string {
	t.Helper()
	to := t.TempDir()
	script := `git -c safe.directory="$PWD" ls-files -z --cached --others --exclude-standard |
		tar --create --null --files-from=- .git bin/amifend bin/nfpm bin/cyclonedx-gomod |
		tar --extract --directory="$0"`
	cmd := exec.Command("bash", "-o", "pipefail", "-c", script, to)
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("copy the source: %v\n%s", err, out)
	}
	return to
}

// TestPackages builds the packages, and does with them what their users do. AMIFEND_DIST names a
// folder with packages of `make dist`: then none is built. AMIFEND_RELEASES names the releases of
// Debian to install on.
func TestPackages(t *testing.T) {
	dist := os.Getenv("AMIFEND_DIST")
	if dist == "" {
		dist = buildIn(t, "..", "022")
		t.Run("reproducible", func(t *testing.T) { reproduce(t, dist) })
	}
	t.Run("contents", func(t *testing.T) { lookInto(t, dist) })

	deb := only(t, dist, "*_"+arch+".deb")
	releases := strings.Fields(os.Getenv("AMIFEND_RELEASES"))
	if len(releases) == 0 {
		releases = []string{"bookworm"}
	}
	for _, release := range releases {
		t.Run("install/"+release, func(t *testing.T) { install(t, release, deb) })
		t.Run("newcomer/"+release, func(t *testing.T) { newcomer(t, release, deb) })
	}
}

// reproduce checks that the same source gives the same bytes, whatever the folder and the rights
// of new files.
func reproduce(t *testing.T, dist string) {
	want := sums(t, dist)
	got := sums(t, buildIn(t, copySource(t), "077"))
	if len(want) < 6 || len(got) != len(want) {
		t.Errorf("built %d and %d files", len(want), len(got))
	}
	for name, sum := range want {
		if got[name] != sum {
			t.Errorf("%s differs", name)
		}
	}
}

// only returns the one file of a folder that matches.
func only(t *testing.T, dir, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) != 1 {
		t.Fatalf("%s: %q, %v, want one file", pattern, files, err)
	}
	return files[0]
}

// output returns what a command of the host printed. It must succeed.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr(err))
	}
	return string(out)
}

// packed are files that every package has.
var packed = []string{
	"/usr/bin/amifend", "/usr/lib/systemd/system/amifend.service",
	"/usr/lib/sysusers.d/amifend.conf", "/etc/amifend/config.toml.example",
	"/usr/share/man/man8/amifend.8.gz", "/usr/share/man/man8/amifend-explain.8.gz",
	"/usr/share/bash-completion/completions/amifend",
	"/usr/share/fish/vendor_completions.d/amifend.fish",
	"/usr/share/doc/amifend/copyright", "/usr/share/doc/amifend/sbom.cdx.json",
	"/usr/share/doc/amifend/docs/install.md", "/usr/share/doc/amifend/examples/quickstart/config.toml",
	"/usr/share/doc/amifend/licenses/go/LICENSE",
	"/usr/share/doc/amifend/licenses/modernc.org/sqlite/LICENSE",
}

// lookInto compares what was built with what a release needs.
func lookInto(t *testing.T, dist string) {
	deb := output(t, "dpkg-deb", "--contents", only(t, dist, "*_"+arch+".deb"))
	rpm := output(t, "rpm", "--query", "--list", "--package", only(t, dist, "*.x86_64.rpm"))
	for _, file := range packed {
		if !strings.Contains(deb, " ."+file+"\n") {
			t.Errorf("the .deb lacks %s", file)
		}
		if !strings.Contains(rpm, file+"\n") {
			t.Errorf("the .rpm lacks %s", file)
		}
	}

	// A package that owns /usr/bin conflicts with the one of the distribution.
	for line := range strings.Lines(rpm) {
		if strings.TrimSpace(line) == "/usr/bin" || strings.TrimSpace(line) == "/etc" {
			t.Errorf("the .rpm owns %s", line)
		}
	}
	if !strings.Contains(deb, "-rw-r----- root/root") {
		t.Error("the example config is not 0640")
	}

	scripts := output(t, "rpm", "--query", "--scripts", "--package", only(t, dist, "*.x86_64.rpm"))
	for _, want := range []string{"postinstall", "preuninstall", "postuninstall"} {
		if !strings.Contains(scripts, want) {
			t.Errorf("the .rpm has no %s script", want)
		}
	}

	tar := output(t, "tar", "tzf", only(t, dist, "*-"+arch+".tar.gz"))
	for _, file := range []string{"amifend", "INSTALL.txt", "sbom.cdx.json", "man/amifend.8.gz"} {
		if !strings.Contains(tar, "-linux-"+arch+"/"+file+"\n") {
			t.Errorf("the archive lacks %s", file)
		}
	}

	check := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
	check.Dir = dist
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("the checksums: %v\n%s", err, out)
	}
	sbom(t, only(t, dist, "*-"+arch+".cdx.json"))
}

// sbom compares the list of components with go.mod.
func sbom(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	var bom struct {
		Format     string `json:"bomFormat"`
		Components []struct{ Name, Version string }
	}
	if err := json.Unmarshal(text, &bom); err != nil {
		t.Fatal(err)
	}

	names := map[string]string{}
	for _, c := range bom.Components {
		names[c.Name] = c.Version
	}
	for _, want := range []string{"std", "modernc.org/sqlite", "github.com/google/nftables"} {
		if names[want] == "" {
			t.Errorf("the SBOM lacks %s: %v", want, names)
		}
	}
	if bom.Format != "CycloneDX" {
		t.Errorf("format %q", bom.Format)
	}
}
