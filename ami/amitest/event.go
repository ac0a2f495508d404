package amitest

import (
	"net/netip"
	"strconv"
	"time"
)

// The kinds of security events that Asterisk 16 and 22 raise, by Asterisk's names.
const (
	InvalidAccountID        = "InvalidAccountID"
	ChallengeSent           = "ChallengeSent"
	ChallengeResponseFailed = "ChallengeResponseFailed"
	SuccessfulAuth          = "SuccessfulAuth"
	InvalidPassword         = "InvalidPassword"
	FailedACL               = "FailedACL"
	RequestNotSupported     = "RequestNotSupported"
	RequestNotAllowed       = "RequestNotAllowed"
	RequestBadFormat        = "RequestBadFormat"
	SessionLimit            = "SessionLimit"
	InvalidTransport        = "InvalidTransport"
)

// Unknown is the AccountID that Asterisk prints when it has identified no account.
const Unknown = "<unknown>"

// timeFormat is the format of EventTV, in the zone of the PBX; here always UTC.
const timeFormat = "2006-01-02T15:04:05.000-0700"

// Field is one header line.
type Field struct{ Name, Value string }

// Event is one security event. Its zero fields take defaults: EventTV now, Service PJSIP, transport
// UDP, LocalAddress 192.0.2.10:5060. Texts are printed as they are, line breaks included, as
// Asterisk does: so a test can play an injection.
type Event struct {
	Kind      string
	Time      time.Time
	Service   string // PJSIP, SIP or AMI
	Account   string
	Session   string // default: a Call-ID made from Remote
	Transport string // UDP, TCP, TLS, WS or WSS
	Local     netip.AddrPort
	Remote    netip.AddrPort
	// headers after RemoteAddress; nil takes those of the kind and service
	Fields []Field
}

// AppendTo appends the event's packet, byte for byte as Asterisk 22 (chan_sip: 16) prints it.
func (e Event) AppendTo(b []byte) []byte {
	e = e.withDefaults()
	b = appendLine(b, "Event", e.Kind)
	b = appendLine(b, "Privilege", "security,all")
	b = appendLine(b, "EventTV", e.Time.UTC().Format(timeFormat))
	b = appendLine(b, "Severity", severity(e.Kind))
	b = appendLine(b, "Service", e.Service)
	b = appendLine(b, "EventVersion", version(e.Kind))

	if e.Kind != RequestBadFormat {
		b = appendLine(b, "AccountID", e.Account)
	}
	b = appendLine(b, "SessionID", e.Session)
	b = appendLine(b, "LocalAddress", address(e.Local, e.Transport))
	b = appendLine(b, "RemoteAddress", address(e.Remote, e.Transport))

	for _, f := range e.Fields {
		b = appendLine(b, f.Name, f.Value)
	}

	// This is the only event with AccountID last: see capture 05_ami_service_events.
	if e.Kind == RequestBadFormat {
		b = appendLine(b, "AccountID", e.Account)
	}
	return append(b, "\r\n"...)
}

// Bytes returns the event's packet; see AppendTo.
func (e Event) Bytes() []byte { return e.AppendTo(nil) }

func (e Event) withDefaults() Event {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	e.Service = orDefault(e.Service, "PJSIP")
	e.Transport = orDefault(e.Transport, "UDP")
	e.Session = orDefault(e.Session,
		"call-"+strconv.Itoa(int(e.Remote.Port()))+"@"+e.Remote.Addr().String())

	if !e.Local.IsValid() {
		e.Local = netip.MustParseAddrPort("192.0.2.10:5060")
		if e.Remote.Addr().Is6() {
			e.Local = netip.MustParseAddrPort("[2001:db8:1::10]:5060")
		}
	}

	if e.Fields == nil {
		e.Fields = defaultFields(e.Kind, e.Service, e.Transport)
	}
	return e
}

// defaultFields are the headers after RemoteAddress, in Asterisk's order.
func defaultFields(kind, service, transport string) []Field {
	switch kind {
	case ChallengeSent:
		return []Field{{"Challenge", ""}}
	case ChallengeResponseFailed:
		return []Field{
			{"Challenge", "1795402453/bb9da6e8f81800651339c8e2c9d4b70c"},
			{"Response", "9be62b5c395eb687f6e0afe2485e8b6b"},
			{"ExpectedResponse", ""},
		}
	case SuccessfulAuth:
		if service == "AMI" {
			return []Field{{"UsingPassword", "0"}}
		}
		return []Field{{"UsingPassword", "1"}}
	case InvalidPassword:
		if service != "SIP" {
			return nil
		}

		return []Field{
			{"Challenge", "5c942174"},
			{"ReceivedChallenge", "5c942174"},
			{"ReceivedHash", "7de138809a4d645ab0c3ded05225971c"},
		}
	case FailedACL:
		return []Field{{"ACLName", "not_match_endpoint_acl"}}
	case RequestNotSupported:
		return []Field{{"RequestType", "registrar_requested_aor_not_found"}}
	case RequestNotAllowed, RequestBadFormat:
		return []Field{{"RequestType", "Action: CoreSettings"}}
	case InvalidTransport:
		return []Field{{"AttemptedTransport", transport}}
	}

	return nil
}

func severity(kind string) string {
	if kind == ChallengeSent || kind == SuccessfulAuth {
		return "Informational"
	}
	return "Error"
}

func version(kind string) string {
	if kind == InvalidPassword {
		return "2"
	}
	return "1"
}

// address prints an address as Asterisk does: IPV4/UDP/192.0.2.1/5060, no brackets, IPv4-mapped as
// IPV4.
func address(a netip.AddrPort, transport string) string {
	family, ip := "IPV4", a.Addr().Unmap().WithZone("")
	if ip.Is6() {
		family = "IPV6"
	}
	return family + "/" + transport + "/" + ip.String() + "/" + strconv.Itoa(int(a.Port()))
}

func appendLine(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

func orDefault(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// Packets appends the packets of several events.
func Packets(events ...Event) []byte {
	var b []byte
	for _, e := range events {
		b = e.AppendTo(b)
	}
	return b
}
