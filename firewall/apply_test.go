package firewall

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/firewall/firewalltest"
)

// listed describes bans for comparison, lifetimes rounded to minutes (0 for one without).
func listed(elems []Element) []string {
	var out []string
	for _, e := range elems {
		out = append(out, fmt.Sprintf("%s %s %d", e.Prefix, e.Scope,
			int(e.Expires.Round(time.Minute).Minutes())))
	}
	return out
}

func TestApply(t *testing.T) {
	const host, net24 = "192.0.2.1/32", "192.0.2.0/24"
	for name, tt := range map[string]struct {
		before, changes []Change
		want            []string
	}{
		"all sets": {nil, []Change{
			ban(host, ScopeAll, time.Hour), ban(net24, ScopeAll, time.Hour),
			ban("2001:db8::1/128", ScopeAll, time.Hour),
			ban("2001:db8::/64", ScopeAll, time.Hour),
			ban("2001:db8::/56", ScopeAll, time.Hour), ban("2001:db8::/48", ScopeAll, time.Hour),
			ban(host, ScopeSIP, time.Hour), ban(net24, ScopeSIP, time.Hour),
			ban("2001:db8::1/128", ScopeSIP, time.Hour),
			ban("2001:db8::/64", ScopeSIP, time.Hour),
			ban("2001:db8::/56", ScopeSIP, time.Hour), ban("2001:db8::/48", ScopeSIP, time.Hour),
			ban(host, ScopeStream, time.Hour), ban(net24, ScopeStream, time.Hour),
			ban("2001:db8::1/128", ScopeStream, time.Hour),
			ban("2001:db8::/64", ScopeStream, time.Hour),
			ban("2001:db8::/56", ScopeStream, time.Hour),
			ban("2001:db8::/48", ScopeStream, time.Hour),
		}, []string{
			host + " all 60", net24 + " all 60", "2001:db8::1/128 all 60", "2001:db8::/64 all 60",
			"2001:db8::/56 all 60", "2001:db8::/48 all 60",
			host + " sip 60", net24 + " sip 60", "2001:db8::1/128 sip 60", "2001:db8::/64 sip 60",
			"2001:db8::/56 sip 60", "2001:db8::/48 sip 60",
			host + " stream 60", net24 + " stream 60", "2001:db8::1/128 stream 60",
			"2001:db8::/64 stream 60", "2001:db8::/56 stream 60", "2001:db8::/48 stream 60",
		}},
		"longer": {
			[]Change{ban(host, ScopeAll, time.Hour)},
			[]Change{ban(host, ScopeAll, 720*time.Hour)},
			[]string{host + " all 43200"},
		},
		"shorter": {
			[]Change{ban(host, ScopeAll, time.Hour)},
			[]Change{ban(host, ScopeAll, 5*time.Minute)},
			[]string{host + " all 5"},
		},
		"over lifts": {
			[]Change{ban(host, ScopeAll, time.Hour)},
			[]Change{ban(host, ScopeAll, -time.Second)},
			nil,
		},
		"over adds nothing": {nil, []Change{
			ban(host, ScopeAll, -time.Second),
			ban(net24, ScopeAll, time.Hour),
		}, []string{net24 + " all 60"}},
		"lift": {
			[]Change{
				ban(host, ScopeAll, time.Hour),
				ban(host, ScopeSIP, time.Hour),
			},
			[]Change{lift(host, ScopeAll)},
			[]string{host + " sip 60"},
		},
		"absent lift keeps others": {nil, []Change{
			ban(host, ScopeAll, time.Hour),
			lift(net24, ScopeAll), lift("2001:db8::1/128", ScopeSIP),
		}, []string{host + " all 60"}},
		"absent lift, refresh": {
			[]Change{ban(host, ScopeAll, time.Hour)},
			[]Change{ban(host, ScopeAll, 2*time.Hour), lift(net24, ScopeAll)},
			[]string{host + " all 120"},
		},
		"last change counts: ban": {
			nil,
			[]Change{
				lift(host, ScopeAll),
				ban(host, ScopeAll, time.Hour), ban(host, ScopeAll, 2*time.Hour),
			},
			[]string{host + " all 120"},
		},
		"last change counts: lift": {
			[]Change{ban(host, ScopeAll, time.Hour)},
			[]Change{ban(host, ScopeAll, 2*time.Hour), lift(host, ScopeAll)},
			nil,
		},
		"scopes sip and stream at once": {
			[]Change{ban(host, ScopeSIP, time.Hour)},
			[]Change{ban(host, ScopeStream, 10*time.Minute)},
			[]string{host + " sip 60", host + " stream 10"},
		},
		"scope sip becomes all": {
			[]Change{ban(host, ScopeSIP, time.Hour)},
			[]Change{ban(host, ScopeAll, time.Hour), lift(host, ScopeSIP)},
			[]string{host + " all 60"},
		},
		"nothing": {nil, nil, nil},
		// It is over before the table is read.
		"short ones do not stay on": {
			nil,
			[]Change{ban(host, ScopeAll, 100*time.Microsecond)},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			ns := firewalltest.New(t)
			table := open(t, ns, Options{})
			bothWays(t, table, func(t *testing.T) {
				ns.NFT(t, "flush ruleset")
				ensure(t, table)
				apply(t, table, tt.before...)
				apply(t, table, tt.changes...)

				// No way through Apply may make a ban that never ends.
				got := bans(t, table)
				for _, e := range got {
					if e.Timeout == 0 {
						t.Errorf("%s never expires", e.Prefix)
					}
				}

				if !slices.Equal(listed(got), tt.want) {
					t.Errorf("got %q, want %q", listed(got), tt.want)
				}
			})
		})
	}
}

// To the kernel a timeout of 0 is for ever, and it counts in milliseconds: what is left of a ban
// may be less.
func TestApplyNeverMakesABanPermanent(t *testing.T) {
	table := open(t, firewalltest.New(t), Options{})
	now := time.Now()
	table.now = func() time.Time { return now }

	bothWays(t, table, func(t *testing.T) {
		for left, want := range map[time.Duration]time.Duration{
			1: time.Second, 999 * time.Microsecond: time.Second, time.Millisecond: time.Second,
			time.Second + 999*time.Microsecond: time.Second,
			1500 * time.Millisecond:            1500 * time.Millisecond,
			50 * 365 * 24 * time.Hour:          50 * 365 * 24 * time.Hour,
		} {
			b := Ban{netip.MustParsePrefix("192.0.2.1/32"), ScopeAll, now.Add(left)}
			apply(t, table, Change{Ban: b})
			e, ok, err := table.Element(t.Context(), b.Prefix, b.Scope)
			if err != nil || !ok || e.Timeout.Round(10*time.Millisecond) != want ||
				e.Timeout > max(left, time.Second) {
				t.Errorf("%s left: %+v, %t, %v; want timeout %s", left, e, ok, err, want)
			}
		}
	})
}

func TestApplyRejectsInvalidChangesAndKeepsTheRest(t *testing.T) {
	table := open(t, firewalltest.New(t), Options{})
	// A length without a set, bits beyond the length, no IPv4 form, no scope, no prefix.
	bad := []Change{
		ban("192.0.2.0/25", ScopeAll, time.Hour),
		ban("192.0.2.1/24", ScopeAll, time.Hour),
		ban("2001:db8::/52", ScopeAll, time.Hour),
		ban("2001:db8::/47", ScopeSIP, time.Hour),
		ban("2001:db8:0:1::/56", ScopeAll, time.Hour),
		ban("::ffff:192.0.2.1/128", ScopeAll, time.Hour),
		ban("0.0.0.0/0", ScopeAll, time.Hour),
		ban("192.0.2.1/32", 0, time.Hour),
		ban("192.0.2.1/32", 4, time.Hour),
		{Ban: Ban{Scope: ScopeAll, Until: time.Now().Add(time.Hour)}},
		{Ban: Ban{Scope: ScopeAll}, Lift: true},
	}

	rejected, err := table.Apply(t.Context(), slices.Insert(slices.Clone(bad), 4,
		ban("192.0.2.1/32", ScopeAll, time.Hour)))
	if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "192.0.2.0/25, scope all") ||
		!strings.Contains(err.Error(), "and 8 more") {
		t.Fatalf("error %v, want ErrInvalid with the first changes", err)
	}

	var got []Change
	for _, r := range rejected {
		got = append(got, r.Change)
		if !errors.Is(r, ErrInvalid) || errors.Is(r, ErrFull) {
			t.Errorf("%v: %v", r.Change, r.Err)
		}
	}

	if !slices.Equal(got, bad) {
		t.Errorf("rejected %v, want %v", got, bad)
	}
	if got := listed(bans(t, table)); !slices.Equal(got, []string{"192.0.2.1/32 all 60"}) {
		t.Errorf("bans %q", got)
	}
}

// A set has room for some of a batch: those before it is full are kept, refreshes and lifts too,
// other sets lose nothing.
func TestApplyToAFullSet(t *testing.T) {
	for _, room := range []int{0, 1, 2, 63, 64, 65, 99, 100} {
		t.Run(fmt.Sprint(room), func(t *testing.T) {
			ns := firewalltest.New(t)
			table := open(t, ns, Options{MaxBans: 200 + room})
			bothWays(t, table, func(t *testing.T) {
				ns.NFT(t, "flush ruleset")
				ensure(t, table)
				all := manyBans(300)
				apply(t, table, all[:200]...)

				// One for another set, one that lifts nothing, then new ones and refreshes by
				// turns.
				changes := []Change{
					ban("2001:db8::1/128", ScopeAll, time.Hour),
					lift("203.0.113.1/32", ScopeAll),
				}
				for i := range 100 {
					refresh := all[i]
					refresh.Until = refresh.Until.Add(time.Hour)
					changes = append(changes, all[200+i], refresh)
				}

				rejected, err := table.Apply(t.Context(), changes)
				if err != nil {
					t.Fatal(err)
				}
				if len(rejected) != 100-room {
					t.Fatalf("%d rejected, want %d", len(rejected), 100-room)
				}

				for i, r := range rejected {
					if !errors.Is(r.Err, ErrFull) || r.Change != all[200+room+i] {
						t.Fatalf("rejected %d: %v: %v, want %v", i, r.Change, r.Err,
							all[200+room+i])
					}
				}

				// Every refresh is made, whether its set is full or not.
				elems := bans(t, table)
				refreshed := 0
				for _, e := range elems {
					if e.Timeout > 90*time.Minute {
						refreshed++
					}
				}

				if len(elems) != 201+room || refreshed != 100 {
					t.Errorf("%d bans, %d refreshed; want %d and 100", len(elems), refreshed,
						201+room)
				}

				// A lift makes room in the same batch.
				apply(t, table, lift(all[0].Prefix.String(), ScopeAll), all[200+room%100])
			})
		})
	}
}

func TestApplyWithoutTheTable(t *testing.T) {
	for _, damage := range []string{"flush ruleset", "delete table inet amifend"} {
		t.Run(damage, func(t *testing.T) {
			ns := firewalltest.New(t)
			table := open(t, ns, Options{})
			ns.NFT(t, damage)

			for _, c := range []Change{
				ban("192.0.2.1/32", ScopeAll, time.Hour),
				lift("192.0.2.1/32", ScopeAll),
			} {
				if _, err := table.Apply(t.Context(), []Change{c}); !errors.Is(err, ErrGone) {
					t.Errorf("Apply %+v: %v, want ErrGone", c, err)
				}
			}

			if _, err := table.Bans(t.Context()); !errors.Is(err, ErrGone) {
				t.Errorf("Bans: %v, want ErrGone", err)
			}
			if _, _, err := table.Element(t.Context(), netip.MustParsePrefix("192.0.2.1/32"),
				ScopeAll); !errors.Is(err, ErrGone) {
				t.Errorf("Element: %v, want ErrGone", err)
			}

			// What ErrGone tells the caller to do.
			ensure(t, table)
			apply(t, table, ban("192.0.2.1/32", ScopeAll, time.Hour))
		})
	}
}

// Elements that expire while they are refreshed and lifted must neither fail the batch nor lose a
// neighbour.
func TestApplyRacesWithExpiry(t *testing.T) {
	table := open(t, firewalltest.New(t), Options{})
	bothWays(t, table, func(t *testing.T) {
		changes := manyBans(200)
		for i := range changes {
			changes[i].Until = time.Now().Add(time.Second)
		}
		apply(t, table, changes...)

		// Longer than their timeout, so that some expire at every point of Apply.
		for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); {
			for i := range changes {
				changes[i].Lift = i%2 == 0
				changes[i].Until = time.Now().Add(time.Second)
			}
			apply(t, table, changes...)
		}

		if n := len(bans(t, table)); n != 100 {
			t.Errorf("%d bans, want 100", n)
		}
	})
}

func TestApplyEndsWithItsContext(t *testing.T) {
	table := open(t, firewalltest.New(t), Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	if _, err := table.Apply(ctx, manyBans(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("Apply: %v", err)
	}
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := table.Apply(t.Context(), manyBans(1)); !errors.Is(err, ErrClosed) {
		t.Errorf("Apply after Close: %v, want ErrClosed", err)
	}
}

func TestSupportedBits(t *testing.T) {
	if v4, v6 := SupportedBits(false), SupportedBits(true); !slices.Equal(v4, []int{32, 24}) ||
		!slices.Equal(v6, []int{128, 64, 56, 48}) {
		t.Errorf("SupportedBits: %v, %v", v4, v6)
	}
}
