package operate_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

var (
	alice = control.Peer{UID: 1000, PID: 10}
	bob   = control.Peer{UID: 1001, PID: 20}
)

// listed returns the bans of a prefix as text.
func (o *office) listed(t *testing.T, within string) string {
	t.Helper()
	l, err := o.Bans(t.Context(), control.BanQuery{Within: netip.MustParsePrefix(within)})
	if err != nil {
		t.Fatal(err)
	}
	all, err := l.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, b := range all {
		out = append(out, b.Prefix.String()+" "+b.Scope+" "+time.Until(b.Until).Round(time.Minute).String())
	}
	return strings.Join(out, ", ")
}

// TestUndoBan: the ban that a new one replaced comes back for the time that it had left.
func TestUndoBan(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		o.impose(t, "203.0.113.5/32", "sip", 3*time.Hour)
		time.Sleep(time.Hour - time.Second)
		if _, err := o.Ban(t.Context(), alice, []control.NewBan{
			newBanOf("203.0.113.5/32", "sip", 10*time.Minute),
		}); err != nil {
			t.Fatal(err)
		}

		// Nobody undoes what another did.
		if _, err := o.Undo(t.Context(), bob); control.CodeOf(err) != control.CodeNothing {
			t.Errorf("bob: %v", err)
		}
		u, err := o.LastCommand(alice)
		if err != nil || u.What != "ban" || u.Changes[0].Object != "203.0.113.5" {
			t.Fatalf("%+v, %v", u, err)
		}
		if u, err = o.Undo(t.Context(), alice); err != nil || u.Changes[0].Restored != 1 {
			t.Fatalf("%+v, %v", u, err)
		}
		if got := o.listed(t, "203.0.113.5/32"); got != "203.0.113.5/32 sip 2h0m0s" {
			t.Error(got)
		}
	})
}

// TestUndoOfACommand: all addresses of one process are one command, the one before is the next, and
// what is older than an hour stays. A lift of all bans is not undone.
func TestUndoOfACommand(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		for _, p := range []string{"203.0.113.5/32", "203.0.113.6/32", "203.0.113.7/32"} {
			if _, err := o.Ban(t.Context(), bob, []control.NewBan{newBanOf(p, "all", 5*time.Hour)}); err != nil {
				t.Fatal(err)
			}
		}

		time.Sleep(2 * time.Hour)
		for _, p := range []string{"203.0.113.5/32", "203.0.113.6/32"} {
			if _, err := o.Unban(t.Context(), alice, netip.MustParsePrefix(p)); err != nil {
				t.Fatal(err)
			}
		}
		u, err := o.Undo(t.Context(), alice)
		if err != nil || len(u.Changes) != 2 || u.Changes[0].Object != "203.0.113.5" {
			t.Fatalf("%+v, %v", u, err)
		}
		want := "203.0.113.5/32 all 3h0m0s, 203.0.113.6/32 all 3h0m0s, 203.0.113.7/32 all 3h0m0s"
		if got := o.listed(t, "203.0.113.0/24"); len(got) != len(want) {
			t.Error(got)
		}

		if _, err := o.Unban(t.Context(), alice, netip.Prefix{}); err != nil {
			t.Fatal(err)
		}
		for _, who := range []control.Peer{alice, bob} {
			if u, err := o.Undo(t.Context(), who); control.CodeOf(err) != control.CodeNothing {
				t.Errorf("uid %d: %+v, %v", who.UID, u, err)
			}
		}
	})
}

// TestUndoAllow: the ban that an allowance lifted comes back, and the allowance that it replaced.
func TestUndoAllow(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		p := netip.MustParsePrefix("203.0.113.5/32")
		o.impose(t, "203.0.113.5/32", "all", 3*time.Hour)
		for _, reason := range []string{"first", "second"} {
			if _, err := o.Allow(t.Context(), alice, control.NewAllow{Prefix: p, Reason: reason}); err != nil {
				t.Fatal(err)
			}
		}
		if got := o.listed(t, "203.0.113.5/32"); got != "" {
			t.Errorf("banned: %s", got)
		}

		// Both allowances are of one process. The latest is undone first.
		u, err := o.Undo(t.Context(), alice)
		if err != nil || len(u.Changes) != 2 || u.Changes[0].Restored != 1 {
			t.Fatalf("%+v, %v", u, err)
		}
		if got := o.listed(t, "203.0.113.5/32"); got != "203.0.113.5/32 all 3h0m0s" {
			t.Errorf("banned: %s", got)
		}
	})
}

// TestDeny: what must never be banned is refused, or taken out and named. An undo denies no longer.
func TestDeny(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		results, err := o.Deny(t.Context(), alice, control.NewDeny{
			Prefixes: []netip.Prefix{
				netip.MustParsePrefix("198.51.100.128/25"), netip.MustParsePrefix("198.51.0.0/16"),
				netip.MustParsePrefix("0.0.0.0/0"),
			},
			Note: "scans us",
		})
		if err != nil {
			t.Fatal(err)
		}
		if e := results[0].Error; e == nil || e.Code != control.CodeProtected {
			t.Errorf("inside the allowlist: %+v", results[0])
		}
		if r := results[1]; r.Error != nil || r.State != control.StateInKernel ||
			r.Warning != "not dropped: 198.51.100.0/24 (allowlist ([allow] prefixes))" || r.Note != `"scans us"` {
			t.Errorf("round the allowlist: %+v", r)
		}
		if e := results[2].Error; e == nil || e.Code != control.CodeBadRequest {
			t.Errorf("everything: %+v", results[2])
		}

		last := func() []netip.Prefix {
			return o.kernel.Deny[len(o.kernel.Deny)-1].Prefixes()
		}
		for _, p := range last() {
			if p.Overlaps(netip.MustParsePrefix("198.51.100.0/24")) {
				t.Errorf("the kernel drops %s", p)
			}
		}
		if l, err := o.DenyList(t.Context()); err != nil || len(l.Entries) != 1 ||
			l.Entries[0].By != control.Operator(1000, "") || l.Entries[0].At.IsZero() {
			t.Errorf("%+v, %v", l, err)
		}

		if u, err := o.Undo(t.Context(), alice); err != nil || u.What != "deny" {
			t.Errorf("%+v, %v", u, err)
		}
		if len(last()) != 0 {
			t.Errorf("the kernel drops %v", last())
		}

		// The undo of a removal is checked anew.
		p := []netip.Prefix{netip.MustParsePrefix("203.0.113.0/28")}
		if _, err := o.Deny(t.Context(), alice, control.NewDeny{Prefixes: p}); err != nil {
			t.Fatal(err)
		}
		if _, err := o.Undeny(t.Context(), alice, p); err != nil {
			t.Fatal(err)
		}
		if _, err := o.Allow(t.Context(), bob, control.NewAllow{Prefix: p[0]}); err != nil {
			t.Fatal(err)
		}
		if u, err := o.Undo(t.Context(), alice); err != nil || u.Changes[0].Error == nil ||
			u.Changes[0].Error.Code != control.CodeProtected {
			t.Errorf("%+v, %v", u, err)
		}
	})
}

// TestUndoAgain: after an undo that got no answer in time, the next one is for the same command.
func TestUndoAgain(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		var banned []string
		for i := range int32(16) {
			by := control.Peer{UID: 1002, PID: 30 + i} // each a command of its own
			banned = append(banned, fmt.Sprintf("203.0.113.%d", i))
			if _, err := o.Ban(t.Context(), by, []control.NewBan{
				newBanOf(banned[i]+"/32", "all", time.Hour),
			}); err != nil {
				t.Fatal(err)
			}
		}

		// It is left to chance whether a call is made whose time is over.
		over, cancel := context.WithCancel(t.Context())
		cancel()
		for _, addr := range slices.Backward(banned) {
			for o.listed(t, addr+"/32") != "" {
				u, err := o.Undo(over, control.Peer{UID: 1002})
				if err != nil || len(u.Changes) != 1 || u.Changes[0].Object != addr {
					t.Fatalf("%s: %+v, %v", addr, u, err)
				}
			}

			// The ban may be lifted by an undo that says that it failed.
			if u, err := o.LastCommand(control.Peer{UID: 1002}); err == nil && u.Changes[0].Object == addr {
				if _, err := o.Undo(t.Context(), control.Peer{UID: 1002}); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// TestUndoInTrial: a ban that comes back in a trial has its whole time when the trial is kept.
func TestUndoInTrial(t *testing.T) {
	onTrial(t, 10*time.Minute, func(t *testing.T, o *office) {
		o.impose(t, "203.0.113.5/32", "all", 3*time.Hour)
		if _, err := o.Unban(t.Context(), alice, netip.MustParsePrefix("203.0.113.5/32")); err != nil {
			t.Fatal(err)
		}
		if u, err := o.Undo(t.Context(), alice); err != nil || u.Changes[0].Restored != 1 {
			t.Fatalf("%+v, %v", u, err)
		}
		if got := o.listed(t, "203.0.113.5/32"); got != "203.0.113.5/32 all 10m0s" {
			t.Errorf("in the trial: %s", got)
		}

		if _, err := o.Keep(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		if got := o.listed(t, "203.0.113.5/32"); got != "203.0.113.5/32 all 3h0m0s" {
			t.Errorf("kept: %s", got)
		}
	})
}
