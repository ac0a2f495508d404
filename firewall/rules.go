package firewall

import (
	"net"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Offsets and types on the wire.
const (
	saddr4Offset   = 12 // RFC 791
	saddr6Offset   = 8  // RFC 8200
	hopLimitOffset = 7  // RFC 8200
	dportOffset    = 2  // RFC 768, RFC 9293

	icmp6TooBig = 2 // RFC 4443

	loopbackIndex = 1 // lo has it in every network namespace
)

// discoveryTypes returns the types of RFC 4861 without redirect: a banned host must not redirect
// us.
func discoveryTypes() []byte {
	// router solicitation and advertisement, neighbour solicitation and advertisement
	return []byte{133, 134, 135, 136}
}

// chainRules are the rules of one chain.
type chainRules struct {
	name  string
	rules [][]expr.Any
	hook  *nftables.ChainHook // nil: only other chains lead to it
}

// priority returns the priority of a base chain.
func (r chainRules) priority() int32 {
	if r.name == chainPre {
		return chainPriority
	}
	return answerPriority
}

// isIn reports whether a chain of the kernel has the hook of r, and accepts what no rule decides.
func (r chainRules) isIn(c *nftables.Chain) bool {
	if r.hook == nil {
		return c.Hooknum == nil
	}
	return r.hasHookOf(c) && c.Policy != nil && *c.Policy == nftables.ChainPolicyAccept
}

func (r chainRules) hasHookOf(c *nftables.Chain) bool {
	return c.Hooknum != nil && c.Priority != nil && c.Type == nftables.ChainTypeFilter &&
		*c.Hooknum == *r.hook && int32(*c.Priority) == r.priority()
}

// rules returns the rules of all chains, the base chain first. The ports are ranges in rules of
// their own, for a reason: while a rule with an anonymous interval set is laid out anew, packets
// pass it unmatched (seen on Linux 6.18: dozens in a millisecond of flood). Plain sets and ranges
// have no such gap.
func (t *Table) rules(discovery *nftables.Set) []chainRules {
	pre := [][]expr.Any{
		{
			&expr.Meta{Key: expr.MetaKeyIIF, Register: 1},
			equal(binaryutil.NativeEndian.PutUint32(loopbackIndex)),
			verdict(expr.VerdictAccept),
		},
		neighbourDiscovery(discovery),
		append(icmp6Type(), equal([]byte{icmp6TooBig}), verdict(expr.VerdictAccept)),
		append(source(false, 32), lookup(setAllow4), verdict(expr.VerdictAccept)),
		append(source(true, 128), lookup(setAllow6), verdict(expr.VerdictAccept)),
		append(source(false, 32), lookup(setDeny4), countDenied(), verdict(expr.VerdictDrop)),
		append(source(true, 128), lookup(setDeny6), countDenied(), verdict(expr.VerdictDrop)),
	}
	pre = slices.Concat(pre, t.feedRules())

	// Rules of scope all stand in the base chain: one lookup a set for every packet. Those of the
	// other scopes are reached by packets to their ports only.
	pre = slices.Concat(pre, t.drops(ScopeAll), t.jumps(ScopeSIP, chainSIP),
		t.jumps(ScopeStream, chainStream))
	sip := t.drops(ScopeSIP)
	if t.limits.Limits {
		sip = append(sip, t.limiterRules().entry()...)
	}
	chains := []chainRules{
		{name: chainPre, rules: pre, hook: nftables.ChainHookPrerouting},
		{name: chainSIP, rules: sip},
		{name: chainStream, rules: t.drops(ScopeStream)},
	}
	if t.able().Counts {
		chains = append(chains, t.sensorRules().chains()...)
	}
	if t.limits.Limits {
		chains = append(chains, t.limiterRules().chains()...)
	}
	return chains
}

// drops returns the rules that look up the sets of a scope.
func (t *Table) drops(scope Scope) (rules [][]expr.Any) {
	for _, s := range t.sets {
		if s.scope == scope {
			rules = append(rules, append(source(s.is6, s.bits), lookup(s.name), &expr.Counter{},
				verdict(expr.VerdictDrop)))
		}
	}
	return rules
}

// neighbourDiscovery accepts neighbour discovery with hop limit 255 only, as RFC 4861 demands: only
// a host on the link can send that.
func neighbourDiscovery(types *nftables.Set) []expr.Any {
	return append(icmp6Type(),
		&expr.Lookup{SourceRegister: 1, SetName: types.Name, SetID: types.ID},
		&expr.Payload{
			DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: hopLimitOffset,
			Len: 1,
		},
		equal([]byte{255}),
		verdict(expr.VerdictAccept),
	)
}

func icmp6Type() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		equal([]byte{unix.NFPROTO_IPV6}),
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		equal([]byte{unix.IPPROTO_ICMPV6}),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1},
	}
}

// jumps returns the rules that send the packets to the ports of a scope into its chain.
func (t *Table) jumps(scope Scope, chain string) (rules [][]expr.Any) {
	ports := t.ports.of(scope)
	for _, r := range append(ports.merged(UDP), ports.merged(TCP)...) {
		rules = append(rules, jump(r, chain))
	}
	return rules
}

func jump(r PortRange, chain string) []expr.Any {
	first, last := binaryutil.BigEndian.PutUint16(r.First), binaryutil.BigEndian.PutUint16(r.Last)
	var port expr.Any = &expr.Range{Op: expr.CmpOpEq, Register: 1, FromData: first, ToData: last}
	if r.First == r.Last {
		port = equal(first)
	}

	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		equal([]byte{byte(r.Protocol)}),
		&expr.Payload{
			DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: dportOffset,
			Len: 2,
		},
		port,
		&expr.Verdict{Kind: expr.VerdictJump, Chain: chain},
	}
}

// source loads the first bits of the source address into register 1.
func source(is6 bool, bits int) []expr.Any {
	family, offset, size := byte(unix.NFPROTO_IPV4), uint32(saddr4Offset), 4
	if is6 {
		family, offset, size = unix.NFPROTO_IPV6, saddr6Offset, 16
	}

	// The table is inet, so the family must be checked before the header is read.
	exprs := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		equal([]byte{family}),
		&expr.Payload{
			DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset,
			Len: uint32(size),
		},
	}

	if bits < size*8 {
		exprs = append(exprs, &expr.Bitwise{
			SourceRegister: 1, DestRegister: 1, Len: uint32(size),
			Mask: net.CIDRMask(bits, size*8), Xor: make([]byte, size),
		})
	}

	return exprs
}

func countDenied() expr.Any {
	return &expr.Objref{
		Type: unix.NFT_OBJECT_COUNTER,
		Name: counterDenied,
	}
}

func lookup(set string) expr.Any { return &expr.Lookup{SourceRegister: 1, SetName: set} }

func equal(data []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data} }

func verdict(kind expr.VerdictKind) expr.Any { return &expr.Verdict{Kind: kind} }
