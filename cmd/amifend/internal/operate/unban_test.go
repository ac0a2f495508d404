package operate_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce/enforcetest"
	"github.com/amifend/amifend/firewall"
)

func TestUnban(t *testing.T) {
	one := netip.MustParsePrefix("203.0.113.5/32")
	for name, tt := range map[string]struct {
		within netip.Prefix
		lifted int
		left   []string
	}{
		"one": {
			one, 1, []string{
				"192.0.2.0/24 all", "198.51.100.9 sip", "2001:db8::/64 all", "203.0.113.6 sip",
			},
		},
		"one that the engine does not know": {
			netip.MustParsePrefix("198.51.100.9/32"), 1,
			[]string{"192.0.2.0/24 all", "2001:db8::/64 all", "203.0.113.5 all", "203.0.113.6 sip"},
		},
		"what covers it, unknown": {
			netip.MustParsePrefix("192.0.2.77/32"), 1,
			[]string{"198.51.100.9 sip", "2001:db8::/64 all", "203.0.113.5 all", "203.0.113.6 sip"},
		},
		"a network": {
			netip.MustParsePrefix("203.0.113.0/24"), 2,
			[]string{"192.0.2.0/24 all", "198.51.100.9 sip", "2001:db8::/64 all"},
		},
		"what covers it": {
			netip.MustParsePrefix("2001:db8::7/128"), 1,
			[]string{"192.0.2.0/24 all", "198.51.100.9 sip", "203.0.113.5 all", "203.0.113.6 sip"},
		},
		"all": {netip.Prefix{}, 5, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, func(t *testing.T, o *office) {
				by := control.Peer{UID: 7}
				if _, err := o.Ban(t.Context(), by, []control.NewBan{
					newBanOf("203.0.113.5/32", "all", time.Hour),
					newBanOf("203.0.113.6/32", "sip", time.Hour),
					newBanOf("2001:db8::/64", "all", time.Hour),
				}); err != nil {
					t.Fatal(err)
				}

				// Two that the engine does not know, as after an adoption without room.
				b := enforcetest.Ban(o.clock, "198.51.100.9/32", firewall.ScopeSIP, time.Hour)
				o.mail.Orders.Put(b.Prefix, bans.OrderOf(&b))
				wide := enforcetest.Ban(o.clock, "192.0.2.0/24", firewall.ScopeAll, time.Hour)
				o.mail.Orders.Put(wide.Prefix, bans.OrderOf(&wide))
				synctest.Wait()
				l, err := o.Unban(t.Context(), by, tt.within)
				if err != nil || l.Count != tt.lifted || len(l.Lifted) != tt.lifted ||
					l.Pending != 0 {
					t.Fatalf("%+v, %v", l, err)
				}

				if got := o.kernel.Has(); !slices.Equal(got, tt.left) {
					t.Errorf("the kernel has %q", got)
				}

				if !tt.within.IsValid() {
					line := o.said.Count(t, 1, "all bans lifted", "")[0]
					if line.Text("why") != "operator: "+control.Operator(7, "") || line.Text("bans") != "5" {
						t.Errorf("said %v", line)
					}
					return
				}
				for _, p := range l.Lifted {
					line := o.said.Count(t, 1, "ban lifted", bans.Source(p))[0]
					if line.Text("why") != "operator: "+control.Operator(7, "") {
						t.Errorf("said %v", line)
					}
				}
			})
		})
	}
}

// A source that is not banned cannot be unbanned, but its score is forgotten.
func TestUnbanOfASuspect(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		for range 6 {
			o.in <- o.attempt("203.0.113.5:5060")
		}

		synctest.Wait()
		_, err := o.Unban(t.Context(), control.Peer{}, netip.MustParsePrefix("203.0.113.5/32"))
		if control.CodeOf(err) != control.CodeNotBanned {
			t.Errorf("error %v", err)
		}
		if l, err := o.Unban(t.Context(), control.Peer{}, netip.Prefix{}); err != nil ||
			l.Count != 0 {
			t.Errorf("all of none: %+v, %v", l, err)
		}
	})
}

// Who lifts a ban is told whether its source still sends, and how soon it would be banned again.
// That takes no time.
func TestUnbanTellsWhetherItIsSoonBack(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		addr := netip.MustParsePrefix("203.0.113.6/32")
		k := enforcetest.Key(addr.String(), all)
		lift := func(packets uint64, look func()) control.Again {
			t.Helper()
			o.impose(t, addr.String(), "all", time.Hour)
			o.kernel.Set(func() { o.kernel.Packets[k] = packets })
			look()
			began := time.Now()
			l, err := o.Unban(t.Context(), control.Peer{}, addr)
			if err != nil || l.Count != 1 || l.Again == nil {
				t.Fatalf("%+v, %v", l, err)
			}

			if took := time.Since(began); took >= time.Millisecond*100 {
				t.Errorf("it took %v", took)
			}

			time.Sleep(time.Minute)
			return *l.Again
		}

		look := func(after time.Duration, more uint64) func() {
			return func() {
				if _, err := o.Explain(t.Context(), addr.Addr()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(after)
				o.kernel.Set(func() { o.kernel.Packets[k] += more })
			}
		}

		for name, tt := range map[string]struct {
			packets uint64
			look    func()
			want    control.Again
		}{
			"it sends": {
				40, look(5*time.Second, 3), control.Again{Dropped: 43, Lately: 3, LatelySpan: 5},
			},
			"it sends no more": {
				40, look(20*time.Second, 0), control.Again{Dropped: 40, LatelySpan: 20},
			},
			"nobody has looked":  {40, func() {}, control.Again{Dropped: 40}},
			"nothing ever comes": {0, func() {}, control.Again{}},
		} {
			tt.want.MoreUnknown, tt.want.MoreKnown = 4, 7
			if got := lift(tt.packets, tt.look); got != tt.want {
				t.Errorf("%s: %+v, want %+v", name, got, tt.want)
			}
		}

		o.impose(t, "203.0.113.0/24", "all", time.Hour)
		l, err := o.Unban(t.Context(), control.Peer{}, netip.MustParsePrefix("203.0.113.0/24"))
		if err != nil || l.Again != nil {
			t.Errorf("a network: %+v, %v", l, err)
		}
	})
}

// However many are banned, all are lifted, and so are those that the engine does not know.
func TestUnbanOfVeryMany(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		const many = 1000
		for i := range many {
			b := enforcetest.Ban(o.clock, fmt.Sprintf("10.0.%d.%d/32", i/250, i%250), all,
				time.Hour)
			o.mail.Orders.Put(b.Prefix, bans.OrderOf(&b))
		}

		synctest.Wait()
		l, err := o.Unban(t.Context(), control.Peer{UID: 7}, netip.Prefix{})
		if err != nil || l.Count != many || len(l.Lifted) != many || l.Pending != 0 {
			t.Errorf("%d lifted, %d named, %d pending, %v", l.Count, len(l.Lifted), l.Pending, err)
		}

		o.wantKernel(t)
	})
}

// What is banned by a trial that is over is not in the kernel, and is lifted all the same.
func TestUnbanAfterATrial(t *testing.T) {
	onTrial(t, time.Minute, func(t *testing.T, o *office) {
		time.Sleep(2 * time.Minute)
		o.impose(t, "203.0.113.9/32", "all", time.Hour)
		l, err := o.Unban(t.Context(), control.Peer{UID: 7},
			netip.MustParsePrefix("203.0.113.9/32"))
		if err != nil || l.Count != 1 {
			t.Errorf("%+v, %v", l, err)
		}

		_, err = o.Unban(t.Context(), control.Peer{}, netip.MustParsePrefix("203.0.113.9/32"))
		if control.CodeOf(err) != control.CodeNotBanned {
			t.Errorf("again: %v", err)
		}
	})
}
