package ami

// Kind is one of the fifteen security events that Asterisk can raise. The names and their order are
// those of include/asterisk/security_events_defs.h, the same from Asterisk 12.8.2 to 22.10.1.
type Kind uint8

// The security events. KindUnknown stands for any other event.
const (
	KindUnknown Kind = iota
	KindFailedACL
	KindInvalidAccountID
	KindSessionLimit
	KindMemoryLimit
	KindLoadAverageLimit
	KindRequestNotSupported
	KindRequestNotAllowed
	KindAuthMethodNotAllowed
	KindRequestBadFormat
	KindSuccessfulAuth
	KindUnexpectedAddress
	KindChallengeResponseFailed
	KindInvalidPassword
	KindChallengeSent
	KindInvalidTransport
)

// NumKinds is the number of values of Kind, KindUnknown included, for arrays indexed by kind.
const NumKinds = int(KindInvalidTransport) + 1

// String returns Asterisk's name of the event, or "unknown".
func (k Kind) String() string {
	switch k {
	case KindFailedACL:
		return "FailedACL"
	case KindInvalidAccountID:
		return "InvalidAccountID"
	case KindSessionLimit:
		return "SessionLimit"
	case KindMemoryLimit:
		return "MemoryLimit"
	case KindLoadAverageLimit:
		return "LoadAverageLimit"
	case KindRequestNotSupported:
		return "RequestNotSupported"
	case KindRequestNotAllowed:
		return "RequestNotAllowed"
	case KindAuthMethodNotAllowed:
		return "AuthMethodNotAllowed"
	case KindRequestBadFormat:
		return "RequestBadFormat"
	case KindSuccessfulAuth:
		return "SuccessfulAuth"
	case KindUnexpectedAddress:
		return "UnexpectedAddress"
	case KindChallengeResponseFailed:
		return "ChallengeResponseFailed"
	case KindInvalidPassword:
		return "InvalidPassword"
	case KindChallengeSent:
		return "ChallengeSent"
	case KindInvalidTransport:
		return "InvalidTransport"
	default:
		return "unknown"
	}
}

// ParseKind returns the kind whose name is exactly name, and false when Asterisk has no such event.
func ParseKind(name string) (Kind, bool) {
	k := parseKind([]byte(name))
	return k, k != KindUnknown
}

func parseKind(name []byte) Kind {
	switch string(name) {
	case "FailedACL":
		return KindFailedACL
	case "InvalidAccountID":
		return KindInvalidAccountID
	case "SessionLimit":
		return KindSessionLimit
	case "MemoryLimit":
		return KindMemoryLimit
	case "LoadAverageLimit":
		return KindLoadAverageLimit
	case "RequestNotSupported":
		return KindRequestNotSupported
	case "RequestNotAllowed":
		return KindRequestNotAllowed
	case "AuthMethodNotAllowed":
		return KindAuthMethodNotAllowed
	case "RequestBadFormat":
		return KindRequestBadFormat
	case "SuccessfulAuth":
		return KindSuccessfulAuth
	case "UnexpectedAddress":
		return KindUnexpectedAddress
	case "ChallengeResponseFailed":
		return KindChallengeResponseFailed
	case "InvalidPassword":
		return KindInvalidPassword
	case "ChallengeSent":
		return KindChallengeSent
	case "InvalidTransport":
		return KindInvalidTransport
	default:
		return KindUnknown
	}
}

// severity is the only Severity that Asterisk prints with the kind (main/security_events.c,
// sec_events[]).
func (k Kind) severity() string {
	if k == KindSuccessfulAuth || k == KindChallengeSent {
		return "Informational"
	}
	return "Error"
}
