package policy

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// teredo is the n-th address that a client behind an IPv4 address has by one server: RFC 4380 puts
// the flags and the client's port before the inverted address.
func teredo(v4 string, n int) string {
	b := netip.MustParseAddr("2001:0:c000:201::").As16()
	client := netip.MustParseAddr(v4).As4()
	binary.BigEndian.PutUint16(b[10:], uint16(n))
	for i, octet := range client {
		b[12+i] = ^octet
	}
	return netip.AddrFrom16(b).String()
}

// The IPv4 address in each form of the RFCs. The examples of NAT64 are those of RFC 6052, section
// 2.4, with the prefix of RFC 8215; that of Teredo is of RFC 4380, section 4.
func TestEmbeddedAddress(t *testing.T) {
	for _, tt := range []struct{ addr, want string }{
		{"2001:0:4136:e378:8000:63bf:3fff:fdd2", "192.0.2.45"},
		{"64:ff9b::c000:221", "192.0.2.33"},
		{"64:ff9b:1:c000:2:2100::", "192.0.2.33"},
		{"64:ff9b:1:3c0:0:221::", "192.0.2.33"},
		{"64:ff9b:1:374:c0:2:2100::", "192.0.2.33"},
		{"64:ff9b:1:374::192.0.2.33", "192.0.2.33"},
		{"64:ff9b:1:fffe::192.0.2.33", "192.0.2.33"},
		{"64:ff9b:2::192.0.2.33", ""},
		{"64:ff9b:0:1::192.0.2.33", ""},
		{"2001:db8::192.0.2.33", ""},
		{"fe80::192.0.2.33", ""},
		{"::ffff:192.0.2.33", ""},
		{"192.0.2.33", ""},
	} {
		got := ""
		if v4, ok := hostKey(netip.MustParseAddr(tt.addr)).embedded(); ok {
			got = v4.prefix().Addr().String()
		}
		if got != tt.want {
			t.Errorf("%s holds %q, want %q", tt.addr, got, tt.want)
		}
	}
}

// A host that tries once from each of its addresses is banned from the fifth on, each address at
// its first attempt. The IPv4 address stays free, and so do others of the same server.
func TestEmbeddedAddressCollectsTheScore(t *testing.T) {
	for name, address := range map[string]func(n int) string{
		"Teredo":   func(n int) string { return teredo("203.0.113.9", n) },
		"RFC 8215": func(n int) string { return fmt.Sprintf("64:ff9b:1:%x::203.0.113.9", n+1) },
	} {
		for _, stream := range []bool{false, true} {
			t.Run(fmt.Sprint(name, stream), func(t *testing.T) {
				l := newLab(t, quick)
				attempt := func(source string) {
					o := event(KindInvalidAccountID, ServicePJSIP, source, unknown, source)
					o.Stream = stream
					l.every(time.Minute, o)
				}

				for n := range 3 {
					attempt(address(n))
				}
				l.quiet()

				for n := range 10 {
					l.drop()
					attempt(address(3 + n))
					v := l.banned()
					want := ScopeSIP
					if stream {
						want = ScopeAll
					}
					if v.Prefix.Addr() != netip.MustParseAddr(address(3+n)) || !v.Prefix.IsSingleIP() ||
						v.Scope != want || v.Rule != RuleSpreadScore {
						t.Fatalf("attempt %d: %s", 3+n, brief(v))
					}
				}

				l.drop()
				attempt("203.0.113.9")
				attempt(teredo("198.51.100.1", 1))
				attempt("64:ff9b:1:1::198.51.100.2")
				l.quiet()
			})
		}
	}
}

// A host that keeps its address is judged by its own score, which fades sooner.
func TestEmbeddedAddressOfOneHostAddsNothing(t *testing.T) {
	l := newLab(t, quick)
	for range 40 {
		l.every(time.Hour, event(KindInvalidAccountID, ServicePJSIP, "64:ff9b::cb00:7109", unknown, "x"))
	}
	l.noBan()
}

// The proof of the IPv4 address and its place in the allowlist count for the addresses that hold it.
func TestEmbeddedAddressIsShieldedLikeItsIPv4Address(t *testing.T) {
	guess := func(l *lab, stream bool) {
		for n := range 20 {
			for _, o := range guesses(6, teredo("203.0.113.9", n)) {
				o.Stream = stream
				l.feed(o)
			}
		}
	}

	// Forgeable evidence does not touch it, and proven evidence bans no more than the transport.
	l := newLab(t)
	l.feed(registered("203.0.113.9"))
	guess(l, false)
	l.noBan()
	guess(l, true)
	bans := 0
	for _, v := range l.got {
		if v.Action == ActionBan {
			bans++
			if v.Scope != ScopeStream {
				t.Errorf("proved: %s", brief(v))
			}
		}
	}
	if bans != 20 {
		t.Errorf("got %d bans of 20 addresses", bans)
	}
	if !l.proved(teredo("203.0.113.9", 77)) && l.explain(teredo("203.0.113.9", 1)).ProofAt == 0 {
		t.Error("explain does not tell the proof of the IPv4 address")
	}

	l = newLab(t)
	allowed := []ProtectedEntry{{netip.MustParsePrefix("203.0.113.0/24"), "trunk"}}
	l.e.Protect(l.now, NewProtected(allowed, nil))
	guess(l, true)
	l.noBan()
	if reason, ok := l.e.protected.Overlaps(netip.PrefixFrom(hostAddr(teredo("203.0.113.9", 5)), 128)); !ok {
		t.Errorf("an operator may ban it: %q", reason)
	}

	// What no list names is built in for IPv4 alone: nobody hides behind 127.0.0.1 in Teredo.
	if _, ok := l.e.protected.Contains(hostAddr(teredo("127.0.0.1", 1))); ok {
		t.Error("Teredo of 127.0.0.1 is never banned")
	}
}

// Whoever is pardoned begins anew, by whichever address the operator names it.
func TestPardonOfAnEmbeddedAddress(t *testing.T) {
	for _, pardoned := range []string{
		"203.0.113.9/32", teredo("203.0.113.9", 3) + "/128", "2001::/32",
	} {
		l := newLab(t, quick)
		attempt := func(n int) { l.feed(forged(teredo("203.0.113.9", n))) }
		for n := range 4 {
			attempt(n)
		}
		l.banned()

		l.drop()
		l.e.Pardon(l.now, netip.MustParsePrefix(pardoned))
		for n := range 3 {
			attempt(100 + n)
		}
		if l.quiet(); t.Failed() {
			t.Errorf("after the pardon of %s", pardoned)
		}
	}
}

// No number of addresses lets failures pass as those of one stale phone.
func TestEmbeddedAddressesAreNoStalePhone(t *testing.T) {
	l := newLab(t)
	banned := 0
	for n := range 200 {
		source := teredo("203.0.113.9", n)
		l.every(20*time.Second, overStream(success(source, "1007")), overStream(wrong(source, "1001")))
		for _, v := range l.got {
			if v.Action == ActionBan {
				banned++
			}
		}
		l.drop()
	}
	if banned == 0 {
		t.Error("200 guesses from as many addresses, and no ban")
	}
}

// The sum survives a restart.
func TestEmbeddedScoreIsSaved(t *testing.T) {
	o := fixedOptions()
	quick(&o)
	l := newLab(t, quick)
	for n := range 4 {
		l.feed(forged(teredo("203.0.113.9", n)))
	}
	l.drop()

	var log saved
	log.stop(l.e)
	again := newLab(t, quick)
	again.now = l.now
	again.e, _ = log.recall(t, o, l.now)
	again.feed(forged(teredo("203.0.113.9", 99)))
	again.banned()
}
