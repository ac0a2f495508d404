package firewall

import (
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

const (
	// limitedBits is the longest prefix that is one source.
	limitedBits = 64

	// iaxPort is that of IAX2, which sends voice there: no SIP server listens on it.
	iaxPort = 4569

	// leastRequest is the size of the shortest datagram, with its header, that counts as a request:
	// keep-alives and STUN are shorter.
	leastRequest = 60

	udpLengthOffset = 4  // RFC 768
	tcpFlagsOffset  = 13 // RFC 9293
	flagSYN         = 0x02
	flagACK         = 0x10

	answerTrying = "SIP/2.0 100 "
)

// limiterRules makes the rules and sets of the limiter.
type limiterRules struct {
	Limiter
	table   *nftables.Table
	ports   PortRanges // of SIP
	streams bool
}

func (t *Table) limiterRules() *limiterRules {
	return &limiterRules{
		Limiter: t.limiter, table: t.table, ports: t.ports.SIP, streams: t.limits.Streams,
	}
}

// limiterSets returns the sets of the limiter, none if there is none.
func (t *Table) limiterSets() []*nftables.Set {
	if !t.limits.Limits {
		return nil
	}
	return t.limiterRules().sets()
}

func limiterCounters() []string {
	return []string{counterLimited, counterOver, counterStrangers, counterStrangersPassed}
}

// sets returns all sets of the limiter.
func (r *limiterRules) sets() []*nftables.Set {
	sets := []*nftables.Set{r.lease(setArmed), r.lease(setDrops)}
	for _, name := range []string{
		setKnown, setServed, setMeter, setMeterSYN, setLimited, setOver,
	} {
		sets = append(sets, r.set(name, false), r.set(name, true))
	}
	return sets
}

// lease returns a set of protocols whose elements end.
func (r *limiterRules) lease(name string) *nftables.Set {
	comment := "amifend: the limiter measures these"
	if name == setDrops {
		comment = "amifend: the limiter drops of these"
	}
	return &nftables.Set{
		Table: r.table, Name: name, KeyType: nftables.TypeInetProto, HasTimeout: true, Comment: comment,
	}
}

// set returns a set of sources.
func (r *limiterRules) set(name string, is6 bool) *nftables.Set {
	set := &nftables.Set{
		Table: r.table, Name: nameOf(name, is6), KeyType: addrType(is6),
		KeyByteOrder: binaryutil.BigEndian, Size: uint32(r.Size),
	}
	expiring := func(d time.Duration, comment string) {
		set.Dynamic, set.HasTimeout, set.Timeout, set.Comment = true, true, d, comment
	}

	switch name {
	case setKnown:
		set.Comment = "amifend: sources that logged in, not limited"
	case setServed:
		expiring(servedTime, "amifend: sources that were served, not limited")
	case setMeter:
		expiring(meterTime, "amifend: strangers by their requests")
	case setMeterSYN:
		expiring(meterTime, "amifend: strangers by their connections")
	case setLimited:
		expiring(limitedTime, "amifend: sources that were limited, and how often")
		set.Counter = true
	case setOver:
		expiring(limitedTime, "amifend: sources that would have been limited")
		set.Counter = true
	}
	return set
}

func nameOf(set string, is6 bool) string {
	if is6 {
		return set + "6"
	}
	return set + "4"
}

// entry returns the rules at the end of chain sip, where no ban matched. The limiter measures only
// while it is armed: the elements of that set end by themselves.
func (r *limiterRules) entry() (rules [][]expr.Any) {
	enter := func(p PortRange, chain string) {
		exprs := jump(p, chain)
		to := exprs[len(exprs)-1]
		armed := []expr.Any{
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, lookup(setArmed), to,
		}
		rules = append(rules, append(exprs[:len(exprs)-1:len(exprs)-1], armed...))
	}
	for _, p := range r.datagramPorts() {
		enter(p, chainLimiterUDP)
	}
	for _, p := range r.ports.merged(TCP) {
		enter(p, chainLimiterTCP)
	}
	return rules
}

// datagramPorts returns the ports of SIP over UDP: those of scope sip without that of IAX2.
func (r *limiterRules) datagramPorts() (ports []PortRange) {
	for _, p := range r.ports.merged(UDP) {
		if p.First > iaxPort || p.Last < iaxPort {
			ports = append(ports, p)
			continue
		}
		if p.First < iaxPort {
			ports = append(ports, PortRange{UDP, p.First, iaxPort - 1})
		}
		if p.Last > iaxPort {
			ports = append(ports, PortRange{UDP, iaxPort + 1, p.Last})
		}
	}
	return ports
}

// chains returns the chains with their rules. A chain comes before those that it jumps to.
func (r *limiterRules) chains() []chainRules {
	// What leaves: whoever gets an answer 100 is served.
	chains := []chainRules{
		{name: chainServed, rules: r.outgoing(), hook: nftables.ChainHookOutput},
		{name: chainServedPassing, rules: r.outgoing(), hook: nftables.ChainHookForward},
		{name: chainServedUDP, rules: trying(expr.PayloadBaseTransportHeader, udpHeader)},
	}
	if r.streams {
		chains = append(chains, chainRules{name: chainServedTCP, rules: trying(innerHeader, 0)})
	}
	chains = append(chains, chainRules{name: chainServe, rules: [][]expr.Any{
		r.update(setServed, false, true), r.update(setServed, true, true),
	}})

	// What comes in, from chain sip: see entry.
	chains = append(chains,
		chainRules{name: chainLimiterUDP, rules: datagrams()},
		chainRules{name: chainLimiterTCP, rules: segments(r.streams)},
		chainRules{name: chainLimitRequests, rules: r.limit(setMeter, chainStrangersRequests)},
		chainRules{name: chainLimitSYNs, rules: r.limit(setMeterSYN, chainStrangersSYNs)},
		chainRules{name: chainStrangersRequests, rules: r.strangers()},
		chainRules{name: chainStrangersSYNs, rules: r.strangers()})

	// A packet beyond a limit is dropped or passes. It is counted either way.
	return append(chains,
		chainRules{name: chainManyStrangers, rules: [][]expr.Any{
			append(dropping(), count(counterStrangers), verdict(expr.VerdictDrop)),
			{count(counterStrangersPassed)},
		}},
		chainRules{name: chainOver, rules: [][]expr.Any{
			append(dropping(), &expr.Verdict{Kind: expr.VerdictGoto, Chain: chainLimited}),
			r.update(setOver, false, false), r.update(setOver, true, false),
			{count(counterOver)},
		}},
		chainRules{name: chainLimited, rules: [][]expr.Any{
			r.update(setLimited, false, false), r.update(setLimited, true, false),
			{count(counterLimited), verdict(expr.VerdictDrop)},
		}})
}

// outgoing sends the packets from the SIP ports into a chain for their protocol. Every packet that
// leaves the machine passes these rules.
func (r *limiterRules) outgoing() [][]expr.Any {
	rules := [][]expr.Any{{
		&expr.Meta{Key: expr.MetaKeyOIF, Register: 1},
		equal(binaryutil.NativeEndian.PutUint32(loopbackIndex)),
		verdict(expr.VerdictAccept),
	}}
	for _, p := range r.datagramPorts() {
		rules = append(rules, jumpFrom(p, chainServedUDP))
	}
	if r.streams {
		for _, p := range r.ports.merged(TCP) {
			rules = append(rules, jumpFrom(p, chainServedTCP))
		}
	}
	return rules
}

// trying goes on with an answer 100. Asterisk gives it to calls that it accepts only: the strangers
// among them are trunks that it knows by their address.
func trying(base expr.PayloadBase, offset uint32) [][]expr.Any {
	return [][]expr.Any{{
		&expr.Payload{
			DestRegister: 1, Base: base, Offset: offset, Len: uint32(len(answerTrying)),
		},
		equal([]byte(answerTrying)),
		&expr.Verdict{Kind: expr.VerdictGoto, Chain: chainServe},
	}}
}

// datagrams lets go what is no request. What the list does not name counts: Asterisk takes requests
// that begin with blanks, or with small letters.
func datagrams() [][]expr.Any {
	rules := [][]expr.Any{{
		&expr.Payload{
			DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: udpLengthOffset, Len: 2,
		},
		&expr.Cmp{
			Op: expr.CmpOpLt, Register: 1, Data: binaryutil.BigEndian.PutUint16(leastRequest),
		},
		verdict(expr.VerdictReturn),
	}}
	for _, start := range []string{"SIP/", "ACK ", "BYE ", "CANC"} {
		rules = append(rules, []expr.Any{
			&expr.Payload{
				DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: udpHeader, Len: 4,
			},
			equal([]byte(start)), verdict(expr.VerdictReturn),
		})
	}
	return append(rules, []expr.Any{
		&expr.Verdict{Kind: expr.VerdictGoto, Chain: chainLimitRequests},
	})
}

// segments tells new connections and requests apart from the rest. Four capital letters begin each
// request of SIP that counts, and one of 4,096 segments of TLS. A sender that evades this has an
// address that it cannot choose, so it is banned for what it does.
func segments(streams bool) [][]expr.Any {
	rules := [][]expr.Any{{
		&expr.Payload{
			DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: tcpFlagsOffset, Len: 1,
		},
		&expr.Bitwise{
			SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{flagSYN | flagACK},
			Xor: []byte{0},
		},
		equal([]byte{flagSYN}),
		&expr.Verdict{Kind: expr.VerdictGoto, Chain: chainLimitSYNs},
	}}
	if !streams {
		return rules
	}
	start := func() expr.Any {
		return &expr.Payload{DestRegister: 1, Base: innerHeader, Offset: 0, Len: 4}
	}
	return append(rules,
		[]expr.Any{start(), equal([]byte("CANC")), verdict(expr.VerdictReturn)},
		[]expr.Any{
			start(),
			&expr.Bitwise{
				SourceRegister: 1, DestRegister: 1, Len: 4, Mask: []byte{0xe0, 0xe0, 0xe0, 0xe0},
				Xor: make([]byte, 4),
			},
			equal([]byte{0x40, 0x40, 0x40, 0x40}),
			&expr.Verdict{Kind: expr.VerdictGoto, Chain: chainLimitRequests},
		})
}

// limit measures strangers in the sets of a meter.
func (r *limiterRules) limit(meter, strangers string) (rules [][]expr.Any) {
	for _, set := range []string{setKnown, setServed} {
		for _, is6 := range []bool{false, true} {
			rules = append(rules, append(limitedSource(is6), lookup(nameOf(set, is6)),
				verdict(expr.VerdictReturn)))
		}
	}

	// A lookup of an element that is there would measure it. An inverted one does not.
	for _, is6 := range []bool{false, true} {
		rules = append(rules, append(limitedSource(is6),
			&expr.Lookup{SourceRegister: 1, SetName: nameOf(meter, is6), Invert: true},
			&expr.Verdict{Kind: expr.VerdictJump, Chain: strangers}))
	}
	for _, is6 := range []bool{false, true} {
		rules = append(rules, append(limitedSource(is6),
			&expr.Dynset{
				SrcRegKey: 1, SetName: nameOf(meter, is6), Operation: unix.NFT_DYNSET_OP_UPDATE,
				Exprs: []expr.Any{&expr.Limit{
					Type: expr.LimitTypePkts, Rate: uint64(r.PerMinute), Over: true,
					Unit: expr.LimitTimeMinute, Burst: r.Burst,
				}},
			},
			&expr.Verdict{Kind: expr.VerdictGoto, Chain: chainOver}))
	}
	return rules
}

// strangers limits the sources that are not measured yet, all of them together.
func (r *limiterRules) strangers() [][]expr.Any {
	return [][]expr.Any{{
		&expr.Limit{
			Type: expr.LimitTypePkts, Rate: uint64(r.StrangersPerSecond), Over: true,
			Unit: expr.LimitTimeSecond, Burst: r.StrangersBurst,
		},
		&expr.Verdict{Kind: expr.VerdictGoto, Chain: chainManyStrangers},
	}}
}

// update adds the source of a packet, or its destination, to a set, or refreshes it.
func (r *limiterRules) update(set string, is6, to bool) []expr.Any {
	load := limitedSource(is6)
	if to {
		load = slices.Concat(destination(is6), load[3:]) // the mask
	}
	return append(load, &expr.Dynset{
		SrcRegKey: 1, SetName: nameOf(set, is6), Operation: unix.NFT_DYNSET_OP_UPDATE,
	})
}

func limitedSource(is6 bool) []expr.Any { return source(is6, min(bitsOf(is6), limitedBits)) }

// dropping matches while packets are to be dropped.
func dropping() []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, lookup(setDrops)}
}

func count(counter string) expr.Any {
	return &expr.Objref{Type: unix.NFT_OBJECT_COUNTER, Name: counter}
}
