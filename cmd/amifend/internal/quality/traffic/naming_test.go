package traffic

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/recording"
	"github.com/amifend/amifend/policy"
)

// The addresses of captures proof/chan_sip.ami and proof/holes.ami.
var (
	namedAddr    = netip.MustParseAddr("203.0.113.99")
	attackerAddr = netip.MustParseAddr("198.51.100.20")
)

// attacking returns an attacker at 198.51.100.20 who talks to a PBX that has account 1001.
func attacking(t Tool, role Role, service policy.Service) (*Actor, *PBX) {
	w := New(Options{Size: small, Seed: 1, Only: func(string) bool { return false }})
	w.tool = t
	c := newClass("attackers", role, Goal{Attacks: true}, 1)
	p := &Party{Class: c}
	c.Parties = append(c.Parties, p)
	w.Classes = append(w.Classes, c)

	pbx := newPBX(0, service)
	pbx.passwords["1001"] = "right"
	a := &Actor{
		Rand: rand.New(rand.NewPCG(1, 1)), world: w, party: p,
		yield: func(int64) bool { return true },
	}
	a.settle(netip.AddrPortFrom(attackerAddr, 40000))
	return a, pbx
}

// TestMaddrAtChanSIP: the events of a login with maddr are those of capture proof/chan_sip.ami,
// over every transport: they name somebody who sent nothing.
func TestMaddrAtChanSIP(t *testing.T) {
	want := captured(t, "proof/chan_sip.ami", namedAddr.String())
	first := map[ami.Transport]int{ami.TransportUDP: 0, ami.TransportTCP: 6, ami.TransportTLS: 14}

	for _, transport := range transports {
		r := &recorder{}
		a, pbx := attacking(r, Attacker, policy.ServiceSIP)
		victim := netip.AddrPortFrom(namedAddr, 47825)

		m := mask{pbx: pbx, transport: transport}
		got := a.loginAs(m, victim, request{account: "1001", password: "wrong"})
		if got != refused {
			t.Errorf("%v: the attacker gets answer %d, want that the login is refused",
				transport, got)
		}
		if want := want[first[transport]:][:2]; !slices.Equal(r.heard, want) {
			t.Errorf("%v:\ngot  %q\nwant %q", transport, r.heard, want)
		}
		if r.last.Source != victim || r.last.Transport != transport || r.source != attackerAddr {
			t.Errorf("%v: the event names %v over %v, the packet is from %v",
				transport, r.last.Source, r.last.Transport, r.source)
		}
	}
}

// TestMaddrAtPJSIP: a spoofer who has the answers sent to itself by maddr raises the events of
// 8.8.8.8 in capture proof/holes.ami, a success included.
func TestMaddrAtPJSIP(t *testing.T) {
	want := captured(t, "proof/holes.ami", "8.8.8.8")
	r := &recorder{}
	a, pbx := attacking(r, Forger, policy.ServicePJSIP)
	victim := netip.MustParseAddrPort("8.8.8.8:5060")

	for _, req := range []request{
		{},
		{credentials: true, fresh: true, password: "wrong"},
		{credentials: true, fresh: true, password: "wrong"},
		{credentials: true, fresh: true, password: "right"},
		{},
	} {
		req.account, req.transport = "1001", ami.TransportUDP
		a.sendAs(mask{pbx: pbx, transport: ami.TransportUDP}, victim, req)
	}

	if !slices.Equal(r.heard, want) {
		t.Errorf("\ngot  %s\nwant %s",
			strings.Join(r.heard, "\n     "), strings.Join(want, "\n     "))
	}
	if r.source != victim.Addr() {
		t.Errorf("the packet is from %v, want the forged %v", r.source, victim.Addr())
	}
}

// TestDeafSpoofer: who gets no answers has no nonce, and never a success.
func TestDeafSpoofer(t *testing.T) {
	r := &recorder{}
	a, pbx := attacking(r, Forger, policy.ServicePJSIP)
	m := mask{pbx: pbx, transport: ami.TransportUDP, deaf: true}
	victim := netip.MustParseAddrPort("203.0.113.99:5060")

	a.loginAs(m, victim, request{account: "1001", password: "wrong"})
	a.loginAs(m, victim, request{account: "1001", password: "right"})
	want := []string{
		"PJSIP ChallengeResponseFailed 1001 password=false",
		"PJSIP ChallengeSent 1001 password=false",
	}
	if !slices.Equal(r.heard, want) {
		t.Errorf("got %q, want %q", r.heard, want)
	}
}

// TestWhomABanStops: a ban of whom the events name keeps a spoofer's packets out, and none of
// somebody whom chan_sip believes.
func TestWhomABanStops(t *testing.T) {
	for _, test := range []struct {
		role    Role
		service policy.Service
		want    int // logins that reach the PBX
	}{
		{Attacker, policy.ServiceSIP, 10},
		{Forger, policy.ServicePJSIP, 4},
	} {
		tool := &wall{patience: 4, failures: make(map[netip.Addr]int)}
		a, pbx := attacking(tool, test.role, test.service)
		tool.world = a.world
		victim := &Party{Class: newClass("victims", Victim, Goal{}, 1)}
		a.world.at[namedAddr] = append(a.world.at[namedAddr], victim)

		at := func(*Actor, int) netip.AddrPort { return netip.AddrPortFrom(namedAddr, 5060) }
		a.guessAs(mask{pbx: pbx, transport: ami.TransportUDP}, at, always("1001"), 10, 0)
		if got := a.party.Admitted; got != test.want || a.party.Offered != 10 {
			t.Errorf("%v: %d of %d logins reached the PBX, want %d of 10",
				test.service, got, a.party.Offered, test.want)
		}
		if got := a.party.Attacks[0].Reached; got != test.want {
			t.Errorf("%v: %d logins on the account, want %d", test.service, got, test.want)
		}
		if !victim.Banned || a.party.Banned {
			t.Errorf("%v: victim banned %t, attacker banned %t; want true, false",
				test.service, victim.Banned, a.party.Banned)
		}
	}
}

// TestAttackIsTold: which decisions tell of an attack on account 1001, and until when.
func TestAttackIsTold(t *testing.T) {
	about, nobody := netip.PrefixFrom(namedAddr, 32), netip.MustParsePrefix("8.8.8.8/32")
	its, other := []Target{{0, "1001"}}, []Target{{0, "1002"}, {1, "1001"}}
	alert := func(kind, account string) Decision { return Decision{Alert: kind, Account: account} }
	named := func(d Decision, prefix netip.Prefix) Decision {
		d.Prefix = prefix
		return d
	}
	elsewhere := func(d Decision) Decision {
		d.Server = 1
		return d
	}

	for _, test := range []struct {
		name   string
		logins int
		late   time.Duration // after the last login
		d      Decision
		due    bool
		want   Telling
	}{
		{"no alert of an attack", 21, 0, alert("bans_full", ""), true, Untold},
		{"so few that nothing need tell", 20, 0, alert("bans_full", ""), false, Untold},
		{"the account", 21, 0, alert("account_attacked", "1001"), true, ByAlert},
		{"the account, early", 2, 0, alert("account_attacked", "1001"), false, ByAlert},
		{"the account, too late", 21, 2 * time.Hour, alert("account_attacked", "1001"), true, Untold},
		{"another account", 21, 0, alert("account_attacked", "1002"), true, Untold},
		{"another server's", 21, 0, elsewhere(alert("account_attacked", "1001")), true, Untold},
		{"the server", 21, 0, alert("server_attacked", ""), true, ByAlert},
		{"another server", 21, 0, elsewhere(alert("server_attacked", "")), true, Untold},
		{"the name", 21, 0, named(alert("proved_source_guessing", "1002"), about), true, ByAlert},
		{"nobody's name", 21, 0, named(alert("proved_source_guessing", ""), nobody), true, Untold},
		{"a fault", 21, 0, named(alert("misconfigured_endpoint", "1001"), about), true, AsFault},
		{"another fault", 21, 0, named(alert("misconfigured_endpoint", "1002"), about), true, Untold},
		{"a fault elsewhere", 21, 0, named(alert("misconfigured_endpoint", "1001"), nobody), true, Untold},
		{"a ban", 21, 0, Decision{Prefix: about, Evidence: its}, true, ByBan},
		{"a ban for other accounts", 21, 0, Decision{Prefix: about, Evidence: other}, true, Untold},
		{"a ban of somebody else", 21, 0, Decision{Prefix: nobody, Evidence: its}, true, Untold},
	} {
		a, pbx := attacking(&recorder{}, Attacker, policy.ServiceSIP)
		at := func(*Actor, int) netip.AddrPort { return netip.AddrPortFrom(namedAddr, 5060) }
		a.guessAs(mask{pbx: pbx, transport: ami.TransportTLS}, at, always("1001"), test.logins, 0)

		test.d.At = a.world.now + int64(test.late)
		a.world.Decided(test.d)
		account, server := a.party.Attacks[0], a.party.Attacks[1]
		if account.Account != "1001" || server.Account != "" || account.Reached != test.logins {
			t.Fatalf("%s: attacks %+v, %+v", test.name, account, server)
		}
		if account.Due() != test.due || account.Told != test.want || server.Told != test.want {
			t.Errorf("%s: due %t, told of the account %d, of the server %d; want %t, %d",
				test.name, account.Due(), account.Told, server.Told, test.due, test.want)
		}
		if account.Before != test.logins {
			t.Errorf("%s: %d logins before, want %d", test.name, account.Before, test.logins)
		}
	}
}

// TestToldLately: an alert that an account or server is attacked tells for an hour of attacks that
// begin after it.
func TestToldLately(t *testing.T) {
	for _, test := range []struct {
		d     Decision
		later time.Duration
		want  Telling // of the account
	}{
		{Decision{Alert: "server_attacked"}, 59 * time.Minute, ByAlert},
		{Decision{Alert: "server_attacked"}, 2 * time.Hour, Untold},
		{Decision{Alert: "server_attacked", Server: 1}, time.Minute, Untold},
		{Decision{Alert: "account_attacked", Account: "1001"}, time.Minute, ByAlert},
		{Decision{Alert: "account_attacked", Account: "1002"}, time.Minute, Untold},
		{Decision{Alert: "account_attacked"}, time.Minute, Untold},
		{Decision{Alert: "suspect_login", Account: "1001"}, time.Minute, Untold},
	} {
		a, pbx := attacking(&recorder{}, Attacker, policy.ServiceSIP)
		test.d.At = a.world.now
		a.world.Decided(test.d)
		a.world.now += int64(test.later)

		at := func(*Actor, int) netip.AddrPort { return netip.AddrPortFrom(namedAddr, 5060) }
		a.guessAs(mask{pbx: pbx, transport: ami.TransportUDP}, at, always("1001"), 1, 0)
		if got := a.party.Attacks[0].Told; got != test.want {
			t.Errorf("%+v, %v later: told %d, want %d", test.d, test.later, got, test.want)
		}
	}
}

// TestBehindManyNames: a ban of one of many names does not tell of the attack.
func TestBehindManyNames(t *testing.T) {
	a, pbx := attacking(&recorder{}, Attacker, policy.ServiceSIP)
	at := func(_ *Actor, i int) netip.AddrPort { return netip.AddrPortFrom(v4(9<<24+uint32(i%2)), 5060) }
	a.guessAs(mask{pbx: pbx, transport: ami.TransportTCP}, at, always("1001"), 30, 0)

	a.world.Decided(Decision{
		At: a.world.now, Prefix: netip.PrefixFrom(v4(9<<24), 32), Evidence: []Target{{0, "1001"}},
	})
	if got := a.party.Attacks[0]; got.Told != Untold || !got.Due() {
		t.Errorf("told %d, due %t; want %d, true", got.Told, got.Due(), Untold)
	}
}

// TestVouching: of the logins to an attacker's own account those count that name somebody new, or
// fail.
func TestVouching(t *testing.T) {
	a, pbx := attacking(&recorder{}, Forger, policy.ServicePJSIP)
	a.party.owns = map[string]bool{"1001": true}
	m := mask{pbx: pbx, transport: ami.TransportUDP}

	for i := range 9 { // three names, three times each
		at := netip.AddrPortFrom(v4(9<<24+uint32(i%3)), 5060)
		a.loginAs(m, at, request{account: "1001", password: "right"})
	}
	a.loginAs(m, netip.AddrPortFrom(v4(9<<24), 5060), request{account: "1001", password: "wrong"})

	if got := a.party.Attacks[0].Reached; got != 4 {
		t.Errorf("%d logins count, want 4", got)
	}
	if len(a.party.Compromises) != 0 {
		t.Errorf("compromises %v of its own account", a.party.Compromises)
	}
}

// TestCrackedInAnothersName: an alert about the name, or about nobody, tells of the account that
// was cracked, if it names it.
func TestCrackedInAnothersName(t *testing.T) {
	about, nobody := netip.PrefixFrom(namedAddr, 32), netip.MustParsePrefix("8.8.8.8/32")
	for _, test := range []struct {
		d    Decision
		want bool
	}{
		{Decision{Alert: "compromised_account", Prefix: about, Account: "1001"}, true},
		{Decision{Alert: "suspect_login", Account: "1001"}, true},
		{Decision{Alert: "compromised_account", Prefix: about, Account: "1002"}, false},
		{Decision{Alert: "compromised_account", Prefix: nobody, Account: "1001"}, false},
		{Decision{Alert: "account_attacked", Prefix: about, Account: "1001"}, false},
		{Decision{Alert: "misconfigured_endpoint", Prefix: about, Account: "whoever"}, false},
	} {
		a, pbx := attacking(&recorder{}, Attacker, policy.ServiceSIP)
		at := func(*Actor, int) netip.AddrPort { return netip.AddrPortFrom(namedAddr, 5060) }
		a.guessAs(mask{pbx: pbx, transport: ami.TransportUDP}, at, always("1001"), 5, 3)
		if n := a.party.Offered; n != 3 || len(a.party.Compromises) != 1 {
			t.Fatalf("%d logins, compromises %v", n, a.party.Compromises)
		}

		test.d.At = a.world.now
		a.world.Decided(test.d)
		if got := a.party.Compromises[0].Told; got != test.want {
			t.Errorf("%+v: told is %t, want %t", test.d, got, test.want)
		}
	}
}

// naming returns a filter for the classes whose names contain some text.
func naming(text string) func(string) bool {
	return func(class string) bool { return strings.Contains(class, text) }
}

// TestNamedVictims: each kind of victim is as it should be, and somebody names it.
func TestNamedVictims(t *testing.T) {
	w := New(Options{Size: small, Seed: 1, Only: naming("named by")})
	l := &listener{world: w, named: make(map[*Party]bool), proved: make(map[*Party]int)}
	w.Run(l)

	kinds := 0
	for _, c := range w.Classes {
		if c.Role != Victim {
			continue
		}
		kinds++
		// Whoever is named in turn may be spared: an attacker ends once it has the password.
		one := !strings.HasPrefix(c.Name, "phones of a network") &&
			!strings.HasPrefix(c.Name, "strangers in turn")
		chanSIP := strings.Contains(c.Name, "named by maddr at chan_sip")
		if c.Goal.SIPOnly && chanSIP != (c.Goal.Longest == 10*time.Minute) {
			t.Errorf("%s: a ban may last %v", c.Name, c.Goal.Longest)
		}

		for i, p := range c.Parties {
			if one && !l.named[p] {
				t.Errorf("%s, party %d: nobody names it", c.Name, i)
			}
			if !c.Goal.SIPOnly && l.proved[p] == 0 {
				t.Errorf("%s, party %d: nothing proves it", c.Name, i)
			}
			if c.Goal.SIPOnly && p.Failures > 0 {
				t.Errorf("%s, party %d: it fails itself", c.Name, i)
			}
			if strings.HasPrefix(c.Name, "office") && p.Failures < 20 {
				t.Errorf("%s, party %d: %d failures, want those of a stale phone and of typos",
					c.Name, i, p.Failures)
			}
		}
	}
	if kinds != 24 {
		t.Errorf("%d kinds of victims, want 24", kinds)
	}
}

// listener notes the good parties whose addresses others name, and counts their successes.
type listener struct {
	world  *World
	named  map[*Party]bool
	proved map[*Party]int
}

func (l *listener) Hear(ev *recording.Event, _ netip.Addr) bool {
	addr := ev.Source.Addr()
	for _, p := range l.world.at[addr] {
		l.named[p] = l.named[p] || l.world.forged[addr]
		if ev.Kind == policy.KindSuccessfulAuth {
			l.proved[p]++
		}
	}
	return true
}

// TestSharedSources: users and strangers come from one address, over the transports that the class
// names.
func TestSharedSources(t *testing.T) {
	r := &byTransport{seen: make(map[string]int)}
	w := New(Options{Size: small, Seed: 1, Only: naming("hostile web page")})
	w.Run(r)

	if r.seen["SuccessfulAuth UDP"] == 0 || r.seen["InvalidAccountID WSS"] == 0 {
		t.Errorf("heard %v", r.seen)
	}
	for what := range r.seen {
		if what == "SuccessfulAuth WSS" || what == "InvalidAccountID UDP" {
			t.Errorf("heard %s", what)
		}
	}
	if len(w.Classes) != 2 || !w.Classes[0].Judged() || !w.Classes[1].Judged() {
		t.Errorf("%d classes, want 2 that are judged", len(w.Classes))
	}

	there := make(map[Role]int)
	for _, parties := range w.at {
		for _, p := range parties {
			there[p.Class.Role]++
		}
	}
	if len(w.at) != 1 || there[Good] != 1 || there[Attacker] != 8 {
		t.Errorf("%d addresses, parties there by role %v", len(w.at), there)
	}
}

// byTransport counts events by kind and transport.
type byTransport struct{ seen map[string]int }

func (b *byTransport) Hear(ev *recording.Event, _ netip.Addr) bool {
	b.seen[fmt.Sprint(ev.Kind, " ", ev.Transport)]++
	return true
}
