package policy

import "math"

// Chooser is who could have chosen the address that an event names as its source. No rule decides
// by itself how far an address can be believed: all ask this.
//
// The zero value is the least trustworthy class.
type Chooser uint8

// The classes, each with what its events may do.
const (
	// ChooserAnybody: the sender writes the address into the request. A failure counts like that of
	// ChooserSpoofer, but a ban that needs it lasts ten minutes, is no strike, and never grows.
	ChooserAnybody Chooser = iota

	// ChooserAnybodyWithAccount: the same, but the request has a right password. A success of this
	// class does what one of ChooserSpooferWithAccount does.
	ChooserAnybodyWithAccount

	// ChooserSpoofer: whoever can send packets with a forged source address. A failure bans from
	// the SIP ports only, for ten minutes at first, and never a source that proved itself.
	ChooserSpoofer

	// ChooserSpooferWithAccount: the same, but the request has a right password. A success of this
	// class proves its source against forgeable evidence, owns the account, and forgives forgeable
	// failures. It accuses no source that proved itself, and an account can use it for few
	// addresses: see voucher.
	ChooserSpooferWithAccount

	// ChooserNobody: the event names the peer of an established connection. It may do everything.
	ChooserNobody

	// ChooserRoundTrip is nobody, too, for an event over UDP: the request answers a digest nonce that
	// left for that address, and for nobody else. See [Engine.Confirm]. It may do everything. A ban of
	// a source that proved itself is of the SIP ports, since the attack came over UDP.
	ChooserRoundTrip

	// NumChoosers is the number of classes, for arrays indexed by class.
	NumChoosers = int(ChooserRoundTrip) + 1
)

// String returns the class as a noun phrase: "nobody", "a spoofer", "a spoofer with an account",
// "anybody", "anybody with an account". ChooserRoundTrip is "nobody", too.
func (c Chooser) String() string {
	switch c {
	case ChooserAnybody:
		return "anybody"
	case ChooserAnybodyWithAccount:
		return "anybody with an account"
	case ChooserSpoofer:
		return "a spoofer"
	case ChooserSpooferWithAccount:
		return "a spoofer with an account"
	case ChooserNobody, ChooserRoundTrip:
		return "nobody"
	default:
		return "unknown"
	}
}

// Proven reports whether nobody could have chosen the address. Evidence of any other class is
// forgeable.
func (c Chooser) Proven() bool { return c == ChooserNobody || c == ChooserRoundTrip }

// needsSpoofing reports whether at least a forged packet is needed to choose the address. Bans that
// rest on less are brief.
func (c Chooser) needsSpoofing() bool {
	return c == ChooserSpoofer || c == ChooserSpooferWithAccount || c.Proven()
}

// The ways in which a request can reach a PBX, and the two kinds of events: indexes of choosers.
const (
	wayDatagram = iota // UDP, or a transport that is not known
	wayStream          // TCP, TLS, WS or WSS
	// UDP, and a witness in the kernel saw the digest nonce leave for the source, and for nobody else
	wayConfirmed
	wayCount
)

const (
	outcomeFailure = iota // every kind but SuccessfulAuth
	outcomeSuccess
	outcomeCount
)

// choosers says for each service, way and outcome who could have chosen the source address. It was
// measured on Asterisk 16.28 and 22.10.1:
//
//   - PJSIP names the peer of a connection. Over UDP it raises every failure for one forged packet, and
//     `Via: …;maddr=` has its answers sent to another address, so that a spoofer with one account gets
//     a SuccessfulAuth in any name. But its nonce is made for one address: an answer to one that left
//     for that address alone is from there.
//   - chan_sip names the address in `Via: …;rport;maddr=`, over UDP, TCP and TLS alike. So the sender
//     chooses it without any spoofing, and an InvalidPassword that answers the right challenge proves
//     nothing.
//   - AMI listens on TCP only. An event of AMI over UDP is not Asterisk's.
//   - chan_iax2 is UDP; it raises no security event, but its log lines are read.
var choosers = [serviceCount][wayCount][outcomeCount]Chooser{
	ServiceOther: {
		wayDatagram:  {outcomeFailure: ChooserAnybody, outcomeSuccess: ChooserAnybodyWithAccount},
		wayStream:    {outcomeFailure: ChooserAnybody, outcomeSuccess: ChooserAnybodyWithAccount},
		wayConfirmed: {outcomeFailure: ChooserAnybody, outcomeSuccess: ChooserAnybodyWithAccount},
	},
	ServicePJSIP: {
		wayDatagram:  {outcomeFailure: ChooserSpoofer, outcomeSuccess: ChooserSpooferWithAccount},
		wayStream:    {outcomeFailure: ChooserNobody, outcomeSuccess: ChooserNobody},
		wayConfirmed: {outcomeFailure: ChooserRoundTrip, outcomeSuccess: ChooserRoundTrip},
	},
	ServiceSIP: {
		wayDatagram:  {outcomeFailure: ChooserAnybody, outcomeSuccess: ChooserAnybodyWithAccount},
		wayStream:    {outcomeFailure: ChooserAnybody, outcomeSuccess: ChooserAnybodyWithAccount},
		wayConfirmed: {outcomeFailure: ChooserAnybody, outcomeSuccess: ChooserAnybodyWithAccount},
	},
	ServiceAMI: {
		wayDatagram:  {outcomeFailure: ChooserAnybody, outcomeSuccess: ChooserAnybodyWithAccount},
		wayStream:    {outcomeFailure: ChooserNobody, outcomeSuccess: ChooserNobody},
		wayConfirmed: {outcomeFailure: ChooserAnybody, outcomeSuccess: ChooserAnybodyWithAccount},
	},
	ServiceIAX2: {
		wayDatagram:  {outcomeFailure: ChooserSpoofer, outcomeSuccess: ChooserSpooferWithAccount},
		wayStream:    {outcomeFailure: ChooserAnybody, outcomeSuccess: ChooserAnybodyWithAccount},
		wayConfirmed: {outcomeFailure: ChooserSpoofer, outcomeSuccess: ChooserSpooferWithAccount},
	},
}

// WhoChooses returns who could have chosen the source address of an event of that service and kind.
// stream is whether it came over TCP, TLS, WS or WSS. A service that is not known counts as
// ServiceOther.
func WhoChooses(service Service, stream bool, kind Kind) Chooser {
	if service >= serviceCount {
		service = ServiceOther
	}

	way := wayDatagram
	if stream {
		way = wayStream
	}
	return choosers[service][way][outcomeOf(kind)]
}

// outcomeOf returns the outcome of a kind of event.
func outcomeOf(kind Kind) int {
	if kind == KindSuccessfulAuth {
		return outcomeSuccess
	}
	return outcomeFailure
}

// Chooser returns who could have chosen the observation's source. Of an injection attempt the kind
// is not believed, so it is judged as a failure.
func (o *Observation) Chooser() Chooser {
	kind := o.Kind
	if o.Injected {
		kind = KindInjection
	}
	if o.confirmed && !o.Stream && o.Service < serviceCount {
		return choosers[o.Service][wayConfirmed][outcomeOf(kind)]
	}
	return WhoChooses(o.Service, o.Stream, kind)
}

// Shares. A source's forgeable score is one number. A share, in parts of shareUnit, says how much
// of it is evidence whose address anybody could have chosen. Both fade alike, so the share stays.

// shareUnit is a share of 100 %.
const shareUnit = math.MaxUint8

// spoofedPart returns the part of a forgeable score that needed forged packets at least.
func spoofedPart(forgeable float32, share uint8) float32 {
	return forgeable * float32(shareUnit-share) / shareUnit
}

// reduced returns what is left of a forgeable score, and its share, when a part of it that has a
// share of its own is taken away.
func reduced(score float32, share uint8, part float32, partShare uint8) (float32, uint8) {
	spoofed := max(0, spoofedPart(score, share)-spoofedPart(part, partShare))
	chosen := max(0, score-spoofedPart(score, share)-(part-spoofedPart(part, partShare)))
	left := max(0, score-part)
	if left == 0 || chosen == 0 {
		return left, 0
	}
	return left, uint8(min(math.Ceil(float64(chosen/(chosen+spoofed)*shareUnit)), shareUnit))
}

// shareAfter returns the share of a score to which weight was added. It is rounded up, so that
// evidence whose address anybody could have chosen is never taken for better.
func shareAfter(score float32, share uint8, weight float32, c Chooser) uint8 {
	chosen := score - spoofedPart(score, share)
	if !c.needsSpoofing() {
		chosen += weight
	}
	if chosen <= 0 {
		return 0
	}
	return uint8(min(math.Ceil(float64(chosen/(score+weight)*shareUnit)), shareUnit))
}
