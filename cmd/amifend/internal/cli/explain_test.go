package cli

import (
	"io/fs"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// What the lists of bans print can be pasted; a network is told with an address of it.
func TestAddrArg(t *testing.T) {
	for text, want := range map[string]string{
		"203.0.113.7": "203.0.113.7", "203.0.113.7/32": "203.0.113.7",
		"2001:db8::5/128": "2001:db8::5", "::ffff:203.0.113.7": "203.0.113.7",
		"203.0.113.7:37679": "203.0.113.7", "[2001:db8::5]": "2001:db8::5",
		"[2001:db8::5]:5060": "2001:db8::5", "[fe80::1%eth0]:5060": "fe80::1",
	} {
		var a addrArg
		if err := a.UnmarshalText([]byte(text)); err != nil || a.String() != want {
			t.Errorf("%s: %v, %v; want %s", text, a, err, want)
		}
	}

	for text, says := range map[string]string{
		"2001:db8:bad::/64": "is a network; write one of its addresses, such as 2001:db8:bad::",
		"203.0.113.7/33":    "is not an address", "localhost": "is not an address",
	} {
		var a addrArg
		if err := a.UnmarshalText([]byte(text)); err == nil ||
			!strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v; want … %s …", text, err, says)
		}
	}
}

// A ban that was lifted is told with the time it was for, and with when it was lifted.
func TestPastLineOfALiftedBan(t *testing.T) {
	from := time.Now()
	got := pastLine(control.PastBan{
		Prefix: netip.MustParsePrefix("203.0.113.7/32"), Scope: "all", Rule: "score", Evidence: "e",
		From: from, Until: from.Add(time.Hour),
		Lifted: from.Add(3 * time.Second), By: "uid 0", Why: "w",
	}, time.UTC)

	want := "203.0.113.7 all banned for 1h0m by score, lifted by uid 0 (w) after 3s: e\n"
	if !strings.HasSuffix(got, want) {
		t.Errorf("got %q, want it to end in %q", got, want)
	}
}

// A ban that was found in the kernel has no evidence.
func TestPastLineOfAnAdoptedBan(t *testing.T) {
	from := time.Now()
	got := pastLine(control.PastBan{
		Prefix: netip.MustParsePrefix("203.0.113.7/32"), Scope: "all",
		Rule: "adopted", From: from, Until: from.Add(time.Hour),
	}, time.UTC)
	if want := "203.0.113.7 all banned for 1h0m by adopted\n"; !strings.HasSuffix(got, want) {
		t.Errorf("got %q, want it to end in %q", got, want)
	}
}

func TestUnreadableTellsHowToBegin(t *testing.T) {
	const hint = "amifend init"
	if err := unreadable(defaultConfig, fs.ErrNotExist, ""); !strings.Contains(err.Error(), hint) {
		t.Errorf("the config's usual place: %v", err)
	}
	if err := unreadable("/tmp/mine.toml", fs.ErrNotExist, ""); strings.Contains(err.Error(),
		hint) {
		t.Errorf("a place of the user's choice: %v", err)
	}
}
