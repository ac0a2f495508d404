package firewalltest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// NFT runs nft(8) in the namespace; it must not fail. A missing nft is treated as a missing
// namespace: skipped, but failed in CI.
func (n *NS) NFT(t testing.TB, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		unable(t, "nft is not installed (Debian: apt install nftables)")
	}
	return n.Run(t, "nft", args...)
}

// Normalise replaces the parts that differ between two listings of one ruleset: lifetimes and
// packet counters.
func Normalise(listing string) string {
	for _, r := range []struct{ pattern, with string }{
		{`(timeout|expires) [0-9dhms]+`, "$1 T"},
		{`packets [0-9]+ bytes [0-9]+`, "packets N bytes N"},
	} {
		listing = regexp.MustCompile(r.pattern).ReplaceAllString(listing, r.with)
	}
	return listing
}

// Golden compares a listing, normalised, with a file below testdata. With UPDATE_GOLDEN=1 in the
// environment it writes the file.
func Golden(t testing.TB, name, listing string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	got := Normalise(listing)

	if os.Getenv("UPDATE_GOLDEN") == "1" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	if got != string(want) {
		t.Errorf("listing differs from %s; got:\n%s\nwant:\n%s", path, got, want)
	}
}
