package setup

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/ami/amitest"
)

// listenTLS runs a TLS server that never speaks first, as an AMI over TLS looks before the handshake.
// It returns its address and the fingerprint of its certificate.
func listenTLS(t *testing.T) (address, fingerprint string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}

	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = c.Read(make([]byte, 1)) // the handshake, then the end
				c.Close()
			}()
		}
	}()
	return l.Addr().String(), ami.Fingerprint(parsed)
}

// Another machine's AMI is found with and without TLS. What to do there is printed, once.
func TestRemote(t *testing.T) {
	pbx := amitest.Run(t, amitest.Config{Username: "amifend", Secret: "x"})
	secure, print := listenTLS(t)
	for address, want := range map[string]string{
		pbx.Addr(): "address = \"" + pbx.Addr() + "\"", secure: "fingerprint = \"" + print + "\"",
	} {
		m := newMachine(t, "")
		m.Address = address
		if done, err := m.run(t); done || err != nil {
			t.Fatalf("%s: %v, %v\n%s", address, done, err, &m.out)
		}
		contains(t, "the config", m.read(t, configFile), []string{want})
		contains(t, "the section", m.read(t, sectionFile), []string{"[amifend]", "permit = 127.0.0.1/"})
		contains(t, "printed", m.out.String(), []string{"into manager.conf of the PBX"})
		if warned := strings.Contains(m.out.String(), "forge events"); warned != (address == pbx.Addr()) {
			t.Errorf("%s: warned of the path: %v", address, warned)
		}

		if done, err := m.run(t); !done || err != nil {
			t.Errorf("%s, again: %v, %v\n%s", address, done, err, &m.out)
		}
	}
}

// What cannot be reached, or is no AMI, changes nothing.
func TestRemoteThatIsNone(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := silent.Addr().String()
	silent.Close()

	for _, address := range []string{closed, "two words", "", "x:y:z", "host/path"} {
		m := newMachine(t, "")
		m.Address = address
		if _, err := m.run(t); err == nil {
			t.Errorf("%q: no error", address)
		}
		if m.read(t, configFile) != "" {
			t.Errorf("%q: written", address)
		}
	}
}

// An AMI with TLS alone is trusted by the certificate that it shows on this machine.
func TestTLSOnly(t *testing.T) {
	address, print := listenTLS(t)
	m := newMachine(t, "")
	write(t, m.path("/etc/asterisk/manager.conf"), "[general]\nenabled = yes\nport = 0\ntlsenable = yes\n"+
		"tlsbindaddr = "+address+"\n#include manager.d/*.conf\n")
	write(t, m.path("/etc/asterisk/pjsip.conf"), "")
	m.ReloadAsterisk = true
	if done, err := m.run(t); !done || err != nil {
		t.Fatalf("%v, %v\n%s", done, err, &m.out)
	}
	contains(t, "the config", m.read(t, configFile), []string{address, print})
}

// answers is an asker with prepared answers.
type answers struct {
	confirm []bool
	line    string
	chosen  []int
	asked   []string
}

func (a *answers) Confirm(title, text string, _ bool) (bool, error) {
	a.asked = append(a.asked, title+" "+text)
	ok := a.confirm[0]
	a.confirm = a.confirm[1:]
	return ok, nil
}

func (a *answers) Input(title, _ string, valid func(string) error) (string, error) {
	a.asked = append(a.asked, title)
	return a.line, valid(a.line)
}

func (a *answers) Choose(title, _ string, _ []string) ([]int, error) {
	a.asked = append(a.asked, title)
	return a.chosen, nil
}

func TestAsks(t *testing.T) {
	// No: nothing is written.
	m := newMachine(t, "debian")
	no := &answers{confirm: []bool{false}}
	m.Ask = no
	before := m.tree(t)
	if done, err := m.run(t); done || err != nil || m.tree(t) != before || len(no.asked) != 2 {
		t.Errorf("%v, %v, asked %q", done, err, no.asked)
	}

	// Yes to all, and only the first of those who could be allowed.
	yes := &answers{confirm: []bool{true, true}, chosen: []int{0}}
	m.Ask = yes
	if done, err := m.run(t); !done || err != nil || len(m.asterisk) == 0 {
		t.Errorf("%v, %v, asked %q\n%s", done, err, yes.asked, &m.out)
	}
	if text := m.read(t, configFile); !strings.Contains(text, "198.51.100.9") || strings.Contains(text, "192.168.7.0") {
		t.Errorf("the config:\n%s", text)
	}

	// Without an Asterisk here the address is asked for.
	pbx := amitest.Run(t, amitest.Config{Username: "amifend", Secret: "x"})
	m = newMachine(t, "")
	m.Ask = &answers{line: pbx.Addr(), confirm: []bool{true, true}, chosen: []int{0}}
	if done, err := m.run(t); !done || err != nil {
		t.Errorf("%v, %v\n%s", done, err, &m.out)
	}
}
