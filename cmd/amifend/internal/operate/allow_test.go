package operate_test

import (
	"net/netip"
	"strings"
	"testing"

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
				control.NewAllow{Prefix: netip.MustParsePrefix("203.0.113.5/24")}, "is no prefix",
			},
			"nothing": {control.NewAllow{}, "is no prefix"},
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
