package app

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func TestRestore(t *testing.T) {
	for name, test := range map[string]struct {
		damage func(f *fakeTable)
		msg    string
	}{
		"flush set":    {func(f *fakeTable) { clear(f.elems) }, "bans were taken out of the kernel by somebody else: putting them back"},
		"flush chain":  {func(f *fakeTable) { f.rules = false }, "the nftables table was changed by somebody else: laid out again, no ban is missing"},
		"delete table": {func(f *fakeTable) { clear(f.elems); f.gone, f.rules = true, false }, "bans were taken out of the kernel by somebody else: putting them back"},
		"shorten a ban": {func(f *fakeTable) {
			f.elems[key{netip.MustParsePrefix("192.0.2.1/32"), sip}] = time.Now().Add(time.Minute)
		}, "bans were taken out of the kernel by somebody else: putting them back"},
		"add by hand": {func(f *fakeTable) {
			f.elems[key{netip.MustParsePrefix("203.0.113.9/32"), sip}] = time.Now().Add(time.Minute)
		}, "the nftables table was changed by somebody else: laid out again, no ban is missing"},
		"flush and break": {func(f *fakeTable) { clear(f.elems); f.fail = []error{errKernel} }, "firewall: cannot lay out the table"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorkshop(t, func(t *testing.T, w *workshop) {
				w.order("192.0.2.1/32", sip, time.Hour)
				w.order("2001:db8::/64", all, time.Hour)
				w.acks.take()
				w.kernel.set(func() { test.damage(w.kernel) })
				offer(w.damaged, struct{}{})
				w.pass(2 * time.Minute)
				w.want(t, "192.0.2.1 sip", "2001:db8::/64 all")
				if !w.kernel.rules {
					t.Error("the rules that drop are gone")
				}
				w.said.count(t, 1, test.msg, "")
				w.said.count(t, 2, "banned", "")
			})
		})
	}
}

func TestGoneTableIsBackAtOnce(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		w.order("192.0.2.1/32", sip, time.Hour)
		w.kernel.set(func() {
			w.kernel.gone = true
			clear(w.kernel.elems)
		})
		w.order("192.0.2.2/32", sip, time.Hour) // no time passes
		w.want(t, "192.0.2.1 sip", "192.0.2.2 sip")
		w.said.count(t, 1, "banned", "192.0.2.1")
		w.said.count(t, 1, "banned", "192.0.2.2")
		w.said.count(t, 1, "the nftables table is gone: putting it back", "")
		w.said.count(t, 1, "firewall restored", "")
	})
}

func TestAllowlistOfAGoneTable(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		w.order("192.0.2.1/32", sip, time.Hour)
		w.kernel.set(func() {
			w.kernel.gone = true
			clear(w.kernel.elems)
		})
		offer(w.allow, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
		synctest.Wait()
		w.want(t, "192.0.2.1 sip")
		if len(w.kernel.allow) != 1 {
			t.Errorf("allowlist %v", w.kernel.allow)
		}
	})
}
