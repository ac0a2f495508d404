package ami

// Taint says why a packet cannot be trusted. A tainted event is never what its text claims: it is
// evidence of an injection attempt by its Source, and emitted only where that Source is certain.
type Taint uint8

// The causes of a taint. Of several in one packet the first one counts.
const (
	Untainted      Taint = iota
	TaintDuplicate       // a header that Asterisk prints once stands twice
	// a header out of order, an unknown one before RemoteAddress, or one missing
	TaintOrder
	TaintLine     // a line that is no `Key: value`
	TaintTorn     // an event without its tail, whose rest follows as an orphan
	TaintOrphan   // a whole event that an orphan follows: its tail was forged
	TaintSeverity // Severity does not fit the kind
	TaintTime     // EventTV is no time
	TaintAddress  // LocalAddress or RemoteAddress is no address
	TaintField    // another fixed field has a value that Asterisk never prints
	TaintTooLong  // a packet of more than MaxPacket bytes
)

// NumTaints is the number of values of Taint, Untainted included, for arrays indexed by cause.
const NumTaints = int(TaintTooLong) + 1

// String returns a short lower-case name of the cause, "none" for Untainted.
func (t Taint) String() string {
	switch t {
	case Untainted:
		return "none"
	case TaintDuplicate:
		return "duplicate"
	case TaintOrder:
		return "order"
	case TaintLine:
		return "line"
	case TaintTorn:
		return "torn"
	case TaintOrphan:
		return "orphan"
	case TaintSeverity:
		return "severity"
	case TaintTime:
		return "time"
	case TaintAddress:
		return "address"
	case TaintField:
		return "field"
	case TaintTooLong:
		return "too long"
	default:
		return "unknown"
	}
}
