package protect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var office = Server{
	Name: "office", Host: "pbx.example",
	Addresses: []netip.Addr{netip.MustParseAddr("::ffff:203.0.113.9")},
}

// dns answers from a table that the test changes while it is used.
type dns struct {
	mu   sync.Mutex
	now  []string
	fail error
}

func (d *dns) set(fail error, addrs ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now, d.fail = addrs, fail
}

func (d *dns) lookup(context.Context, string) ([]netip.Addr, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []netip.Addr
	for _, a := range d.now {
		out = append(out, netip.MustParseAddr(a))
	}
	return out, d.fail
}

// has tells whether the server's name protects an address now.
func has(w *Watcher, addr string) bool {
	b := newBuilder()
	w.names.addTo(b, office)
	return reasonOf(b.set(), addr) == "server office: address of pbx.example"
}

func resolve(t *testing.T, w *Watcher) {
	t.Helper()
	w.lookup(t.Context())
	if failed := w.Unresolved(); len(failed) > 0 {
		t.Fatal(failed)
	}
}

func TestNamesKeepWhatTheyHadWithinTheLastHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d dns
		w := New(Config{Servers: []Server{office}, Lookup: d.lookup})
		d.set(nil, "192.0.2.10", "::ffff:192.0.2.11", "2001:db8::10")
		resolve(t, w)

		for _, a := range []string{"192.0.2.10", "192.0.2.11", "2001:db8::10"} {
			if !has(w, a) {
				t.Errorf("%s is not protected", a)
			}
		}

		// The name moves. Its old address stays for an hour after the last answer that had it.
		d.set(nil, "192.0.2.20")
		time.Sleep(59 * time.Minute)
		resolve(t, w)
		if !has(w, "192.0.2.10") || !has(w, "192.0.2.20") {
			t.Error("the address of 59 minutes ago, or the new one, is not protected")
		}

		time.Sleep(time.Minute)
		resolve(t, w)
		if has(w, "192.0.2.10") || !has(w, "192.0.2.20") {
			t.Error("the address of an hour ago is still protected, or the present one is not")
		}
	})
}

func TestNamesForgetNothingWhileDNSFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d dns
		w := New(Config{Servers: []Server{office}, Lookup: d.lookup})
		d.set(nil, "192.0.2.10")
		resolve(t, w)

		// nil: an answer without addresses
		for _, fail := range []error{errors.New("server misbehaving"), nil} {
			d.set(fail)
			time.Sleep(48 * time.Hour)
			w.lookup(t.Context())

			if got := w.Unresolved(); len(got) != 1 || got[0].Server != "office" ||
				got[0].Host != "pbx.example" || got[0].Err == nil {
				t.Errorf("unresolved: %v, want office", got)
			}

			if !has(w, "192.0.2.10") {
				t.Error("the last good answer is gone")
			}
		}
	})
}

// Allowed names are followed as their addresses change, keep their last ones over failures of any
// length, and are forgotten when they are no longer listed. They need not be a server's.
func TestAllowedNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d dns
		var log strings.Builder
		home := Name{"home.example", "allowlist ([allow] names)"}
		w := New(Config{
			Names: []Name{home}, Lookup: d.lookup,
			Log: slog.New(slog.NewTextHandler(&log, nil)),
		})

		protected := func(addr string) string {
			b := newBuilder()
			for _, n := range w.listed.Load().Names {
				w.names.addName(b, n)
			}
			return reasonOf(b.set(), addr)
		}

		// A name that never resolved has no addresses to keep, and the log gives advice.
		d.set(errors.New("no such host"))
		w.lookup(t.Context())
		if got := w.Unresolved(); len(got) != 1 || got[0].Host != "home.example" ||
			got[0].Server != "" || got[0].Kept != 0 ||
			!strings.Contains(got[0].Error(),
				"resolve home.example of the allowlist: no such host") {
			t.Errorf("unresolved: %v", got)
		}

		if n := strings.Count(log.String(), "getent ahosts home.example"); n != 1 {
			t.Errorf("told %d times what to do: %s", n, &log)
		}

		// A hostile DNS may answer with addresses that are protected anyway.
		d.set(nil, "203.0.113.6", "127.0.0.1", "2001:db8::6")
		resolve(t, w)
		const why = "address of home.example: allowlist ([allow] names)"

		if protected("203.0.113.6") != why || protected("2001:db8::6") != why ||
			protected("127.0.0.1") != "" {
			t.Error("the addresses of the name are not protected, or loopback is for its sake")
		}

		// Only a successful lookup may remove addresses, not a failure of DNS.
		d.set(errors.New("no DNS"))
		for range 30 {
			time.Sleep(24 * time.Hour)
			w.lookup(t.Context())
		}

		if protected("203.0.113.6") != why || w.Unresolved()[0].Kept != 3 {
			t.Error("a month without DNS made it forget")
		}

		d.set(nil, "203.0.113.7")
		resolve(t, w)
		if protected("203.0.113.7") != why || protected("203.0.113.6") != "" {
			t.Error("a new address did not replace one that was not seen for a month")
		}

		// Addresses from before a restart count for listed names only.
		w.Remember("other.example", []netip.Addr{netip.MustParseAddr("203.0.113.9")})
		w.Remember("home.example", []netip.Addr{netip.MustParseAddr("203.0.113.8")})
		if got := w.Addresses(); len(got) != 1 || len(got["home.example"]) != 2 {
			t.Errorf("addresses %v", got)
		}
		if protected("203.0.113.8") != why {
			t.Error("what was remembered is not protected")
		}

		w.Relist(Listed{})
		if got := w.Addresses(); len(got) != 0 {
			t.Errorf("what is no longer listed keeps %v", got)
		}
	})
}

func TestNamesAreBounded(t *testing.T) {
	var n names
	at := time.Unix(1700000000, 0)
	for i := range 50 {
		var addrs []netip.Addr
		for j := range 300 {
			addrs = append(addrs, netip.AddrFrom4([4]byte{10, byte(i), byte(j >> 8), byte(j)}))
		}
		n.answer("pbx.example", at.Add(time.Duration(i)*time.Second), addrs)
	}

	if got := len(n.byHost["pbx.example"]); got != maxPerName {
		t.Errorf("%d addresses are kept, want %d", got, maxPerName)
	}
}

func TestSnapshotWithoutDNSIsCompleteButForTheName(t *testing.T) {
	s := newSpace(t)
	s.ether("eth0", "192.0.2.10/24")
	w := s.watcher(Config{
		Servers: []Server{office, {Name: "branch", Host: "2001:db8:9::1"}},
		Lookup: func(context.Context, string) ([]netip.Addr, error) {
			return nil, errors.New("no DNS")
		},
	})

	// The start must not fail because of DNS: everything else is protected.
	set := snapshot(t, w)
	if got := w.Unresolved(); len(got) != 1 ||
		!strings.Contains(got[0].Error(), "resolve pbx.example of server office: no DNS") {
		t.Errorf("unresolved: %v, want office alone", got)
	}

	for addr, want := range map[string]string{
		"192.0.2.10":    "own address on eth0",
		"203.0.113.9":   "server office: [[server]] addresses",
		"2001:db8:9::1": "server branch: its address",
	} {
		if got := reasonOf(set, addr); got != want {
			t.Errorf("%s: reason %q, want %q", addr, got, want)
		}
	}
}

func TestSnapshotFailsWithoutTheKernel(t *testing.T) {
	f, err := os.Open(os.DevNull) // no network namespace
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	set, err := New(Config{NetNS: int(f.Fd())}).Snapshot(t.Context())
	if err == nil {
		t.Errorf("error %v, want one of the kernel", err)
	}
	if len(set.Entries) != 0 {
		t.Error("a set came with the error")
	}
}

func TestRunFollowsNamesLessonsAndFiles(t *testing.T) {
	s := newSpace(t)
	var d dns
	d.set(nil, "192.0.2.10")
	var log strings.Builder
	w := s.watcher(Config{
		Servers: []Server{office}, Lookup: d.lookup,
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	})

	w.refresh, w.poll = 20*time.Millisecond, 20*time.Millisecond
	w.Learn("office", netip.MustParseAddr("198.51.100.1"), LocalAddress)
	if got := reasonOf(snapshot(t, w),
		"198.51.100.1"); got != "server office: LocalAddress of its events" {
		t.Errorf("learned before the start: reason %q", got)
	}

	t.Run("running", func(t *testing.T) {
		// Each change must reach the set while the watcher runs.
		r := (&space{t, s.ns, s.h}).run(w)
		d.set(nil, "192.0.2.20")
		r.until("192.0.2.20", "server office: address of pbx.example")

		w.Learn("office", netip.MustParseAddr("::ffff:198.51.100.2"), OwnAddress)
		r.until("198.51.100.2", "our own address as server office sees it")

		writeFile(t, w.config.Root, "etc/resolv.conf", "nameserver 192.0.2.53\n")
		r.until("192.0.2.53", "DNS resolver (/etc/resolv.conf)")
		writeFile(t, w.config.Root, "etc/resolv.conf", "nameserver 192.0.2.54\n")
		r.until("192.0.2.53", "")
		d.set(errors.New("no DNS"))
		time.Sleep(100 * time.Millisecond)
	})
	if n := strings.Count(log.String(), "cannot resolve"); n != 1 {
		t.Errorf("the failing name was logged %d times, want once:\n%s", n, log.String())
	}
}

func TestLearnIsBoundedAndSelective(t *testing.T) {
	w := New(Config{Servers: []Server{{Name: "office"}, {Name: "branch"}}})
	for i := range 100 {
		a := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
		w.Learn("office", a, LocalAddress)
		w.Learn("stranger", a, LocalAddress)
	}

	// Of all these only the first address may be learned: the others are not a PBX's.
	w.Learn("branch", netip.MustParseAddr("192.0.2.200"), LocalAddress)
	for _, a := range []string{"0.0.0.0", "::", "127.0.0.1", "::1", "224.0.0.1", "ff02::1"} {
		w.Learn("branch", netip.MustParseAddr(a), LocalAddress)
	}

	w.Learn("branch", netip.Addr{}, LocalAddress)

	// Attackers who could add addresses without end would protect themselves.
	l := w.learned.Load()
	if got := l.count("office", LocalAddress); got != 16 {
		t.Errorf("%d addresses learned of office, want 16", got)
	}

	if _, ok := l.seen[lesson{"office", LocalAddress, netip.MustParseAddr("192.0.2.0")}]; !ok {
		t.Error("the first address learned was pushed out")
	}

	if got := len(l.seen); got != maxLessons+1 {
		t.Errorf("%d addresses learned in all, want %d: %v", got, maxLessons+1, l.seen)
	}
}

func TestLearnFromManyGoroutines(t *testing.T) {
	w := New(Config{Servers: []Server{{Name: "office"}}})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 8 {
				w.Learn("office", netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + g%2*8 + i)}),
					LocalAddress)
			}
		})
	}

	wg.Wait()
	if got := w.learned.Load().count("office", LocalAddress); got != 16 {
		t.Errorf("%d addresses learned, want 16", got)
	}
}

func TestLearnAllocatesNothingForTheKnown(t *testing.T) {
	w := New(Config{Servers: []Server{{Name: "office"}}})
	a := netip.MustParseAddr("192.0.2.1")
	w.Learn("office", a, LocalAddress)
	if n := testing.AllocsPerRun(100, func() { w.Learn("office", a, LocalAddress) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkLearnKnown(b *testing.B) {
	w := New(Config{Servers: []Server{{Name: "office"}}})
	a := netip.MustParseAddr("192.0.2.1")
	for b.Loop() {
		w.Learn("office", a, LocalAddress)
	}
}

func TestBuilderMergesAndSorts(t *testing.T) {
	// One address in several forms and with several reasons, and addresses that are built in.
	b := newBuilder()
	b.allow(netip.MustParsePrefix("192.0.2.0/24"))
	b.addr(netip.MustParseAddr("192.0.2.1"), "default gateway via eth0")
	b.addr(netip.MustParseAddr("::ffff:192.0.2.1"), "DNS resolver (/etc/resolv.conf)")
	b.addr(netip.MustParseAddr("192.0.2.1"), "default gateway via eth0")
	b.addr(netip.MustParseAddr("127.0.0.53"), "DNS resolver (/etc/resolv.conf)")
	b.addr(netip.MustParseAddr("fe80::1%eth0"), "default gateway via eth0")
	b.allow(netip.MustParsePrefix("127.0.0.0/8"))
	var got strings.Builder

	for _, e := range b.set().Entries {
		fmt.Fprintln(&got, e.Prefix, e.Reason)
	}

	want := `0.0.0.0/8 unspecified
127.0.0.0/8 allowlist ([allow] prefixes); loopback
192.0.2.0/24 allowlist ([allow] prefixes)
192.0.2.1/32 DNS resolver (/etc/resolv.conf); default gateway via eth0
224.0.0.0/4 multicast
255.255.255.255/32 broadcast
::/128 unspecified
::1/128 loopback
fe80::1/128 default gateway via eth0
ff00::/8 multicast
`
	if got.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", got.String(), want)
	}
}

func writeFile(t *testing.T, root, name, text string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestResolversAndTheirUpstreams(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"etc/resolv.conf": "# a comment\n; nameserver 9.9.9.9\nsearch example\nnameserver " +
			"127.0.0.53\n\tnameserver\t192.0.2.53 # ours\n" +
			"nameserver fe80::53%eth0\nnameserver nonsense\nnameserver\noptions edns0",
		"run/systemd/resolve/resolv.conf":        "nameserver 192.0.2.1\n",
		"run/NetworkManager/no-stub-resolv.conf": "nameserver 192.0.2.2\n",
		"run/resolvconf/interface/eth0.dhclient": "nameserver 192.0.2.3\n",
		"run/dnsmasq/resolv.conf":                "nameserver 192.0.2.4\n",
		"etc/dnsmasq.conf": "#server=9.9.9.9\nserver=192.0.2.5#5353\n" +
			"server=/corp.example/192.0.2.6@eth0\nlocal=/x/\n",
		"etc/dnsmasq.d/10-more": "server = 2001:db8::7\n",
		"etc/unbound/unbound.conf.d/forward.conf": "forward-zone:\n  name: \".\"\n  " +
			"forward-addr: 192.0.2.8@853#dns.example\n  # forward-addr: 9.9.9.9\n",
		"etc/unbound/unbound.conf.d/ignored.txt": "forward-addr: 9.9.9.9\n",
	} {
		writeFile(t, root, name, text)
	}

	b := newBuilder()
	if err := addResolvers(b, root); err != nil {
		t.Fatal(err)
	}

	set := b.set()
	for addr, want := range map[string]string{
		"192.0.2.53":  "DNS resolver (/etc/resolv.conf)",
		"fe80::53":    "DNS resolver (/etc/resolv.conf)",
		"192.0.2.1":   "DNS upstream of systemd-resolved",
		"192.0.2.2":   "DNS upstream of NetworkManager",
		"192.0.2.3":   "DNS upstream of resolvconf",
		"192.0.2.4":   "DNS upstream of dnsmasq",
		"192.0.2.5":   "DNS upstream of dnsmasq",
		"192.0.2.6":   "DNS upstream of dnsmasq",
		"2001:db8::7": "DNS upstream of dnsmasq",
		"192.0.2.8":   "DNS upstream of unbound",
		"9.9.9.9":     "",
		"127.0.0.53":  "", // loopback is built in
	} {
		if got := reasonOf(set, addr); got != want {
			t.Errorf("%s: reason %q, want %q", addr, got, want)
		}
	}
}

func TestResolversWithOddFiles(t *testing.T) {
	root := t.TempDir()
	if err := addResolvers(newBuilder(), root); err != nil {
		t.Errorf("no resolv.conf: %v", err)
	}

	writeFile(t, root, "etc/resolv.conf",
		"nameserver "+strings.Repeat("9", 100_000)+"\nnameserver 192.0.2.53\n")
	if err := addResolvers(newBuilder(), root); err == nil {
		t.Error("a line that is too long to read gives no error")
	}

	writeFile(t, root, "etc/dnsmasq.d/x/y", "a folder where a file is expected")
	writeFile(t, root, "etc/resolv.conf", "")
	if err := addResolvers(newBuilder(), root); err != nil {
		t.Errorf("an empty resolv.conf: %v", err)
	}
}
