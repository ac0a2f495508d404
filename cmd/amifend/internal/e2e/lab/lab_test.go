package lab

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// From `nft -j list ruleset` of nftables 1.0.6, on a table like amifend's and one of somebody else.
const ruleset = `{"nftables": [{"metainfo": {"version": "1.0.6", "release_name": "Lester Gooch #5",
 "json_schema_version": 1}},
{"table": {"family": "inet", "name": "amifend", "handle": 1}},
{"set": {"family": "inet", "name": "ban4", "table": "amifend",
 "type": "ipv4_addr", "handle": 1, "size": 262144, "flags": ["timeout"],
 "elem": [{"elem": {"val": "198.51.100.10", "timeout": 3600, "expires": 3590, "counter": {"packets": 7, "bytes": 3000}}}],
 "stmt": [{"counter": null}]}},
{"set": {"family": "inet", "name": "ban4_sip", "table": "amifend",
 "type": "ipv4_addr", "handle": 1, "elem": ["198.51.100.11"]}},
{"set": {"family": "inet", "name": "ban4_24", "table": "amifend",
 "type": "ipv4_addr", "handle": 1,
 "elem": [{"elem": {"val": "203.0.113.0", "timeout": 3600, "expires": 3590, "counter": {"packets": 7, "bytes": 3000}}}],
 "stmt": [{"counter": null}]}},
{"set": {"family": "inet", "name": "ban6_64_sip", "table": "amifend",
 "type": "ipv6_addr", "handle": 1, "elem": ["2001:db8::"]}},
{"set": {"family": "inet", "name": "allow4", "table": "amifend",
 "type": "ipv4_addr", "handle": 3, "flags": ["interval"],
 "elem": [{"prefix": {"addr": "10.0.0.0", "len": 8}}, "192.0.2.1", {"range": ["192.0.2.5", "192.0.2.6"]}]}},
{"set": {"family": "inet", "name": "ports", "table": "amifend",
 "type": "inet_service", "handle": 4, "elem": [5060]}},
{"set": {"family": "inet", "name": "ban4", "table": "other",
 "type": "ipv4_addr", "handle": 1, "elem": ["203.0.113.1"]}},
{"chain": {"family": "inet", "table": "amifend", "name": "pre", "handle": 2}}]}`

func TestParseRuleset(t *testing.T) {
	got, err := parseRuleset([]byte(ruleset), "amifend")
	if err != nil {
		t.Fatal(err)
	}
	want := []Element{
		{"ban4", netip.MustParsePrefix("198.51.100.10/32"), time.Hour, 3590 * time.Second, 7, 3000},
		{Set: "ban4_sip", Prefix: netip.MustParsePrefix("198.51.100.11/32")},
		{
			"ban4_24", netip.MustParsePrefix("203.0.113.0/24"),
			time.Hour, 3590 * time.Second, 7, 3000,
		},
		{Set: "ban6_64_sip", Prefix: netip.MustParsePrefix("2001:db8::/64")},
		{Set: "allow4", Prefix: netip.MustParsePrefix("10.0.0.0/8")},
		{Set: "allow4", Prefix: netip.MustParsePrefix("192.0.2.1/32")},
	}
	same := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	if diff := cmp.Diff(want, got, same); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if _, err := parseRuleset([]byte(`{"nftables": [`), "amifend"); err == nil {
		t.Error("broken JSON taken")
	}
}

// The witness believes what Asterisk wrote last: the true address stands after an injected one.
func TestParseTakesTheLastAddress(t *testing.T) {
	e := parse("Event: InvalidAccountID\r\nEventTV: 2026-11-23T02:51:16.066+0000\r\n" +
		"Service: PJSIP\r\nAccountID: \r\nRemoteAddress: IPV4/UDP/9.9.9.9/1\r\n" +
		"SessionID: c2\r\nRemoteAddress: IPV4/UDP/203.0.113.12/50799\r\n")
	want := time.Date(2026, 11, 23, 2, 51, 16, 66e6, time.UTC)
	if e.Source != netip.MustParseAddr("203.0.113.12") || e.Kind != "InvalidAccountID" ||
		e.Session != "c2" || !e.Time.Equal(want) {
		t.Errorf("got %+v", e)
	}
}

func TestOwner(t *testing.T) {
	if pid, ok := owner(Unique("sid")); !ok || pid != os.Getpid() {
		t.Errorf("owner(%q) = %d, %t", Unique("sid"), pid, ok)
	}
	for _, name := range []string{"demo", "e2e-", "e2e-x-y", "e2e-12"} {
		if pid, ok := owner(name); ok {
			t.Errorf("owner(%q) = %d: a lab of a user's own must not be removed", name, pid)
		}
	}
}

func TestRunning(t *testing.T) {
	if !running(os.Getpid()) {
		t.Error("this run is taken for a dead one: its labs would be removed under it")
	}
	if running(1) {
		t.Error("init is taken for a test run")
	}
}
