package demo

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// wholePlay is the length of the play as written below. A demo of another length plays it faster or
// slower.
const wholePlay = time.Minute

// actor is one part of the play.
type actor struct {
	name   string
	verb   string // verb of the line that reports the entry
	entry  string // text of that line
	source netip.Prefix
	role   role
	scope  firewall.Scope // of the ban that an attacker must get: sip over UDP, all otherwise
	starts time.Duration
	every  time.Duration
	times  int             // 0: until the end
	next   func(i int) try // the i-th try
	why    string          // why a good actor is not banned
	alert  string          // the kind of the alert that the part causes; "": none
}

// role selects how an actor is judged.
type role uint8

const (
	attacker role = iota
	caller        // every request must be answered
	user          // must be let in at the end
	phones        // each try must end by being let in
	mixed         // phones of one address, one of which fails; the last of each try must be let in
	forger        // acts in the name of a good source, which must not suffer
)

// Times to wait for an answer.
const (
	patient      = 5 * time.Second // for clients that must be served, also on a slow machine
	impatient    = 250 * time.Millisecond
	impatientTLS = time.Second // a handshake takes longer
)

// trunk returns the address that the played administrator has allowed.
func trunk() netip.Prefix { return netip.MustParsePrefix("198.51.100.77/32") }

// cast returns all actors: first those that behave well all the time, then the attackers, then
// those that look bad for a while.
func cast(office, branch *pbx) []actor {
	return []actor{
		officePhones(office),
		allowedTrunk(office),

		extensionScanner(office, branch),
		passwordCracker(office),
		tlsGuesser(branch),
		ipv6Scanner(office),

		household(office),
		typist(office),
		forgedPhone(office),
	}
}

// register returns a REGISTER without credentials, which a PBX answers with a challenge.
func register(account, call string) request {
	return request{method: "REGISTER", account: account, call: call}
}

// registerWith returns a REGISTER with a password.
func registerWith(account, call, password string) request {
	return request{method: "REGISTER", account: account, call: call, password: password}
}

// overUDP returns requests of one host over UDP, the transport of most phones and scanners.
func overUDP(from netip.Addr, to *pbx, patience time.Duration, requests ...request) try {
	return try{from: from, to: to, transport: "UDP", patience: patience, requests: requests}
}

// officePhones returns the phones that register all the time, so that a ban that hits them shows.
func officePhones(office *pbx) actor {
	accounts := []string{"201", "202", "203", "204"}
	first := netip.MustParseAddr("10.20.0.8").As4()

	return actor{
		name: "the office's phones", role: phones, verb: "PHONES",
		entry:  "10.20.0.8 to .11 register at the office, and go on doing so",
		source: netip.MustParsePrefix("10.20.0.8/30"), every: 500 * time.Millisecond,
		why: "they do nothing wrong",
		next: func(i int) try {
			// Each phone has an address and an account of its own.
			addr, account := first, accounts[i%len(accounts)]
			addr[3] += byte(i % len(accounts))
			call := fmt.Sprintf("phone-%d", i)

			// As in SIP, the first request has no password, and is answered with a challenge.
			return overUDP(netip.AddrFrom4(addr), office, patient, register(account, call),
				registerWith(account, call, office.accounts[account]))
		},
	}
}

// allowedTrunk returns a provider that only the allowlist keeps from being banned.
func allowedTrunk(office *pbx) actor {
	return actor{
		name: "an allowlisted trunk", role: caller, verb: "TRUNK", source: trunk(),
		starts: 500 * time.Millisecond, every: 4 * time.Second,
		entry: "198.51.100.77, a provider, delivers calls; the callers' numbers look like " +
			"unknown accounts",
		why: "it is in [allow] prefixes",
		next: func(i int) try {
			number, call := fmt.Sprintf("+4930123%03d", 100+i), fmt.Sprintf("trunk-%d", i)
			return overUDP(trunk().Addr(), office, patient,
				request{method: "INVITE", account: number, call: call})
		},
	}
}

// extensionScanner returns an attacker of both PBXs. Each PBX sees half of its attempts: only
// together they make a ban in time.
func extensionScanner(office, branch *pbx) actor {
	addr := netip.MustParseAddr("203.0.113.5")
	return actor{
		name: "extension scanner", role: attacker, scope: firewall.ScopeSIP, verb: "ATTACK",
		source: single(addr),
		entry:  "203.0.113.5 scans for extensions, at both PBXs in turn",
		starts: time.Second, every: 900 * time.Millisecond,
		next: func(i int) try {
			scan := register(fmt.Sprint(100+i), fmt.Sprintf("scan-%d", i))
			return overUDP(addr, []*pbx{office, branch}[i%2], impatient, scan)
		},
	}
}

// passwordCracker returns an attacker of an account that exists: its requests raise other events
// than those of the scanner.
func passwordCracker(office *pbx) actor {
	addr := netip.MustParseAddr("198.51.100.20")
	return actor{
		name: "password cracker", role: attacker, scope: firewall.ScopeSIP, verb: "ATTACK",
		source: single(addr),
		entry:  "198.51.100.20 guesses the password of extension 203, which exists",
		starts: 8 * time.Second, every: 900 * time.Millisecond,
		next: func(i int) try {
			guess := registerWith("203", "crack", fmt.Sprintf("guess%04d", i))
			return overUDP(addr, office, impatient, guess)
		},
	}
}

// tlsGuesser returns an attacker over TLS. The handshake proves its address, so it is banned from
// everything and not from SIP only.
func tlsGuesser(branch *pbx) actor {
	addr := netip.MustParseAddr("203.0.113.77")
	return actor{
		name: "TLS guesser", role: attacker, scope: firewall.ScopeAll, verb: "ATTACK",
		source: single(addr),
		entry: "203.0.113.77 tries accounts of the branch over TLS: such a source cannot " +
			"be forged",
		starts: 17 * time.Second, every: 1200 * time.Millisecond,
		next: func(i int) try {
			guess := register(fmt.Sprintf("user%d", i), fmt.Sprintf("tls-%d", i))
			return try{
				from: addr, to: branch, transport: "TLS", patience: impatientTLS,
				requests: []request{guess},
			}
		},
	}
}

// ipv6Scanner returns an attacker that changes its address within its /64. So the /64 must be
// banned.
func ipv6Scanner(office *pbx) actor {
	network := netip.MustParseAddr("2001:db8:bad::")
	return actor{
		name: "IPv6 scanner", role: attacker, scope: firewall.ScopeSIP, verb: "ATTACK",
		source: netip.PrefixFrom(network, 64),
		entry:  "2001:db8:bad::/64 scans the office, from a new address for each request",
		starts: 24 * time.Second, every: 900 * time.Millisecond,
		next: func(i int) try {
			addr := network.As16()
			addr[14], addr[15] = byte(i>>8), byte(i)+1

			scan := register(fmt.Sprint(1000+i), fmt.Sprintf("six-%d", i))
			return overUDP(netip.AddrFrom16(addr), office, impatient, scan)
		},
	}
}

// household returns a home with three phones, one of which has an old password.
func household(office *pbx) actor {
	home := netip.MustParseAddr("198.51.100.200")
	return actor{
		name: "a home with an old password", role: mixed, verb: "HOME", source: single(home),
		entry:  "198.51.100.200, a home: phones 211 and 212 register, 213 has an old password",
		starts: 12 * time.Second, every: 7 * time.Second, times: 7,
		why: "one account fails where others work: that bans nobody, and raises an alert " +
			"when it goes on for ten minutes",
		next: func(i int) try {
			t := overUDP(home, office, patient)

			// The phone that fails comes between those that work, as behind one router.
			for _, account := range []string{"211", "213", "212"} {
				call, password := fmt.Sprintf("%s-%d", account, i), office.accounts[account]
				if account == "213" {
					password = "cherry 2025"
				}

				t.requests = append(t.requests,
					register(account, call),
					registerWith(account, call, password))
			}

			return t
		},
	}
}

// typist returns a person who mistypes a password, and must not be banned for it.
func typist(office *pbx) actor {
	home := netip.MustParseAddr("198.51.100.150")
	return actor{
		name: "a user with two typos", role: user, verb: "USER", source: single(home),
		entry:  "198.51.100.150 mistypes the password of 204 twice, then gets it right",
		starts: 31 * time.Second, every: 1500 * time.Millisecond, times: 3,
		why: "two wrong passwords weigh 1, the threshold is 3",
		next: func(i int) try {
			password := []string{"fgi", "figg", office.accounts["204"]}[i]
			call := fmt.Sprintf("home-%d", i)
			return overUDP(home, office, patient, registerWith("204", call, password))
		},
	}
}

// forgedPhone returns an attacker that sends in the name of an office phone, as anybody can over
// UDP. That must not cut off the phone.
func forgedPhone(office *pbx) actor {
	phone := netip.MustParseAddr("10.20.0.11")
	return actor{
		name: "a phone whose name is forged", role: forger, verb: "FORGED",
		source: single(phone),
		entry: "500 packets with unknown accounts in the name of 10.20.0.11, which is an " +
			"office phone",
		starts: 37 * time.Second, every: 200 * time.Millisecond, times: 50,
		why: "it had registered, which proves its address; what can be forged raises an alert, " +
			"but does not ban it",
		alert: policy.RuleProvedGuessing.String(),
		next: func(i int) try {
			t := overUDP(phone, office, impatient)
			t.forged = true

			// Each request names another account, which would be a scan if it were the phone.
			for n := range 10 {
				account, call := fmt.Sprint(5000+10*i+n), fmt.Sprintf("forged-%d-%d", i, n)
				t.requests = append(t.requests, register(account, call))
			}

			return t
		},
	}
}

// single returns the prefix of one address.
func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
