package operate_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

func TestAllowRefused(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		for name, tt := range map[string]struct {
			allow control.NewAllow
			says  string
		}{
			"everything": {
				control.NewAllow{Prefix: netip.MustParsePrefix("0.0.0.0/0")}, "is every address",
			},
			"all of v6": {
				control.NewAllow{Prefix: netip.MustParsePrefix("::/0")}, "is every address",
			},
			"host bits": {
				control.NewAllow{Prefix: netip.MustParsePrefix("203.0.113.5/24")}, "is not a prefix",
			},
			"nothing": {control.NewAllow{}, "is not a prefix"},
			"too long": {
				control.NewAllow{Prefix: netip.MustParsePrefix("203.0.113.5/32"), For: 1e10},
				"may be allowed for",
			},
			"no time": {
				control.NewAllow{Prefix: netip.MustParsePrefix("203.0.113.5/32"), For: -1},
				"may be allowed for",
			},
			"a story": {
				control.NewAllow{
					Prefix: netip.MustParsePrefix("203.0.113.5/32"),
					Reason: strings.Repeat("x", 201),
				}, "longer than",
			},
		} {
			if _, err := o.Allow(t.Context(), control.Peer{}, tt.allow); control.CodeOf(
				err,
			) != control.CodeBadRequest ||
				!strings.Contains(err.Error(), tt.says) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// An answer of `allow` means that it is in force, however quickly the changes come: the engine
// refuses a ban within the network, no ban of it is left, and the kernel lets it through. The
// network has a protected address in it (198.51.100.0/24 is allowlisted), which says nothing of the
// rest.
func TestAllowAnswersWhenItIsInForce(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		network := netip.MustParsePrefix("198.51.0.0/16")
		victim := newBanOf("198.51.7.7/32", "all", time.Hour)

		for range 10 {
			o.impose(t, "198.51.7.7/32", "all", time.Hour)
			if a, err := o.Allow(t.Context(), control.Peer{}, control.NewAllow{Prefix: network}); err !=
				nil || a.Note != "" {
				t.Fatalf("allow: %+v, %v", a, err)
			}
			o.wantKernel(t)
			if !slices.Contains(o.kernel.Allow, network) {
				t.Fatalf("the kernel lets through %v", o.kernel.Allow)
			}

			res, err := o.Ban(t.Context(), control.Peer{}, []control.NewBan{victim})
			if err != nil || control.CodeOf(res[0].Error) != control.CodeProtected {
				t.Fatalf("ban within it: %+v, %v", res, err)
			}

			if _, err := o.Disallow(t.Context(), control.Peer{}, network); err != nil {
				t.Fatal(err)
			}
			o.wantKernel(t) // nothing outlives it
			if slices.Contains(o.kernel.Allow, network) {
				t.Fatalf("the kernel still lets through %v", o.kernel.Allow)
			}
		}
	})
}

// A kernel that refuses is said in the answer.
func TestAllowSaysThatTheKernelRefuses(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		o.kernel.Set(func() { o.kernel.Gone, o.kernel.Broken = true, errors.New("no memory") })
		a, err := o.Allow(t.Context(), control.Peer{}, control.NewAllow{
			Prefix: netip.MustParsePrefix("192.0.2.0/24"),
		})
		if err != nil || !strings.Contains(a.Note, "no memory") {
			t.Errorf("%+v, %v", a, err)
		}
	})
}
