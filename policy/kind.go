package policy

// Kind is the kind of an observed event. The names are Asterisk's event names.
type Kind uint8

// The kinds: Asterisk's fifteen security events, an injection attempt, which a decoder finds in an
// event, and an unseen request. The zero value is none of them and weighs nothing.
const (
	KindNone Kind = iota
	KindInvalidAccountID
	KindFailedACL
	KindChallengeResponseFailed
	KindInvalidPassword
	KindRequestBadFormat
	KindRequestNotAllowed
	KindRequestNotSupported
	KindInvalidTransport
	KindSessionLimit
	KindChallengeSent
	KindSuccessfulAuth
	KindUnexpectedAddress
	KindLoadAverageLimit
	KindMemoryLimit
	KindAuthMethodNotAllowed
	KindInjection // evidence only; observations say Injected
	// KindUnseenRequest is a request of which the PBX raised no event, as a witness in the kernel saw
	// it: its Call-ID is not valid UTF-8.
	KindUnseenRequest

	// KindCount is one more than the largest kind.
	KindCount
)

// kindNames are indexed by Kind; ParseKind takes those of Asterisk.
var kindNames = [KindCount]string{
	KindNone:                    "none",
	KindInvalidAccountID:        "InvalidAccountID",
	KindFailedACL:               "FailedACL",
	KindChallengeResponseFailed: "ChallengeResponseFailed",
	KindInvalidPassword:         "InvalidPassword",
	KindRequestBadFormat:        "RequestBadFormat",
	KindRequestNotAllowed:       "RequestNotAllowed",
	KindRequestNotSupported:     "RequestNotSupported",
	KindInvalidTransport:        "InvalidTransport",
	KindSessionLimit:            "SessionLimit",
	KindChallengeSent:           "ChallengeSent",
	KindSuccessfulAuth:          "SuccessfulAuth",
	KindUnexpectedAddress:       "UnexpectedAddress",
	KindLoadAverageLimit:        "LoadAverageLimit",
	KindMemoryLimit:             "MemoryLimit",
	KindAuthMethodNotAllowed:    "AuthMethodNotAllowed",
	KindInjection:               "injection",
	KindUnseenRequest:           "UnseenRequest",
}

// String returns Asterisk's name of the event, or "unknown" for a value that is no kind.
func (k Kind) String() string {
	if k >= KindCount {
		return "unknown"
	}
	return kindNames[k]
}

// ParseKind returns the kind of one of Asterisk's fifteen event names, spelled exactly as Asterisk
// does.
func ParseKind(name string) (Kind, bool) {
	for k := KindNone + 1; k < KindInjection; k++ {
		if kindNames[k] == name {
			return k, true
		}
	}
	return KindNone, false
}

// Service is the part of the PBX that made the observation.
type Service uint8

// The services. What a newer Asterisk may add is ServiceOther.
const (
	ServiceOther Service = iota
	ServicePJSIP
	ServiceSIP // chan_sip
	ServiceAMI
	ServiceIAX2 // chan_iax2

	serviceCount
)

// String returns Asterisk's name of the service, or "other".
func (s Service) String() string {
	switch s {
	case ServicePJSIP:
		return "PJSIP"
	case ServiceSIP:
		return "SIP"
	case ServiceAMI:
		return "AMI"
	case ServiceIAX2:
		return "IAX2"
	default:
		return "other"
	}
}

// Scope is the traffic that a ban drops, as a set: the union of two scopes is their bitwise or. A
// ban has one of the scopes below; an address may have a ban of [ScopeSIP] and one of
// [ScopeStream] at a time.
type Scope uint8

// The scopes of a ban.
const (
	ScopeSIP    Scope = 1 << iota // all traffic to the SIP ports
	ScopeStream                   // TCP to the SIP ports, and to those of WebSocket and AMI
	scopeRest

	ScopeNone Scope = 0
	ScopeAll        = ScopeSIP | ScopeStream | scopeRest // all traffic
)

// ofBan reports whether a ban may have the scope.
func (s Scope) ofBan() bool { return s == ScopeSIP || s == ScopeStream || s == ScopeAll }

// Covers reports whether a ban of the scope s drops all that one of the scope o would.
func (s Scope) Covers(o Scope) bool { return s&o == o }

// String returns the scope's name: none, sip, stream or all; "sip+stream" for the union of two.
func (s Scope) String() string {
	switch s {
	case ScopeSIP:
		return "sip"
	case ScopeStream:
		return "stream"
	case ScopeSIP | ScopeStream:
		return "sip+stream"
	case ScopeAll:
		return "all"
	default:
		return "none"
	}
}

// Action is the action that a verdict asks for.
type Action uint8

// The actions. The zero value asks for nothing.
const (
	ActionNone Action = iota
	ActionBan
	ActionUnban // lifts a ban early; one that runs out by itself gives no verdict
	ActionAlert
)

// String returns the action's name: none, ban, unban or alert.
func (a Action) String() string {
	switch a {
	case ActionBan:
		return "ban"
	case ActionUnban:
		return "unban"
	case ActionAlert:
		return "alert"
	default:
		return "none"
	}
}
