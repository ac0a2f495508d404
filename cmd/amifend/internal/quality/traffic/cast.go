package traffic

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/amifend/amifend/policy"
)

// Size is how much traffic there is.
type Size struct {
	Span      time.Duration // from the first event to the last
	Homes     int           // of the provider
	Few       int           // parties of most classes
	Crowd     int           // phones of the largest offices
	Hosts     int           // of a botnet
	Scan      int           // accounts or passwords that a fast attacker tries
	Stale     time.Duration // until somebody mends a phone with a wrong password
	FloodRate int           // forged packets a second in a flood of ten minutes
}

// Week is the size that `make quality` plays. Short is that of the test.
var (
	Week = Size{
		Span: 7 * 24 * time.Hour, Homes: 4000, Few: 10, Crowd: 200, Hosts: 500, Scan: 1000,
		Stale: 48 * time.Hour, FloodRate: 100,
	}
	Short = Size{
		Span: 40 * time.Hour, Homes: 60, Few: 3, Crowd: 40, Hosts: 500, Scan: 100,
		Stale: 150 * time.Minute, FloodRate: 20,
	}
)

// Options are which traffic to generate.
type Options struct {
	Size Size
	Seed uint64
	Only func(class string) bool // if not nil, only these classes take part
}

// Trunk is the address of a telephone company that the operator put on the allowlist.
var Trunk = netip.MustParseAddr("192.0.2.200")

// Canaries are the accounts that the operator made for attackers to find. No PBX has them.
var Canaries = []string{"operator", "fax"}

// scene adds the parties of one class.
type scene struct {
	*World
	*rand.Rand
	Size
	class   *Class
	forgers *Class
	pbxs    *pbxs
}

// pbxs are the phone systems.
type pbxs struct {
	hosted *PBX   // PJSIP, of homes and offices
	byAuth *PBX   // PJSIP that knows its phones by auth_username
	legacy *PBX   // chan_sip
	ami    *PBX   // the manager interface of hosted
	more   uint16 // the number of the next one
}

// newPBX returns a PBX without accounts.
func newPBX(server uint16, service policy.Service) *PBX {
	return &PBX{
		server: server, addr: v4(192<<24 + 2<<8 + 10 + uint32(server)), service: service,
		passwords: make(map[string]string), asked: make(map[netip.Addr]recent),
	}
}

// entry is one class in the list of all.
type entry struct {
	name string
	role Role
	goal Goal
	add  func(*scene)
}

// cast fills the world.
func (w *World) cast(o Options) {
	p := &pbxs{
		hosted: newPBX(0, policy.ServicePJSIP), byAuth: newPBX(1, policy.ServicePJSIP),
		legacy: newPBX(2, policy.ServiceSIP), ami: newPBX(0, policy.ServiceAMI), more: 3,
	}
	p.byAuth.byAuth = true
	p.ami.passwords["freepbx"] = "secret"
	forgers := newClass("forgers", Forger, Goal{}, o.Seed)

	plain := slices.Concat(homes(), offices(), users(), forgedPhones(), forgedNetworks(),
		scanners(), guessers(), owners(), spread(), crackers(), limits())
	for part, entries := range [][]entry{Plain: plain, Naming: named(), Field: fieldReports()} {
		for _, e := range entries {
			if o.Only != nil && !o.Only(e.name) {
				continue
			}
			c := newClass(e.name, e.role, e.goal, o.Seed)
			c.Part = Part(part)
			w.Classes = append(w.Classes, c)
			e.add(&scene{World: w, Rand: c.rng, Size: o.Size, class: c, forgers: forgers, pbxs: p})
		}
	}

	// Forgers have no addresses that a tool could ban. Only their victims have a goal.
	if len(forgers.Parties) > 0 {
		forgers.Extra = true
		w.Classes = append(w.Classes, forgers)
	}
}

func newClass(name string, role Role, goal Goal, seed uint64) *Class {
	// Each class has its own random numbers, so that its plan does not depend on the other classes.
	h := fnv.New64a()
	h.Write([]byte(name))

	return &Class{
		Name: name, Role: role, Goal: goal,
		rng: rand.New(rand.NewPCG(seed, h.Sum64())),
	}
}

// party adds a party of the class.
func (s *scene) party() *Party {
	p := &Party{Class: s.class}
	s.class.Parties = append(s.class.Parties, p)
	return p
}

// neighbours are those near whom a botnet lives.
const neighbours = "neighbours of a botnet"

// extra adds a party to a class that goes along with another one.
func (s *scene) extra(name string, role Role) *Party {
	p := &Party{}

	for _, c := range s.Classes {
		if c.Name == name {
			p.Class = c
		}
	}
	if p.Class == nil {
		p.Class = newClass(name, role, Goal{}, s.Uint64())
		p.Class.Extra = true
		s.Classes = append(s.Classes, p.Class)
	}

	p.Class.Parties = append(p.Class.Parties, p)
	return p
}

// forger adds somebody who forges packets from a time on.
func (s *scene) forger(after time.Duration, script func(*Actor)) {
	p := &Party{Class: s.forgers}
	s.forgers.Parties = append(s.forgers.Parties, p)

	s.start(p, netip.AddrPort{}, after, script)
}

// newAccount adds an account to a PBX.
func (s *scene) newAccount(p *PBX) (name, password string) {
	name = fmt.Sprint(10000 + len(p.passwords))
	password = fmt.Sprintf("%016x", s.Uint64())
	p.passwords[name] = password
	return name, password
}

// newSystem adds a PBX with n accounts, the target of one campaign.
func (s *scene) newSystem(n int) (p *PBX, accounts []string) {
	p = newPBX(s.pbxs.more, policy.ServicePJSIP)
	s.pbxs.more++

	for range n {
		name, _ := s.newAccount(p)
		accounts = append(accounts, name)
	}
	return p, accounts
}

// sometime is a random time in the first half, but not in the first hours.
func (s *scene) sometime(hours int) time.Duration {
	first := time.Duration(hours) * time.Hour
	return first + time.Duration(s.Int64N(int64(s.Span/2-first)))
}
