package config

import "github.com/amifend/amifend/ami"

// ChanSIPRisk is the risk of a server that raises events of chan_sip, and ChanSIPAdvice is what to
// do about it. policy.WhoChooses has the reason.
const (
	ChanSIPRisk = "it uses chan_sip, which believes any address that a sender writes: bans for " +
		"its events last ten minutes and block the SIP ports only"
	ChanSIPAdvice = "move the phones to PJSIP (Asterisk 21 removed chan_sip); docs/limits.md " +
		"describes what that changes"
)

// Advice returns what an operator can do about a problem of an AMI session. It is
// [ami.Problem.Advice] with the keys of the config in place of the options of the library.
func Advice(p ami.Problem) string {
	const pin = "or pin the certificate: compare the SHA-256 shown with the one on the PBX, " +
		"then set fingerprint to it"
	switch p {
	// The PBX cannot be reached, or something else answers.
	case ami.ProblemUnresolved:
		return "check the host name in `address`, and the DNS of this machine"
	case ami.ProblemRefused:
		return "check that Asterisk runs, with enabled = yes in manager.conf, and bindaddr and " +
			"port as in `address`: ss -ltnp | grep asterisk"
	case ami.ProblemUnreachable:
		return "no answer: check `address`, the route, and that the PBX's firewall accepts this " +
			"machine on the AMI port"
	case ami.ProblemNotAMI:
		return "another service answers there: set `address` to the AMI port of manager.conf " +
			"(5038, or 5039 for TLS)"

	// One side speaks TLS and the other does not, or the two cannot agree.
	case ami.ProblemTLSRequired:
		return "that port speaks TLS: add a [server.tls] section, or use the plain port (5038) " +
			"of manager.conf"
	case ami.ProblemTLSNotSpoken:
		return "that port speaks plain AMI: use tlsbindaddr's port (5039) of manager.conf, " +
			"or remove [server.tls]"
	case ami.ProblemTLSHandshake:
		return "the PBX and amifend share no TLS version or cipher: amifend needs TLS 1.2 or newer"

	// The certificate is not the expected one.
	case ami.ProblemUnknownCA:
		return "set ca_file in [server.tls] to the CA's certificate, " + pin
	case ami.ProblemNameMismatch:
		return "set server_name in [server.tls] to a name in the certificate's subjectAltName, " +
			pin
	case ami.ProblemFingerprint:
		return "if the PBX has a new certificate, compare the SHA-256 shown with that of openssl " +
			"x509 -fingerprint -sha256 -noout -in CERT on the PBX, then set fingerprint to it; " +
			"if it has not, somebody intercepts the connection"

	// The login fails, or the session ends.
	case ami.ProblemPlainForbidden:
		return "the PBX does not support the MD5 challenge and the connection is not verified " +
			"TLS: use [server.tls], so that nobody can read the secret on the network"
	case ami.ProblemLoginInUse:
		return "give amifend a manager user of its own, " +
			"or set allowmultiplelogin = yes in manager.conf"
	case ami.ProblemShuttingDown:
		return "nothing to do if you stopped or restarted Asterisk: amifend reconnects by itself"
	case ami.ProblemStrangeEvents:
		return "if this Asterisk is newer than amifend, update amifend; " +
			"otherwise something between them changes the events"
	case ami.ProblemLost:
		return "nothing to do if Asterisk was restarted: amifend reconnects by itself; " +
			"otherwise look at Asterisk's log"

	// The advice on all other problems names no option.
	default:
		return p.Advice()
	}
}

// SessionWarning returns a risk of an AMI session with the keys of the config in place of the
// options of the library.
func SessionWarning(w ami.Warning) ami.Warning {
	switch w.Option {
	case "Config.TLS":
		w.Advice = "use [server.tls]"
	case "TLS.InsecureSkipVerify":
		w.Risk = "insecure_skip_verify: " + w.Risk
		w.Advice = "pin it with fingerprint"
	}
	return w
}
