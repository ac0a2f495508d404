package firewall

import (
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Offsets and registers of the sensor's rules.
const (
	daddr4Offset = 16 // RFC 791
	daddr6Offset = 24 // RFC 8200
	sportOffset  = 0
	udpHeader    = 8
	frameHeader  = 4 // of WebSocket, for a message of 126 to 65,535 bytes from a server (RFC 6455)

	// innerHeader is the data of a TCP segment, for which the library has no constant.
	innerHeader = expr.PayloadBase(3)

	reg32 = 8 // NFT_REG32_00: the first register of four bytes
)

// The first bytes of the answers that matter. Each is of 12 bytes.
const (
	answerUnauthorized = "SIP/2.0 401 "
	answerProxyAuth    = "SIP/2.0 407 "
	answerOK           = "SIP/2.0 200 "
)

// sensorRules makes the rules of the sensor.
type sensorRules struct {
	table         *nftables.Table
	group         uint16
	ports         Ports
	streams, logs bool
}

func (t *Table) sensorRules() *sensorRules {
	return &sensorRules{
		table: t.table, group: t.group, ports: t.ports, streams: t.support.Streams,
		logs: t.support.Logs,
	}
}

// sets returns all sets of the sensor.
func (r *sensorRules) sets() []*nftables.Set {
	return []*nftables.Set{
		refusedSet(r.table, false), refusedSet(r.table, true),
		againSet(r.table, false), againSet(r.table, true),
		watchedSet(r.table, false), watchedSet(r.table, true),
	}
}

// chains returns the chains with their rules. A chain comes before those that it jumps to.
func (r *sensorRules) chains() []chainRules {
	chains := []chainRules{
		{name: chainAnswers, rules: r.entry(), hook: nftables.ChainHookOutput},
		{name: chainPassing, rules: r.entry(), hook: nftables.ChainHookForward},
		{name: chainAnswersUDP, rules: r.byStatus(expr.PayloadBaseTransportHeader, udpHeader)},
	}
	if r.streams {
		chains = append(chains,
			chainRules{name: chainAnswersTCP, rules: r.byStatus(innerHeader, 0)},
			chainRules{name: chainAnswersWS, rules: r.byStatus(innerHeader, frameHeader)})
	}

	chains = append(chains, chainRules{name: chainRefused, rules: r.refused()})
	if r.logs {
		chains = append(chains,
			chainRules{name: chainAccepted, rules: r.watched(expr.VerdictGoto)},
			chainRules{name: chainWatched, rules: [][]expr.Any{r.log()}},
			chainRules{name: chainChallenges, rules: r.challenges(), hook: nftables.ChainHookOutput},
			chainRules{name: chainChallenged, rules: r.challenged()})
	}
	return chains
}

// challenges sends every refusal over UDP on. A sender can have it leave from another port than the
// request came to, and go to this machine itself. So no port and no interface is compared.
func (r *sensorRules) challenges() [][]expr.Any {
	const refusals = len(answerUnauthorized) - 2 // "SIP/2.0 40": one rule for every packet of UDP
	return [][]expr.Any{{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		equal([]byte{byte(UDP)}),
		&expr.Payload{
			DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: udpHeader, Len: uint32(refusals),
		},
		equal([]byte(answerUnauthorized[:refusals])),
		&expr.Verdict{Kind: expr.VerdictGoto, Chain: chainChallenged},
	}}
}

// challenged drops the refusals that are too long, and logs the others. There is no limit: a nonce that
// left unseen could prove what it must not.
func (r *sensorRules) challenged() (rules [][]expr.Any) {
	const lengthOffset = 4 // RFC 768
	for _, text := range []string{answerUnauthorized, answerProxyAuth} {
		is := []expr.Any{
			&expr.Payload{
				DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: udpHeader, Len: uint32(len(text)),
			},
			equal([]byte(text)),
		}
		rules = append(rules,
			append(slices.Clone(is),
				&expr.Payload{
					DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: lengthOffset, Len: 2,
				},
				&expr.Cmp{
					Op: expr.CmpOpGt, Register: 1, Data: binaryutil.BigEndian.PutUint16(longestChallenge),
				},
				verdict(expr.VerdictDrop)),
			append(slices.Clone(is), &expr.Log{
				Key:   1<<unix.NFTA_LOG_GROUP | 1<<unix.NFTA_LOG_SNAPLEN | 1<<unix.NFTA_LOG_QTHRESHOLD,
				Group: ChallengeGroup(r.group), Snaplen: challengeBytes, QThreshold: 1,
			}))
	}
	return rules
}

// entry sends the packets from the ports of SIP into a chain for their protocol. Every packet that
// leaves the machine passes these rules, so they compare nothing else.
func (r *sensorRules) entry() [][]expr.Any {
	rules := [][]expr.Any{{
		&expr.Meta{Key: expr.MetaKeyOIF, Register: 1},
		equal(binaryutil.NativeEndian.PutUint32(loopbackIndex)),
		verdict(expr.VerdictAccept),
	}}
	for _, p := range r.ports.SIP.merged(UDP) {
		rules = append(rules, jumpFrom(p, chainAnswersUDP))
	}
	if !r.streams {
		return rules
	}
	for _, p := range r.ports.SIP.merged(TCP) {
		rules = append(rules, jumpFrom(p, chainAnswersTCP))
	}
	for _, p := range r.ports.WS.merged(TCP) {
		rules = append(rules, jumpFrom(p, chainAnswersWS))
	}
	return rules
}

// jumpFrom is jump by the port of the source.
func jumpFrom(p PortRange, chain string) []expr.Any {
	exprs := jump(p, chain)
	for _, e := range exprs {
		if load, ok := e.(*expr.Payload); ok {
			load.Offset = sportOffset
		}
	}
	return exprs
}

// byStatus tells answers apart by their first line.
func (r *sensorRules) byStatus(base expr.PayloadBase, offset uint32) (rules [][]expr.Any) {
	begins := func(text, chain string) {
		rules = append(rules, []expr.Any{
			&expr.Payload{DestRegister: 1, Base: base, Offset: offset, Len: uint32(len(text))},
			equal([]byte(text)),
			&expr.Verdict{Kind: expr.VerdictGoto, Chain: chain},
		})
	}
	begins(answerUnauthorized, chainRefused)
	begins(answerProxyAuth, chainRefused)
	if r.logs {
		begins(answerOK, chainAccepted)
	}
	return rules
}

// refused counts a refusal, and logs it: each one to a watched destination, else a sample.
func (r *sensorRules) refused() [][]expr.Any {
	var rules [][]expr.Any
	if r.streams {
		rules = append(rules, countedBefore(false), countedBefore(true), segment(false), segment(true))
	}
	rules = append(rules, countRefusal(false), countRefusal(true))
	if r.logs {
		rules = append(append(rules, r.watched(expr.VerdictGoto)...), r.log())
	}
	return rules
}

func (r *sensorRules) watched(kind expr.VerdictKind) [][]expr.Any {
	to := &expr.Verdict{Kind: kind, Chain: chainWatched}
	return [][]expr.Any{
		append(destination(false), lookup(setWatched4), to),
		append(destination(true), lookup(setWatched6), to),
	}
}

// log sends the packet to the NFLOG group, as far as the limit allows.
func (r *sensorRules) log() []expr.Any {
	return []expr.Any{
		&expr.Limit{
			Type: expr.LimitTypePkts, Rate: loggedRate, Unit: expr.LimitTimeSecond,
			Burst: loggedRate,
		},
		&expr.Log{
			Key: 1<<unix.NFTA_LOG_GROUP | 1<<unix.NFTA_LOG_SNAPLEN | 1<<unix.NFTA_LOG_QTHRESHOLD,
			// A threshold of one hands each packet over at once.
			Group: r.group, Snaplen: loggedBytes, QThreshold: 1,
		},
	}
}

// countedBefore returns from a segment that was counted before, and remembers it longer. TCP sends a
// segment again when the peer is gone, or banned meanwhile: that would look like further refusals.
func countedBefore(is6 bool) []expr.Any {
	exprs := segment(is6)
	update := exprs[len(exprs)-1].(*expr.Dynset)
	found := &expr.Lookup{SourceRegister: update.SrcRegKey, SetName: update.SetName}
	return append(exprs[:len(exprs)-1], found, update, verdict(expr.VerdictReturn))
}

// segment remembers a segment of TCP by its destination and sequence number.
func segment(is6 bool) []expr.Any {
	const seqOffset = 4 // RFC 9293
	set, to, seq := setAgain4, uint32(reg32), uint32(reg32+1)
	if is6 {
		set, to, seq = setAgain6, unix.NFT_REG_1, unix.NFT_REG_2
	}
	exprs := destination(is6)
	exprs[len(exprs)-1].(*expr.Payload).DestRegister = to

	// The address must not be loaded before the protocol is compared: both take a register.
	proto := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equal([]byte{byte(TCP)}),
	}
	return slices.Concat(proto, exprs, []expr.Any{
		&expr.Payload{
			DestRegister: seq, Base: expr.PayloadBaseTransportHeader, Offset: seqOffset, Len: 4,
		},
		&expr.Dynset{SrcRegKey: to, SetName: set, Operation: unix.NFT_DYNSET_OP_UPDATE},
	})
}

// countRefusal counts in the set of a family, by the server, the destination and the protocol.
func countRefusal(is6 bool) []expr.Any {
	set, from, to, proto := setRefused4, uint32(reg32), uint32(reg32+1), uint32(reg32+2)
	if is6 {
		set, from, to, proto = setRefused6, unix.NFT_REG_1, unix.NFT_REG_2, unix.NFT_REG_3
	}
	exprs := slices.Concat(source(is6, bitsOf(is6)), destination(is6)[2:])
	exprs[2].(*expr.Payload).DestRegister = from
	exprs[3].(*expr.Payload).DestRegister = to

	return append(exprs,
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: proto},
		&expr.Dynset{SrcRegKey: from, SetName: set, Operation: unix.NFT_DYNSET_OP_UPDATE})
}

// destination loads the destination address into register 1.
func destination(is6 bool) []expr.Any {
	exprs := source(is6, bitsOf(is6))
	load := exprs[2].(*expr.Payload)
	load.Offset = daddr4Offset
	if is6 {
		load.Offset = daddr6Offset
	}
	return exprs
}

func bitsOf(is6 bool) int {
	if is6 {
		return 128
	}
	return 32
}
