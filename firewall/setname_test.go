package firewall

import (
	"net/netip"
	"testing"
)

func TestSetName(t *testing.T) {
	for _, tt := range []struct {
		prefix string
		scope  Scope
		want   string
	}{
		{"203.0.113.5/32", ScopeAll, "ban4"},
		{"203.0.113.0/24", ScopeSIP, "ban4_24_sip"},
		{"2001:db8::/64", ScopeAll, "ban6_64"},
		{"2001:db8::1/128", ScopeSIP, "ban6_sip"},
		{"2001:db8::/56", ScopeStream, "ban6_56_stream"},
		{"203.0.112.0/23", ScopeAll, ""},
	} {
		got, err := SetName(netip.MustParsePrefix(tt.prefix), tt.scope)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s %s: %q, %v", tt.prefix, tt.scope, got, err)
		}
	}
}
