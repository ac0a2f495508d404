package control

import (
	"context"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// Sudo's user is shown, as a claim, beside the uid that the kernel vouches for.
func TestOperatorBehindSudo(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root")
		}
		t.Skip("needs root, to have the right to change")
	}

	d := &desk{}
	c, _ := serve(t, d, nil)
	for _, name := range []string{"", "alice", "a b\"\nuid 0", "\x1b[2J\u202e", strings.Repeat("x", 5000)} {
		c.Operator = name
		if _, err := c.Reload(t.Context()); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
	}

	want := []string{
		"reload by root", "reload by root (alice)",
		`reload by root ("a b\"?uid 0")`, `reload by root ("?[2J\xe2\x80\xae")`,
		"reload by root (" + strings.Repeat("x", longestOperator) + ")",
	}
	if !slices.Equal(d.changes, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(d.changes, "\n"), strings.Join(want, "\n"))
	}
}

// A name gives no right.
func TestOperatorHasTheRightOfTheirUIDAlone(t *testing.T) {
	d := &desk{}
	c, _ := serve(t, d, nil)
	c.Operator = "root"
	_, err := as(t, c, 4000000, outsider).Reload(t.Context())
	if CodeOf(err) != CodeForbidden || len(d.changes) != 0 {
		t.Errorf("%v, %v", err, d.changes)
	}
	if strings.Contains(err.Error(), "says") {
		t.Errorf("a stranger's claim is printed: %v", err)
	}
}

func TestZoneOfTexts(t *testing.T) {
	if os.Geteuid() != 0 && os.Getenv("CI") != "true" {
		t.Skip("needs root, to have the right to read")
	}
	var got []string
	c, _ := serve(t, &desk{}, func(o *Options) {
		o.Explain = func(ctx context.Context, _ netip.Addr) (Explanation, error) {
			got = append(got, Zone(ctx).String())
			return Explanation{}, nil
		}
	})

	addr := netip.MustParseAddr("203.0.113.7")
	for _, zone := range []string{"", "Europe/Berlin", "../../etc/passwd", "Nowhere/City"} {
		c.Zone = zone
		_, err := c.Explain(t.Context(), addr)
		if _, bad := time.LoadLocation(zone); (err == nil) != (bad == nil) {
			t.Errorf("%q: %v", zone, err)
		}
	}
	if want := []string{"UTC", "Europe/Berlin"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
