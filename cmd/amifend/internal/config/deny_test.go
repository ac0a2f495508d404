package config

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestDenyLists(t *testing.T) {
	// A list as block lists are: a byte order mark, both kinds of comments, line ends of Windows,
	// and a last line without its end.
	dir := t.TempDir()
	drop := write(t, dir, "drop.txt", "\ufeff; a list\r\n192.0.2.0/24 ; SBL1\r\n\r\n "+
		"198.51.100.7\t# one host\r\n2001:db8::/32;x", 0o644)

	write(t, dir, "empty.txt", "# nobody\n", 0o644)
	c, err := Load(write(t, dir, "config.toml", server+`[deny]
prefixes = ["203.0.113.0/24", "::ffff:203.0.113.7"]
files = ["drop.txt", "empty.txt"]
`, 0o600))
	if err != nil {
		t.Fatal(err)
	}

	p := netip.MustParsePrefix
	want := []Denied{
		{Prefix: p("203.0.113.0/24")},
		{Prefix: p("203.0.113.7/32")},
		{p("192.0.2.0/24"), drop, 2},
		{p("198.51.100.7/32"), drop, 4},
		{p("2001:db8::/32"), drop, 5},
	}
	if diff := cmp.Diff(want, c.Deny, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Error(diff)
	}

	if got := c.Deny[2].Where(); got != drop+":2" {
		t.Errorf("Where: %q", got)
	}
}

func TestDenyListsSayAllThatIsWrong(t *testing.T) {
	// Each line of this list has another mistake.
	dir := t.TempDir()
	bad := write(t, dir, "bad.txt", strings.Join([]string{
		"192.0.2.7/24", "192.0.2.0/255.255.255.0", "0.0.0.0/0", "10.0.0.1-10.0.0.9",
		"192.0.2.1 192.0.2.2", `{"cidr":"192.0.2.0/24"}`, "<html>", "fe80::1%eth0",
	}, "\n"), 0o644)

	// A file that is not a list at all has the same mistake in every line.
	write(t, dir, "binary", strings.Repeat("\x1b[31m\n", 30), 0o644)
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}

	_, err := Load(write(t, dir, "config.toml", server+`[deny]
prefixes = ["::/0"]
files = ["bad.txt", "missing.txt", "folder", "binary", ""]
file = "x"
`, 0o600))
	if err == nil {
		t.Fatal("no error")
	}

	text := err.Error()
	for _, want := range []string{
		"config.toml:6: deny.prefixes: entry 1 is every address, so nothing could reach this " +
			"machine",
		"config.toml:8: deny.file: unknown key; did you mean files?",
		"config.toml:7: deny.files: entry 2: no such file",
		"deny.files: entry 3: " + filepath.Join(dir, "folder") + ": not a regular file",
		"deny.files: holds an empty text",
		"deny.files: " + filepath.Join(dir, "binary") + " has 10 more lines",
		bad + `:1: the line has bits set behind the /24; write "192.0.2.0/24"`,
		bad + `:2: the line is written with a netmask; write "192.0.2.0/24"`,
		bad + `:3: the line is every address`,
		bad + `:4: the line is neither an address nor a prefix`,
		bad + `:5: the line is more than an address or prefix; write one a line`,
		bad + `:6: the line is JSON; take the list as text`,
		bad + `:7: the line is HTML`,
		bad + `:8: the line has a zone`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q", want)
		}
	}

	// Of many lines, the first ones are reported, and without their bytes.
	if n := strings.Count(text, filepath.Join(dir, "binary")+":"); n != mostProblems {
		t.Errorf("%d problems of one file are told, want %d", n, mostProblems)
	}
	if strings.Contains(text, "\x1b") {
		t.Error("a control character of a list is in the error")
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestDenyListsAreBounded(t *testing.T) {
	dir := t.TempDir()
	var b strings.Builder
	for i := range mostDenied + 1 {
		fmt.Fprintf(&b, "%d.%d.%d.0/24\n", 1+i>>16, byte(i>>8), byte(i))
	}

	write(t, dir, "long.txt", b.String(), 0o644)
	_, err := Load(write(t, dir, "config.toml", server+"[deny]\nfiles = [\"long.txt\"]\n", 0o600))
	if err == nil || !strings.Contains(err.Error(), "its lists hold 500001 prefixes") {
		t.Errorf("error %v", err)
	}
}

func TestADenyListThatOthersCanChangeIsTold(t *testing.T) {
	dir := t.TempDir()
	list := write(t, dir, "drop.txt", "192.0.2.0/24\n", 0o666)
	c, err := Load(write(t, dir, "config.toml", server+"[deny]\nfiles = [\"drop.txt\"]\n", 0o600))
	if err != nil {
		t.Fatal(err)
	}

	if want := []string{list + " can be changed by every user of this machine: chmod o-w " +
		list}; !cmp.Equal(c.Warnings, want) {
		t.Errorf("warnings %q, want %q", c.Warnings, want)
	}
}
