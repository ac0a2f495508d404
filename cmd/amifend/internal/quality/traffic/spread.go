package traffic

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/amifend/amifend/ami"
)

// botnetGoal is issue 3's "at least 40 % stopped", taken as a share of the hosts: that many are
// banned before they have made all their attempts. As a share of the attempts, most of these
// botnets miss the goal (`make quality` prints both). A first ban on forgeable evidence lasts ten
// minutes, so a host that pauses longer makes its next attempt. A host of a botnet that tries 50
// accounts is recognized by its second or third attempt.
var botnetGoal = Goal{Stopped: 0.4}

// spread attackers have many addresses.
func spread() []entry {
	const day = 24 * time.Hour
	var list []entry

	// One host with a whole IPv6 prefix.
	for _, bits := range []int{64, 56, 48} {
		for _, scan := range []bool{true, false} {
			list = append(list,
				rotator("rotating", rotating, bits, scan), rotator("evading", evading, bits, scan))
		}
	}

	// Many hosts, close together or far apart.
	list = append(list,
		gang("100 hosts of a /24, accounts", true), gang("100 hosts of a /24, passwords", false))

	// A botnet is easier to recognize by its target or by the neighbourhood of its hosts.
	for _, target := range []string{"one account", "50 accounts", "unknown names"} {
		for _, where := range []string{"random", "clustered", "among customers"} {
			// Where the hosts live matters most where each host alone looks harmless.
			if where == "among customers" && target != "50 accounts" {
				continue
			}
			list = append(list,
				botnet(botnetGoal, "botnet of an hour", target, where, time.Hour, false),
				botnet(botnetGoal, "botnet of a day", target, where, day, true),
				botnet(Goal{}, Limit+"botnet of a day, pausing", target, where, day, false))
		}
	}
	return list
}

// rotator is a class of attackers with an IPv6 prefix.
func rotator(
	how string, move func(netip.Prefix) func(*Actor, bool) netip.Addr, bits int, scan bool,
) entry {
	what := map[bool]string{true: "accounts", false: "passwords"}[scan]
	name := fmt.Sprintf("IPv6, %s in a /%d, %s", how, bits, what)

	return entry{name, Attacker, Goal{Banned: true}, func(s *scene) {
		for range s.Few {
			h := hunt{
				pbx: s.pbxs.hosted, transport: ami.TransportUDP, names: unknownAccount, n: s.Scan,
				gap: 5 * time.Second, address: move(stranger6(s.Rand, bits)),
			}
			if !scan {
				h.names = always(s.target(h.pbx))
			}

			s.start(s.party(), netip.AddrPort{}, s.sometime(1), func(a *Actor) {
				if scan {
					a.scan(h)
				} else {
					a.guessAll(guess{hunt: h})
				}
			})
		}
	}}
}

// gang is a class of attackers with a hundred hosts in a /24, three attempts each within an hour.
func gang(name string, scan bool) entry {
	return entry{name, Attacker, Goal{Banned: true}, func(s *scene) {
		for range s.Few {
			party := s.party()
			net := netip.PrefixFrom(stranger(s.Rand), 24).Masked()
			account := s.target(s.pbxs.hosted)
			since := s.sometime(1)

			for i := range 100 {
				from := netip.AddrPortFrom(v4(u32(net.Addr())+uint32(20+2*i)), 5060)
				after := since + time.Duration(s.Int64N(int64(time.Hour)))
				s.start(party, from, after, func(a *Actor) {
					h := hunt{
						pbx: s.pbxs.hosted, transport: ami.TransportUDP, n: 3, gap: 5 * time.Minute,
						onePort: true,
					}
					h.names = func(a *Actor, j int) string { return unknownAccount(a, 3*i+j) }

					if !scan {
						h.names = always(account)
						a.guessAll(guess{hunt: h})
						return
					}
					a.scan(h)
				})
			}
		}
	}}
}

// botnet is a class of one botnet over UDP. Each host has three attempts: one after the other when
// its turn comes, or at random times.
func botnet(goal Goal, name, target, where string, span time.Duration, turns bool) entry {
	return entry{fmt.Sprintf("%s, %s, %s", name, target, where), Attacker, goal, func(s *scene) {
		pbx, accounts := s.newSystem(50)
		for range 5 { // it has users, too
			accounts = append(accounts, s.target(pbx))
		}

		// All hosts take part within one span, so that only their number is unusual.
		addresses := s.infected(where)
		since := min(s.sometime(6), s.Span-span)
		for i, addr := range addresses {
			account := func(a *Actor, j int) string {
				switch target {
				case "one account":
					return accounts[len(accounts)-1]
				case "50 accounts":
					return accounts[a.IntN(len(accounts))]
				default:
					return fmt.Sprint("user", 3*i+j)
				}
			}
			s.start(s.party(), anyPort(s.Rand, addr), since, func(a *Actor) {
				times := a.times(3, span)
				if turns {
					times[1], times[2] = times[0]+20*time.Second, times[0]+40*time.Second
				}
				a.takeTurns(pbx, times, i, account)
			})
		}
	}}
}

// takeTurns makes the attempts of one host, the i-th, at some times after the start of the script.
func (a *Actor) takeTurns(
	pbx *PBX, times []time.Duration, i int, account func(*Actor, int) string,
) {
	now := time.Duration(0)
	for j, at := range times {
		if !a.sleep(at - now) {
			return
		}
		now = at

		r := guessRequest(account(a, j), fmt.Sprint("guess", i, j), a.newSession())
		r.transport = ami.TransportUDP
		a.attempt(func() answer { return a.login(pbx, r) })
	}
}

// infected returns the addresses of a botnet.
func (s *scene) infected(where string) []netip.Addr {
	var out []netip.Addr
	switch where {
	case "clustered": // networks of ten hosts each
		for range s.Hosts / 10 {
			net := u32(netip.PrefixFrom(stranger(s.Rand), 24).Masked().Addr())
			for _, i := range s.Perm(254)[:10] {
				out = append(out, v4(net+1+uint32(i)))
			}
		}
	case "among customers": // neighbours of those who mean well
		for range s.Hosts {
			s.given += 2
			out = append(out, v4(customers4+s.given))
			if s.IntN(10) == 0 {
				s.given++
				p := s.extra(neighbours, Good)
				s.settled(p, s.newLine(s.pbxs.hosted, ami.TransportUDP), v4(customers4+s.given))
			}
		}
		s.given++
	default:
		for range s.Hosts {
			out = append(out, stranger(s.Rand))
		}
	}
	return out
}

// times returns n random times within a span, in order.
func (a *Actor) times(n int, span time.Duration) []time.Duration {
	out := make([]time.Duration, n)
	for i := range out {
		out[i] = time.Duration(a.Int64N(int64(span)))
	}

	slices.Sort(out)
	return out
}
