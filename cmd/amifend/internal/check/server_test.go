package check

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/ami/amitest"
)

func TestWhatIsWrongAndWhatToDo(t *testing.T) {
	for name, tt := range map[string]struct {
		behaviour amitest.Behaviour
		says      []string
	}{
		"wrong secret": {
			amitest.Behaviour{Refusal: "Authentication failed"},
			[]string{
				"connected: AMI 11.0.0", "FAIL  login refused:", `"Authentication failed"`,
				"do: compare username and secret", "FreePBX, Issabel and VitalPBX",
				"'manager reload'; then look at the section's permit and deny lines",
			},
		},
		"no security class": {
			amitest.Behaviour{NoSecurity: true},
			[]string{"FAIL  no security events:", "do: set read = security"},
		},
		"closed before the banner": {
			amitest.Behaviour{LockedOut: true},
			[]string{
				"FAIL  closed before the banner:", "do: most likely no Asterisk is behind that port",
				"bindaddr", "proxy", "raise authlimit",
			},
		},
		"Asterisk 11": {
			amitest.Behaviour{NoSecurity: true, Banner: "Asterisk Call Manager/1.3\r\n"},
			[]string{
				"FAIL  Asterisk too old:", "AMI 1.3 is that of Asterisk 11 or older",
				"do: security events exist since Asterisk 12",
			},
		},
		"another service": {
			amitest.Behaviour{Banner: "SSH-2.0-x\x1b[2J\r\n"},
			[]string{"FAIL  not AMI:", `"SSH-2.0-x\x1b[2J"`, "do: another service"},
		},
		"in use": {
			amitest.Behaviour{InUse: true},
			[]string{"FAIL  login in use:", "allowmultiplelogin"},
		},
		"hostile refusal": {
			amitest.Behaviour{Refusal: "\x1b]0;x\x07" + testSecret},
			[]string{"FAIL  login refused:", `"\x1b]0;x\x07[redacted]"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			pbx := amitest.Run(t,
				amitest.Config{Username: testUser, Secret: testSecret, Behaviour: tt.behaviour})
			if tt.behaviour.Refusal != "" { // it refuses only whom it does not know
				pbx = amitest.Run(t,
					amitest.Config{Username: testUser, Secret: "another", Behaviour: tt.behaviour})
			}

			out, ok := look(t, Options{Config: load(t, server("pbx", pbx.Addr()), dryRun)})
			if ok {
				t.Error("all is well")
			}

			want(t, out, append([]string{"result: 1 failed"}, append(tt.says, "never banned")...)...)
			if strings.Count(out, "FAIL") != 1 {
				t.Errorf("told more than once:\n%s", out)
			}
		})
	}
}

func TestTLSStateIsTold(t *testing.T) {
	certificate, ca, err := amitest.Certificate("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}

	leaf, err := x509.ParseCertificate(certificate.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}

	seen := ami.Fingerprint(leaf)
	pbx := amitest.Run(t, amitest.Config{
		Username: testUser, Secret: testSecret,
		TLS: &tls.Config{
			Certificates: []tls.Certificate{certificate},
			MinVersion:   tls.VersionTLS12,
		},
	})

	caFile := write(t, t.TempDir(), "ca.pem", 0o644, string(ca))
	for name, tt := range map[string]struct {
		section string
		ok      bool
		says    []string
	}{
		"another pin": {
			`fingerprint = "` + strings.Repeat("AB:", 31) + `AB"`, false,
			[]string{"FAIL  fingerprint mismatch:", seen, "do: if the PBX has a new certificate"},
		},
		"the right pin": {
			`fingerprint = "` + seen + `"`, true,
			[]string{"all is well, no warnings", "AMI 11.0.0, TLS 1.3, certificate verified"},
		},
		"the right CA": {
			`ca_file = "` + caFile + `"`, true,
			[]string{"all is well, no warnings", "TLS 1.3, certificate verified"},
		},
		"the system's CA": {``, false, []string{"FAIL  unknown CA:", seen, "ca_file"}},
		"no check": {
			`insecure_skip_verify = true`, true,
			[]string{
				"result: all works, 1 warning", "TLS 1.3, certificate NOT verified", seen,
				"warn  insecure_skip_verify",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			out, ok := look(t,
				Options{Config: load(t, server("pbx", pbx.Addr(), "[server.tls]", tt.section),
					dryRun)})
			if ok != tt.ok {
				t.Errorf("well: %t", ok)
			}
			want(t, out, tt.says...)
		})
	}
}

func TestPlainLoginIsTold(t *testing.T) {
	pbx := runPBX(t, amitest.Behaviour{NoMD5: true})
	out, ok := look(t, Options{Config: load(t, server("pbx", pbx.Addr()), dryRun)})
	if !ok {
		t.Error("plain Login over loopback is refused")
	}
	want(t, out, "by plain Login, since the PBX does no MD5 challenge")
}

func TestClock(t *testing.T) {
	for ahead, tt := range map[time.Duration]struct {
		level level
		text  string
	}{
		-30 * time.Millisecond:  {levelOK, "its clock agrees with ours"},
		1234 * time.Millisecond: {levelOK, "its clock is 1.2s ahead of ours"},
		-2 * time.Second:        {levelOK, "its clock is 2s behind ours"},
		time.Hour:               {levelWarn, "its clock is 1h0m0s ahead of ours: logs"},
		-3 * 24 * time.Hour:     {levelWarn, "its clock is 72h0m0s behind ours: logs"},
	} {
		var s section
		checkClock(&s, ahead)
		if len(s.lines) != 1 || s.lines[0].level != tt.level ||
			!strings.HasPrefix(s.lines[0].text, tt.text) {
			t.Errorf("%s: %+v", ahead, s.lines)
		}
	}
}

// The clock is the PBX's, as the event of our own login tells: here one that was made an hour ago.
func TestClockOfThePBX(t *testing.T) {
	pbx := runPBX(t, amitest.Behaviour{NoSecurity: true}) // we say what it would
	go func() {
		if pbx.WaitSessions(t.Context(), 1) == nil {
			pbx.Write(amitest.Event{
				Kind: amitest.SuccessfulAuth, Service: "AMI", Transport: "TCP", Account: testUser,
				Session: "0x7f0000000000",
				Time:    time.Now().Add(-time.Hour),
				Remote:  netip.MustParseAddrPort("127.0.0.1:40000"),
			}.Bytes())
		}
	}()

	out, ok := look(t, Options{Config: load(t, server("pbx", pbx.Addr(), `addresses = ["192.0.2.10"]`), dryRun)})
	if !ok {
		t.Error("not all is well")
	}

	want(t, out, "result: all works, 1 warning", "warn  its clock is 1h0m0s behind ours")
}
