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

// kindNames holds Asterisk's name of each kind.
var kindNames = [NumKinds]string{
	KindUnknown:                 "unknown",
	KindFailedACL:               "FailedACL",
	KindInvalidAccountID:        "InvalidAccountID",
	KindSessionLimit:            "SessionLimit",
	KindMemoryLimit:             "MemoryLimit",
	KindLoadAverageLimit:        "LoadAverageLimit",
	KindRequestNotSupported:     "RequestNotSupported",
	KindRequestNotAllowed:       "RequestNotAllowed",
	KindAuthMethodNotAllowed:    "AuthMethodNotAllowed",
	KindRequestBadFormat:        "RequestBadFormat",
	KindSuccessfulAuth:          "SuccessfulAuth",
	KindUnexpectedAddress:       "UnexpectedAddress",
	KindChallengeResponseFailed: "ChallengeResponseFailed",
	KindInvalidPassword:         "InvalidPassword",
	KindChallengeSent:           "ChallengeSent",
	KindInvalidTransport:        "InvalidTransport",
}

// String returns Asterisk's name of the event, or "unknown".
func (k Kind) String() string {
	if int(k) >= NumKinds {
		return kindNames[KindUnknown]
	}
	return kindNames[k]
}

// ParseKind returns the kind whose name is exactly name, and false when Asterisk has no such event.
func ParseKind(name string) (Kind, bool) {
	k := parseKind([]byte(name))
	return k, k != KindUnknown
}

// parseKind returns the kind with a name, or KindUnknown. It is a switch and not a search in
// kindNames because it runs for every packet.
func parseKind(name []byte) Kind {
	switch string(name) {
	// The sender or the account is refused before any password counts.
	case "FailedACL":
		return KindFailedACL
	case "InvalidAccountID":
		return KindInvalidAccountID

	// The PBX reached a limit.
	case "SessionLimit":
		return KindSessionLimit
	case "MemoryLimit":
		return KindMemoryLimit
	case "LoadAverageLimit":
		return KindLoadAverageLimit

	// The request itself is refused.
	case "RequestNotSupported":
		return KindRequestNotSupported
	case "RequestNotAllowed":
		return KindRequestNotAllowed
	case "AuthMethodNotAllowed":
		return KindAuthMethodNotAllowed
	case "RequestBadFormat":
		return KindRequestBadFormat

	// An account is known: who logs in, from where, and with what result.
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

// severity returns the only Severity that Asterisk prints with the kind (main/security_events.c,
// sec_events[]).
func (k Kind) severity() string {
	if k == KindSuccessfulAuth || k == KindChallengeSent {
		return "Informational"
	}
	return "Error"
}
