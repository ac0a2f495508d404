package bans_test

import (
	"fmt"
	"testing"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/firewall"
)

// Of the bans that are ordered before the enforcer looks, none is lost but those that a later one
// makes needless.
func TestMergeOrders(t *testing.T) {
	const all, sip, stream = firewall.ScopeAll, firewall.ScopeSIP, firewall.ScopeStream
	ban := func(s firewall.Scope, expiry int64) bans.Order {
		return bans.OrderOf(&bans.Ban{Scope: s, Expiry: expiry})
	}
	lift := bans.Order{Lift: true, Why: "proved"}

	for name, tt := range map[string]struct {
		orders []bans.Order
		want   string
	}{
		"two scopes":         {[]bans.Order{ban(sip, 5), ban(stream, 3)}, "false sip5 stream3"},
		"the same scope":     {[]bans.Order{ban(sip, 5), ban(sip, 3)}, "false sip3"},
		"all, as long":       {[]bans.Order{ban(sip, 5), ban(stream, 5), ban(all, 5)}, "false all5"},
		"all, shorter":       {[]bans.Order{ban(stream, 5), ban(all, 3)}, "false stream5 all3"},
		"a lift undoes both": {[]bans.Order{ban(sip, 5), ban(stream, 5), lift}, "true"},
		"bans after a lift":  {[]bans.Order{lift, ban(sip, 5), ban(stream, 3)}, "true sip5 stream3"},
	} {
		got := tt.orders[0]
		for _, o := range tt.orders[1:] {
			got = bans.MergeOrders(got, o)
		}

		text := fmt.Sprint(got.Lift)
		for _, b := range got.Bans {
			text += fmt.Sprintf(" %s%d", b.Scope, b.Expiry)
		}
		if text != tt.want {
			t.Errorf("%s: %s, want %s", name, text, tt.want)
		}
	}
}
