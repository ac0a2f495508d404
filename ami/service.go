package ami

// Service is the part of Asterisk that raised an event.
type Service uint8

// The services that raise security events in Asterisk 12 to 22.
const (
	ServiceUnknown Service = iota
	ServicePJSIP           // res_pjsip/security_events.c
	ServiceSIP             // channels/sip/security_events.c, until Asterisk 20
	ServiceAMI             // main/manager.c: the manager's own logins and requests
)

// String returns the name that Asterisk prints, or "unknown".
func (s Service) String() string {
	switch s {
	case ServicePJSIP:
		return "PJSIP"
	case ServiceSIP:
		return "SIP"
	case ServiceAMI:
		return "AMI"
	default:
		return "unknown"
	}
}

func parseService(b []byte) Service {
	switch string(b) {
	case "PJSIP":
		return ServicePJSIP
	case "SIP":
		return ServiceSIP
	case "AMI":
		return ServiceAMI
	default:
		return ServiceUnknown
	}
}

// Transport is the transport protocol by which a request reached Asterisk.
type Transport uint8

// The transports that Asterisk prints (main/json.c, ast_json_ipaddr). No emitted event has
// TransportUnknown.
const (
	TransportUnknown Transport = iota
	TransportUDP
	TransportTCP
	TransportTLS
	TransportWS
	TransportWSS
)

// String returns the name that Asterisk prints, or "unknown".
func (t Transport) String() string {
	switch t {
	case TransportUDP:
		return "UDP"
	case TransportTCP:
		return "TCP"
	case TransportTLS:
		return "TLS"
	case TransportWS:
		return "WS"
	case TransportWSS:
		return "WSS"
	default:
		return "unknown"
	}
}

// Stream reports whether the transport needs a handshake, which a forged source address cannot
// complete. The address of an event is certain then, except with chan_sip, which takes it from the
// request.
func (t Transport) Stream() bool { return t >= TransportTCP && t <= TransportWSS }

func parseTransport(b []byte) Transport {
	switch string(b) {
	case "UDP":
		return TransportUDP
	case "TCP":
		return TransportTCP
	case "TLS":
		return TransportTLS
	case "WS":
		return TransportWS
	case "WSS":
		return TransportWSS
	default:
		return TransportUnknown
	}
}
