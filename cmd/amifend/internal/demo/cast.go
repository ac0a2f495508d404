package demo

import (
	"fmt"
	"net/netip"
	"slices"
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
	// scope is that of the ban that an attacker earns: sip over UDP, which can be forged, else all.
	scope  firewall.Scope
	starts time.Duration
	every  time.Duration
	times  int // 0: until the end
	next   func(i int) try
	why    string // why a good actor is not banned
	alert  string // the kind of the alert that the part causes; "": none
	slow   bool   // that alert comes in a whole play only, since its rule measures seconds
}

// role selects how an actor is judged.
type role uint8

const (
	attacker role = iota
	caller        // every request must be answered
	user          // must be let in at the end
	phones        // each try must end by being let in
	// mixed: phones behind one address, one of which fails; each try must end with another one let
	// in.
	mixed
	forger // acts in the name of a good source, which must not suffer
)

// Times to wait for an answer.
const (
	patient      = 5 * time.Second // for clients that must be served, also on a slow machine
	impatient    = 250 * time.Millisecond
	impatientTLS = time.Second // a handshake takes longer
)

// trunk returns the address that the played administrator has allowed.
func trunk() netip.Prefix { return netip.MustParsePrefix("198.51.100.77/32") }

// cast returns all actors, in the order of entry.
func cast(office, branch *pbx) []actor {
	return slices.Concat(goodAlways(office), attackers(office, branch), goodLater(office))
}

// goodAlways returns the actors that behave well all the time.
func goodAlways(office *pbx) []actor {
	accounts := []string{"201", "202", "203", "204"}
	first := netip.MustParseAddr("10.20.0.8").As4()
	return []actor{
		{
			name: "the office's phones", role: phones, verb: "PHONES",
			entry:  "10.20.0.8 to .11 register at the office, and go on doing so",
			source: netip.MustParsePrefix("10.20.0.8/30"), every: 500 * time.Millisecond,
			why: "they do nothing wrong",
			next: func(i int) try {
				// Each phone has an address and an account of its own.
				addr, account := first, accounts[i%len(accounts)]
				addr[3] += byte(i % len(accounts))
				call := fmt.Sprintf("phone-%d", i)

				// As in SIP, the first request has no password: it is answered with a challenge.
				return try{
					from: netip.AddrFrom4(addr), to: office, transport: "UDP",
					patience: patient, requests: []request{
						{method: "REGISTER", account: account, call: call},
						{
							method: "REGISTER", account: account, call: call,
							password: office.accounts[account],
						},
					},
				}
			},
		},
		{
			name: "an allowlisted trunk", role: caller, verb: "TRUNK", source: trunk(),
			starts: 500 * time.Millisecond, every: 4 * time.Second,
			entry: "198.51.100.77, a provider, delivers calls; the callers' numbers look like " +
				"unknown accounts",
			why: "it is in [allow] prefixes",
			next: func(i int) try {
				return try{
					from: trunk().Addr(), to: office, transport: "UDP", patience: patient,
					requests: []request{
						{
							method: "INVITE", account: fmt.Sprintf("+4930123%03d", 100+i),
							call: fmt.Sprintf("trunk-%d", i),
						},
					},
				}
			},
		},
	}
}

// attackers returns the actors that must be banned.
func attackers(office, branch *pbx) []actor {
	scanner, cracker := netip.MustParseAddr("203.0.113.5"), netip.MustParseAddr("198.51.100.20")
	guesser, rotator := netip.MustParseAddr("203.0.113.77"), netip.MustParseAddr("2001:db8:bad::")
	return []actor{
		// The two PBXs see half of the attempts each: only together they make a ban in time.
		{
			name: "extension scanner", role: attacker, scope: firewall.ScopeSIP, verb: "ATTACK",
			source: single(scanner),
			entry:  "203.0.113.5 scans for extensions, at both PBXs in turn",
			starts: time.Second, every: 900 * time.Millisecond,
			next: func(i int) try {
				return try{
					from: scanner, to: []*pbx{office, branch}[i%2], transport: "UDP",
					patience: impatient, requests: []request{
						{
							method: "REGISTER", account: fmt.Sprint(100 + i),
							call: fmt.Sprintf("scan-%d", i),
						},
					},
				}
			},
		},
		// An account that exists raises another event than one that does not.
		{
			name: "password cracker", role: attacker, scope: firewall.ScopeSIP, verb: "ATTACK",
			source: single(cracker),
			entry:  "198.51.100.20 guesses the password of extension 203, which exists",
			starts: 8 * time.Second, every: 900 * time.Millisecond,
			next: func(i int) try {
				return try{
					from: cracker, to: office, transport: "UDP", patience: impatient,
					requests: []request{
						{
							method: "REGISTER", account: "203",
							password: fmt.Sprintf("guess%04d", i),
							call:     "crack",
						},
					},
				}
			},
		},
		// A handshake proves the source, so this one is banned from everything, not from SIP only.
		{
			name: "TLS guesser", role: attacker, scope: firewall.ScopeAll, verb: "ATTACK",
			source: single(guesser),
			entry: "203.0.113.77 tries accounts of the branch over TLS: such a source cannot " +
				"be forged",
			starts: 17 * time.Second, every: 1200 * time.Millisecond,
			next: func(i int) try {
				return try{
					from: guesser, to: branch, transport: "TLS", patience: impatientTLS,
					requests: []request{
						{
							method: "REGISTER", account: fmt.Sprintf("user%d", i),
							call: fmt.Sprintf("tls-%d", i),
						},
					},
				}
			},
		},
		// An IPv6 attacker has a whole /64, so that is what must be banned.
		{
			name: "IPv6 scanner", role: attacker, scope: firewall.ScopeSIP, verb: "ATTACK",
			source: netip.PrefixFrom(rotator, 64),
			entry:  "2001:db8:bad::/64 scans the office, from a new address for each request",
			starts: 24 * time.Second, every: 900 * time.Millisecond,
			next: func(i int) try {
				addr := rotator.As16()
				addr[14], addr[15] = byte(i>>8), byte(i)+1
				return try{
					from: netip.AddrFrom16(addr), to: office, transport: "UDP",
					patience: impatient, requests: []request{
						{
							method: "REGISTER", account: fmt.Sprint(1000 + i),
							call: fmt.Sprintf("six-%d", i),
						},
					},
				}
			},
		},
	}
}

// goodLater returns the actors that look bad for a while.
func goodLater(office *pbx) []actor {
	home, phone := netip.MustParseAddr("198.51.100.150"), netip.MustParseAddr("10.20.0.11")
	return []actor{
		household(office),

		// A person mistypes a password now and then, and must not be banned for it.
		{
			name: "a user with two typos", role: user, verb: "USER", source: single(home),
			entry:  "198.51.100.150 mistypes the password of 204 twice, then gets it right",
			starts: 31 * time.Second, every: 1500 * time.Millisecond, times: 3,
			why: "two wrong passwords weigh 1, the threshold is 3",
			next: func(i int) try {
				password := []string{"fgi", "figg", office.accounts["204"]}[i]
				return try{
					from: home, to: office, transport: "UDP", patience: patient,
					requests: []request{
						{
							method: "REGISTER", account: "204", password: password,
							call: fmt.Sprintf("home-%d", i),
						},
					},
				}
			},
		},
		// Over UDP anybody can send in a phone's name. That must not cut off the phone.
		{
			name: "a phone whose name is forged", role: forger, verb: "FORGED",
			source: single(phone),
			entry: "500 packets with unknown accounts in the name of 10.20.0.11, which is an " +
				"office phone",
			starts: 37 * time.Second, every: 200 * time.Millisecond, times: 50,
			why: "it had registered, which proves its address; what can be forged does not ban " +
				"it, but is told",
			alert: policy.RuleProvedGuessing.String(),
			next: func(i int) try {
				t := try{
					from: phone, to: office, transport: "UDP", forged: true,
					patience: impatient,
				}

				// Each request names another account, which would be a scan if it were the phone.
				for n := range 10 {
					t.requests = append(t.requests,
						request{
							method: "REGISTER", account: fmt.Sprint(5000 + 10*i + n),
							call: fmt.Sprintf("forged-%d-%d", i, n),
						})
				}

				return t
			},
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
		why:   "one account fails where others work: that is told, and bans nobody",
		alert: policy.RuleMisconfigured.String(), slow: true,
		next: func(i int) try {
			t := try{from: home, to: office, transport: "UDP", patience: patient}

			// The wrong one comes between the right ones, as from one router.
			for _, account := range []string{"211", "213", "212"} {
				call, password := fmt.Sprintf("%s-%d", account, i), office.accounts[account]
				if account == "213" {
					password = "cherry 2025"
				}

				t.requests = append(t.requests,
					request{method: "REGISTER", account: account, call: call},
					request{method: "REGISTER", account: account, call: call, password: password})
			}

			return t
		},
	}
}

// single returns the prefix of one address.
func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
