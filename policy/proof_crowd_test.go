package policy

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

// Whoever owns one account and a /64 can log in from more addresses than are remembered. The proof
// of other phones is kept, so that forged packets do not ban them.
func TestOwnerOfASixtyFourKeepsOthersProof(t *testing.T) {
	const phone = "198.51.100.9"
	l := newLab(t, func(o *Options) { o.MaxSources, o.MaxBans = 1<<16, 1<<12 })
	l.feed(success(phone, "204"))
	a := netip.MustParseAddr("2001:db8:bad::").As16()
	o := success("2001:db8:bad::1", "mine")
	for i := range l.e.opt.MaxSources * 5 / 4 {
		binary.BigEndian.PutUint64(a[8:], uint64(i+1))
		o.Source = netip.AddrPortFrom(netip.AddrFrom16(a), o.Source.Port())
		l.every(200*time.Microsecond, o)
	}
	l.noBan()
	for range 20 {
		l.every(time.Second, forged(phone))
	}
	if l.isBanned(phone) {
		t.Error("a phone that proved itself is cut off by forged packets")
	}
	// The newest of them is proved all the same.
	if !l.explain(o.Source.Addr().String()).Proved {
		t.Error("who logged in just now is not proved")
	}
}

// The room that an account has in memory comes back, and an address that once had none is given
// some then.
func TestACrowdIsOfOneDay(t *testing.T) {
	l := newLab(t)
	var last netip.Addr
	login := func(a netip.Addr) { l.feed(overStream(success(a.String(), "shared"))) }
	for i := range crowdMost + 1 {
		last = netip.AddrFrom4([4]byte{198, 51, byte(100 + i>>8), byte(i)})
		login(last)
	}
	if l.source(last.String()).flags&inCrowd == 0 || l.source("198.51.100.0").flags&inCrowd != 0 {
		t.Error("not the last alone is one too many")
	}
	login(hostAddr("198.51.100.0"))
	if l.source("198.51.100.0").flags&inCrowd != 0 {
		t.Error("who has room loses it by logging in again")
	}
	l.wait(day * time.Second)
	login(last)
	if l.source(last.String()).flags&inCrowd != 0 {
		t.Error("a day later there is no room either")
	}
}
