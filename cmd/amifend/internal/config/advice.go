package config

import "github.com/amifend/amifend/ami"

// What a server that raises events of chan_sip costs, and what to do about it: see
// policy.WhoChooses.
const (
	ChanSIPRisk = "it uses chan_sip, which believes any address that a sender writes: bans on " +
		"its word last " +
		"ten minutes and block the SIP ports only"
	ChanSIPAdvice = "move the phones to PJSIP (Asterisk 21 removed chan_sip); docs/limits.md " +
		"says what that changes"
)

// Advice returns what an operator can do about a problem of an AMI session, as [ami.Problem.Advice]
// does, but with the keys of the config instead of the options of the library.
func Advice(p ami.Problem) string {
	const pin = "or pin the certificate: fingerprint = the SHA-256 shown, " +
		"once you compared it on the PBX"
	switch p {
	case ami.ProblemUnresolved:
		return "check the host name in `address`, and the DNS of this machine"
	case ami.ProblemRefused:
		return "is Asterisk running, with enabled = yes, bindaddr and port of manager.conf as in " +
			"`address`? look with: ss -ltnp | grep asterisk"
	case ami.ProblemUnreachable:
		return "no answer: check `address`, the route, and that the PBX's firewall accepts this " +
			"machine on the AMI port"
	case ami.ProblemNotAMI:
		return "another service answers there: set `address` to the AMI port of manager.conf " +
			"(5038, or 5039 for TLS)"
	case ami.ProblemTLSRequired:
		return "that port speaks TLS: add a [server.tls] section, or use the plain port (5038) " +
			"of manager.conf"
	case ami.ProblemTLSNotSpoken:
		return "that port speaks plain AMI: use tlsbindaddr's port (5039) of manager.conf, " +
			"or remove [server.tls]"
	case ami.ProblemTLSHandshake:
		return "the PBX and amifend share no TLS version or cipher: amifend needs TLS 1.2 or newer"
	case ami.ProblemUnknownCA:
		return "set ca_file in [server.tls] to the CA's certificate, " + pin
	case ami.ProblemNameMismatch:
		return "set server_name in [server.tls] to a name in the certificate's subjectAltName, " +
			pin
	case ami.ProblemFingerprint:
		return "if the PBX has a new certificate, set fingerprint to the SHA-256 shown, after " +
			"comparing: openssl x509 -fingerprint -sha256 -noout -in CERT; " +
			"if not, someone is in between"
	case ami.ProblemPlainForbidden:
		return "the PBX does not do the MD5 challenge and the connection is not verified TLS: " +
			"use [server.tls], so that the secret is not shown to the network"
	case ami.ProblemLoginInUse:
		return "give amifend a manager user of its own, " +
			"or set allowmultiplelogin = yes in manager.conf"
	case ami.ProblemShuttingDown:
		return "nothing to do if you stopped or restarted Asterisk: amifend comes back by itself"
	case ami.ProblemStrangeEvents:
		return "if this Asterisk is newer than amifend, update amifend; " +
			"if it is not, something between them changes its events"
	case ami.ProblemLost:
		return "nothing to do if Asterisk was restarted: amifend comes back by itself; " +
			"else look at Asterisk's log"
	default:
		// The advice on all other problems names no option.
		return p.Advice()
	}
}

// SessionWarning returns w, a risk of an AMI session, with the keys of the config instead of the
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
