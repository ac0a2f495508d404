//go:build e2e

package e2e

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/e2e/lab"
	"github.com/amifend/amifend/cmd/amifend/internal/e2e/sip"
)

// The ruleset, Asterisk and amifend itself break and come back. The AMI is over TLS here, with a
// pinned fingerprint.
func TestRecovery(t *testing.T) {
	w := newWorld(t, "sid")
	fingerprint, err := w.Fingerprint()
	if err != nil {
		t.Fatal(err)
	}
	s := settings{
		address: "127.0.0.1:5039",
		tls:     []string{`fingerprint = "` + fingerprint + `"`},
	}
	d := w.amifend(t, s)

	udp := w.dial(t, lab.Attack, sip.UDP, netip.MustParseAddr("198.51.100.61"))
	tcp := w.dial(t, lab.Attack, sip.TCP, netip.MustParseAddr("2001:db8:bad:61::1"))
	bans := map[*sip.Client]line{}
	for _, c := range []*sip.Client{udp, tcp} {
		bans[c] = w.attackUntilBanned(t, d, c, unknown("REGISTER"))
		w.dropped(t, bans[c], c, unknown("REGISTER"))
	}

	// Not subtests: the last daemon is used below, too.
	for range 4 {
		d = w.again(t, s, udp, func() { d.stop(t) })
		d = w.again(t, s, udp, func() { d.kill() })
	}
	for c, b := range bans {
		w.silentSince(t, c.Local.Addr(), b.Time)
	}

	for _, damage := range []string{
		"flush ruleset", "delete table inet amifend", "flush set inet amifend ban4_sip",
	} {
		t.Run("nft "+damage, func(t *testing.T) { testDamage(t, w, d, udp, damage) })
	}
	t.Run("kill -9 of Asterisk", func(t *testing.T) { testKilledAsterisk(t, w, d) })
}

// Somebody takes the bans out of the kernel (the stock nftables.service flushes the ruleset on a
// reload): amifend puts them back at once.
func testDamage(t *testing.T, w *world, d *daemon, banned *sip.Client, damage string) {
	// Nothing else may be the reason that amifend looks at the kernel.
	d.quiet(t, 1500*time.Millisecond)

	before := w.bans(t, lab.PBX)
	if _, err := w.Exec(t.Context(), lab.PBX, "nft", damage); err != nil {
		t.Fatal(err)
	}
	damaged := time.Now()
	eventually(t, soon, "the bans are back in the kernel", func() bool {
		return len(w.bans(t, lab.PBX)) == len(before)
	})
	repaired := time.Now()
	t.Logf("repaired within %s", repaired.Sub(damaged).Round(time.Millisecond))

	w.keptBans(t, before)
	if err := unknown("REGISTER")(t.Context(), banned, 0); err == nil {
		t.Error("a banned source was answered after the repair")
	}
	w.silentSince(t, banned.Local.Addr(), repaired)
}

// again ends amifend, in order or not, and starts it again, while a banned source floods. The bans
// are adopted and not one packet gets through, neither between the two nor while the new one lays
// out its table. That last moment is less than a millisecond, so the caller does this more than
// once.
func (w *world) again(t *testing.T, s settings, banned *sip.Client, end func()) *daemon {
	t.Helper()
	before := w.bans(t, lab.PBX)
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { banned.Flood(ctx, sip.Request{Method: "OPTIONS", From: "9100"}) })
	defer group.Wait()
	defer cancel()

	time.Sleep(50 * time.Millisecond)
	end()
	time.Sleep(50 * time.Millisecond)
	d := w.amifend(t, s)
	if l, _ := d.find(func(l line) bool { return l.Msg == sayRuns }); l.Adopted != len(before) {
		t.Errorf("adopted %d bans, want %d: %s", l.Adopted, len(before), l.raw)
	}

	// Long enough for the flood to get through, if it can.
	time.Sleep(50 * time.Millisecond)
	w.keptBans(t, before)
	return d
}

// keptBans checks that every ban of before is in the kernel and ends when it would have ended.
func (w *world) keptBans(t *testing.T, before []lab.Element) {
	t.Helper()
	now := make(map[netip.Prefix]lab.Element)
	for _, e := range w.bans(t, lab.PBX) {
		now[e.Prefix] = e
	}

	for _, b := range before {
		e, ok := now[b.Prefix]
		switch {
		case !ok:
			t.Errorf("ban lost: %+v", b)
		case e.Set != b.Set:
			t.Errorf("ban of %s was in %s and is in %s", b.Prefix, b.Set, e.Set)
		// nft shows whole seconds; the tests between take a few.
		case e.Expires > b.Expires+time.Second || e.Expires < b.Expires-time.Minute:
			t.Errorf("ban of %s had %s left and now has %s", b.Prefix, b.Expires, e.Expires)
		}
	}
}

// Asterisk is killed and started again: the session is back within two seconds of its AMI, and
// amifend bans again.
func testKilledAsterisk(t *testing.T, w *world, d *daemon) {
	if err := w.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}

	accepting := make(chan time.Time, 1)
	go func() { accepting <- w.whenAccepting(t.Context()) }()
	started := time.Now()
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	// From the banner on amifend can be back; the rest of Asterisk's start is not its doing.
	up := <-accepting

	back := d.wait(t, soon, "connected again", func(l line) bool {
		return l.Msg == sayConnected && l.Time.After(started)
	})
	t.Logf("AMI accepted %s after the start, amifend was back %s later",
		up.Sub(started).Round(time.Millisecond), back.Time.Sub(up).Round(time.Millisecond))
	if late := back.Time.Sub(up); late > 2*time.Second {
		t.Errorf("amifend was back %s after the AMI accepted connections, want 2 s at most", late)
	}

	// The witness lost its session, too.
	w.openTap(t)
	c := w.dial(t, lab.Attack, sip.UDP, netip.MustParseAddr("198.51.100.62"))
	b := w.attackUntilBanned(t, d, c, unknown("REGISTER"))
	w.dropped(t, b, c, unknown("REGISTER"))
}

// whenAccepting returns the time when the AMI first sent its banner.
func (w *world) whenAccepting(ctx context.Context) time.Time {
	for ctx.Err() == nil {
		greeted := false
		_ = w.Net(lab.PBX).Do(func() error { // refused until it is up
			c, err := net.DialTimeout("tcp", "127.0.0.1:5038", time.Second)
			if err != nil {
				return err
			}
			defer c.Close()
			// It accepts before it speaks.
			_ = c.SetReadDeadline(time.Now().Add(time.Second))
			b := make([]byte, 64)
			n, err := c.Read(b)
			greeted = strings.HasPrefix(string(b[:n]), "Asterisk Call Manager/")
			return err
		})
		if greeted {
			return time.Now()
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Now()
}
