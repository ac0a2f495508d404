package ami

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/ami/amitest"
)

// tlsPBX is a PBX on a real port with a self-signed certificate for names.
func tlsPBX(
	t *testing.T, end time.Time, names ...string,
) (pbx *amitest.PBX, caFile string, certificate tls.Certificate) {
	t.Helper()
	certificate, ca, err := amitest.CertificateUntil(end, names...)
	if err != nil {
		t.Fatal(err)
	}
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, ca, 0o600); err != nil {
		t.Fatal(err)
	}

	pbx = listenPBX(t, amitest.Config{TLS: &tls.Config{
		Certificates: []tls.Certificate{certificate},
		MinVersion:   tls.VersionTLS12,
	}})
	return pbx, caFile, certificate
}

func TestTLS(t *testing.T) {
	tomorrow := time.Now().Add(24 * time.Hour)
	good, goodCA, certificate := tlsPBX(t, tomorrow, "127.0.0.1")
	named, namedCA, _ := tlsPBX(t, tomorrow, "pbx.example")
	expired, expiredCA, _ := tlsPBX(t, time.Now().Add(-time.Hour), "127.0.0.1")
	pin := Fingerprint(certificate.Leaf)
	lower := strings.ToLower(strings.ReplaceAll(pin, ":", ""))

	// A pin and a CA must both hold, and the pin holds whatever else is switched off.
	wrong := "00" + pin[2:]
	for name, tc := range map[string]struct {
		pbx  *amitest.PBX
		tls  TLS
		want Problem
	}{
		"CA": {good, TLS{CAFile: goodCA}, ProblemNone},
		"CA and server name": {
			named,
			TLS{CAFile: namedCA, ServerName: "pbx.example"},
			ProblemNone,
		},
		"fingerprint alone":         {good, TLS{Fingerprint: pin}, ProblemNone},
		"fingerprint, lower, plain": {good, TLS{Fingerprint: lower}, ProblemNone},
		"fingerprint as openssl": {
			good,
			TLS{Fingerprint: "sha256 Fingerprint=" + pin},
			ProblemNone,
		},
		"fingerprint and CA": {good, TLS{Fingerprint: pin, CAFile: goodCA}, ProblemNone},
		"insecure":           {good, TLS{InsecureSkipVerify: true}, ProblemNone},
		"system CAs":         {good, TLS{}, ProblemUnknownCA},
		"another CA":         {good, TLS{CAFile: namedCA}, ProblemUnknownCA},
		"pin holds, CA does not": {
			good,
			TLS{Fingerprint: pin, CAFile: namedCA},
			ProblemUnknownCA,
		},
		"name mismatch":     {named, TLS{CAFile: namedCA}, ProblemNameMismatch},
		"expired":           {expired, TLS{CAFile: expiredCA}, ProblemCertificate},
		"wrong fingerprint": {good, TLS{Fingerprint: wrong}, ProblemFingerprint},
		"wrong fingerprint, CA": {
			good,
			TLS{Fingerprint: wrong, CAFile: goodCA},
			ProblemFingerprint,
		},
		"wrong fingerprint, no care": {
			good,
			TLS{Fingerprint: wrong, InsecureSkipVerify: true},
			ProblemFingerprint,
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := testConfig(tc.pbx)
			c.TLS = &tc.tls
			report, err := Probe(t.Context(), c, 0, nil)
			if got := ProblemOf(err); got != tc.want {
				t.Fatalf("error %v, problem %s, want %s", err, got, tc.want)
			}

			switch tc.want {
			case ProblemNone:
				seen := report.TLS
				if !seen.Enabled || seen.Version != "TLS 1.3" ||
					seen.Insecure != tc.tls.InsecureSkipVerify || seen.Fingerprint == "" {
					t.Errorf("TLS status %+v", seen)
				}
			default: // the administrator can pin what was seen
				if !strings.Contains(err.Error(), "fingerprint") ||
					strings.Count(err.Error(), ":") < 31 {
					t.Errorf("error %q does not show the fingerprint seen", err)
				}
			}
		})
	}
}

func TestTLSProblemsOfTheWire(t *testing.T) {
	plain := listenPBX(t, amitest.Config{})
	secure, _, _ := tlsPBX(t, time.Now().Add(time.Hour), "127.0.0.1")
	c := testConfig(plain)
	c.TLS = &TLS{}

	if _, err := Probe(t.Context(), c, 0, nil); ProblemOf(err) != ProblemTLSNotSpoken {
		t.Errorf("TLS to a plain port: %v, problem %s", err, ProblemOf(err))
	}
	c = testConfig(secure)
	c.Timeouts.Connect = 200 * time.Millisecond

	if _, err := Probe(t.Context(), c, 0, nil); ProblemOf(err) != ProblemTLSRequired {
		t.Errorf("plain to a TLS port: %v, problem %s", err, ProblemOf(err))
	}

	// a test
	old := listenPBX(t, amitest.Config{TLS: &tls.Config{
		MaxVersion: tls.VersionTLS11,
		MinVersion: tls.VersionTLS10,
	}})

	c = testConfig(old)
	c.TLS = &TLS{InsecureSkipVerify: true}
	if _, err := Probe(t.Context(), c, 0, nil); ProblemOf(err) != ProblemTLSHandshake {
		t.Errorf("TLS 1.1: %v, problem %s", err, ProblemOf(err))
	}

	mutual := listenPBX(t, amitest.Config{TLS: mutualTLS(t)})
	c = testConfig(mutual)
	c.TLS = &TLS{InsecureSkipVerify: true}

	if _, err := Probe(t.Context(), c, 0, nil); ProblemOf(err) != ProblemTLSHandshake {
		t.Errorf("client certificate wanted: %v, problem %s", err, ProblemOf(err))
	}

	// never used
	locked := listenPBX(t, amitest.Config{
		TLS:       &tls.Config{},
		Behaviour: amitest.Behaviour{LockedOut: true},
	})

	c = testConfig(locked)
	c.TLS = &TLS{InsecureSkipVerify: true}
	if _, err := Probe(t.Context(), c, 0, nil); ProblemOf(err) != ProblemLockedOut {
		t.Errorf("closed in the handshake: %v, problem %s", err, ProblemOf(err))
	}
}

func mutualTLS(t *testing.T) *tls.Config {
	t.Helper()
	certificate, _, err := amitest.Certificate("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}

	return &tls.Config{
		Certificates: []tls.Certificate{certificate},
		ClientAuth:   tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12,
	}
}

// TestTLSKeepsPlainLoginFromUnverified: a man in the middle could refuse the challenge, to be shown
// the secret.
func TestTLSKeepsPlainLoginFromUnverified(t *testing.T) {
	certificate, _, err := amitest.Certificate("192.0.2.10")
	if err != nil {
		t.Fatal(err)
	}

	pbx := amitest.New(amitest.Config{
		Username: testUser, Secret: testSecret,
		TLS: &tls.Config{
			Certificates: []tls.Certificate{certificate},
			MinVersion:   tls.VersionTLS12,
		},
		Behaviour: amitest.Behaviour{NoMD5: true},
	})

	t.Cleanup(pbx.Close)
	c := testConfig(pbx)
	c.Dial = far(pbx.Dial)
	c.TLS = &TLS{InsecureSkipVerify: true}

	if _, err := Probe(t.Context(), c, 0, nil); ProblemOf(err) != ProblemPlainForbidden {
		t.Errorf("unverified: %v, problem %s", err, ProblemOf(err))
	}

	// A pinned PBX is verified: nobody in the middle can read the secret.
	c.TLS = &TLS{Fingerprint: Fingerprint(certificate.Leaf)}
	report, err := Probe(t.Context(), c, 0, nil)
	if err != nil || report.Auth != AuthPlain {
		t.Errorf("pinned: %v, login by %q", err, report.Auth)
	}
}

func TestTLSStreamReadsOnAfterHold(t *testing.T) {
	pbx, caFile, _ := tlsPBX(t, time.Now().Add(time.Hour), "127.0.0.1")
	r := startSession(t, pbx, func(c *Config) { c.TLS = &TLS{CAFile: caFile} })
	until(t, "connected", func() bool { return r.session.Status().Phase == PhaseConnected })

	// The SuccessfulAuth of AMI is held, so its read ran into a deadline; the next read must still
	// work.
	time.Sleep(3 * HoldTime)
	pbx.Emit(amitest.NewPeer("198.51.100.7:5062").GuessAccount("1000")...)
	until(t, "three events", func() bool { return len(r.got()) == 3 })

	if s := r.session.Status(); !s.TLS.Enabled || s.Gaps != 0 {
		t.Errorf("status %+v", s)
	}
}

func TestFingerprintIsWhatOpensslPrints(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("openssl is not installed")
	}

	_, caFile, certificate := tlsPBX(t, time.Now().Add(time.Hour), "127.0.0.1")

	out, err := exec.CommandContext(t.Context(), openssl, "x509", "-fingerprint", "-sha256",
		"-noout", "-in", caFile).Output()
	if err != nil {
		t.Fatal(err)
	}

	// Users copy this line into the config, with its prefix.
	printed := strings.TrimSpace(string(out))
	if !strings.HasSuffix(printed, "="+Fingerprint(certificate.Leaf)) {
		t.Errorf("openssl prints %s, Fingerprint %s", printed, Fingerprint(certificate.Leaf))
	}
	if _, err := parseFingerprint(printed); err != nil {
		t.Errorf("cannot read what openssl prints: %v", err)
	}
}

func TestIsLocal(t *testing.T) {
	for _, tc := range []struct {
		addr net.Addr
		want bool
	}{
		{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 5)}, true},
		{&net.TCPAddr{IP: net.IPv6loopback}, true},
		{&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}, false},
		{&net.UnixAddr{Net: "unix"}, true},
		{nil, false},
	} {
		if got := isLocal(tc.addr); got != tc.want {
			t.Errorf("%v: %t, want %t", tc.addr, got, tc.want)
		}
	}
}

// TestCertificateNamesAreQuoted: whoever answers chooses what is in its certificate.
func TestCertificateNamesAreQuoted(t *testing.T) {
	mismatch := func(certificate *x509.Certificate) error {
		return tlsError(&tls.CertificateVerificationError{
			UnverifiedCertificates: []*x509.Certificate{certificate},
			Err:                    x509.HostnameError{Certificate: certificate, Host: "pbx"},
		})
	}

	named := &x509.Certificate{
		Subject: pkix.Name{CommonName: "pbx"}, DNSNames: []string{"a\x1b[2J", "b\r\nc"},
	}
	if err := mismatch(named); ProblemOf(err) != ProblemNameMismatch ||
		!strings.Contains(err.Error(), `for "a\x1b[2J b\r\nc", not for pbx`) {
		t.Errorf("error %q", err)
	}

	// Without other names, the error shows the common name.
	common := &x509.Certificate{Subject: pkix.Name{CommonName: "pbx\x1b[2J"}}
	if err := mismatch(common); ProblemOf(err) != ProblemNameMismatch ||
		!strings.Contains(err.Error(),
			`no subjectAltName, and its common name "pbx\x1b[2J" does not count`) {
		t.Errorf("error %q", err)
	}
}
