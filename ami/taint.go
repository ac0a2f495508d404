package ami

// Taint is the reason why a packet cannot be trusted. Do not take a tainted event at its word: it
// is evidence of an injection attempt by its Source, and is emitted only where that Source is
// certain.
type Taint uint8

// The causes of a taint. Of several in one packet the first one counts.
const (
	Untainted      Taint = iota
	TaintDuplicate       // a header that Asterisk prints once stands twice
	// a header is out of order or missing, or an unknown one stands before RemoteAddress
	TaintOrder
	TaintLine     // a line has not the form `Key: value`
	TaintTorn     // an event without its tail, whose rest follows as an orphan
	TaintOrphan   // a whole event that an orphan follows: its tail was forged
	TaintSeverity // Severity does not fit the kind
	TaintTime     // EventTV is not a valid time
	TaintAddress  // LocalAddress or RemoteAddress is not a valid address
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
