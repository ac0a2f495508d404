package config

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"github.com/amifend/amifend/ami"
)

// Metrics holds where Prometheus may scrape amifend, and who may.
type Metrics struct {
	Listen   string // host:port, ready for net.Listen; "": nowhere
	Username string
	Password ami.Secret `json:"-"` // zero: anybody may scrape
	// Certificate is the server's; nil: plain HTTP.
	Certificate *KeyPair
}

// Equal reports whether m and o are the same, the files that they were read from included.
func (m Metrics) Equal(o Metrics) bool {
	return m.Listen == o.Listen && m.Username == o.Username && m.Password.Equal(o.Password) &&
		m.Certificate.id() == o.Certificate.id()
}

// KeyPair is a certificate with its private key. No way of printing shows the key.
type KeyPair struct {
	pair *tls.Certificate // a pointer, which fmt prints as an address
	sum  [sha256.Size]byte
}

// TLS returns the pair for a server.
func (p *KeyPair) TLS() tls.Certificate { return *p.pair }

// id returns a value that differs for pairs that differ; that of a nil pair is zero.
func (p *KeyPair) id() [sha256.Size]byte {
	if p == nil {
		return [sha256.Size]byte{}
	}
	return p.sum
}

// defaultScraper is the user's name if the file gives none.
const defaultScraper = "prometheus"

// metrics reads [metrics]. Without listen no file is read: the rest has no effect.
func (l *loader) metrics(raw rawMetrics) Metrics {
	m := Metrics{Username: get(l, "metrics.username", raw.Username, defaultScraper)}
	listen := get(l, "metrics.listen", raw.Listen, "")
	password := get(l, "metrics.password_file", raw.PasswordFile, "")
	cert := get(l, "metrics.cert_file", raw.CertFile, "")
	key := get(l, "metrics.key_file", raw.KeyFile, "")
	if listen == "" {
		return m
	}

	host, ok := l.listen(listen)
	if !ok {
		return m
	}
	m.Listen = listen

	// RFC 7617: a colon ends the name.
	if m.Username == "" || strings.Contains(m.Username, ":") ||
		strings.ContainsFunc(m.Username, unicode.IsControl) {
		l.problem("metrics.username",
			"is not a name for HTTP; write one without a colon or control characters")
	}
	if (cert == "") != (key == "") {
		l.problem("metrics.cert_file", "and key_file need each other; write both, or none")
	}

	if !l.policyOnly {
		if password != "" {
			m.Password = l.scrapePassword(password)
		}
		if cert != "" && key != "" {
			m.Certificate = l.keyPair(cert, key)
		}
	}
	l.warnOpen(host, cert != "", password != "")
	return m
}

// listen returns the host of an address to listen on, "" for all, or records a problem.
func (l *loader) listen(address string) (host string, ok bool) {
	const want = `write an address of this machine and a port, like "127.0.0.1:9797"`
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		l.problem("metrics.listen", "is not an address and a port; %s", want)
		return "", false
	}

	// A name could resolve to another machine tomorrow.
	if _, err := netip.ParseAddr(host); err != nil && host != "localhost" && host != "" {
		l.problem("metrics.listen", "has no address in front of the port; %s", want)
		return "", false
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		l.problem("metrics.listen", "has no port between 1 and 65535; %s", want)
		return "", false
	}
	return host, true
}

// warnOpen adds a warning unless the metrics stay on this machine, or are protected.
func (l *loader) warnOpen(host string, encrypted, password bool) {
	addr, err := netip.ParseAddr(host)
	if host == "localhost" || err == nil && addr.Unmap().IsLoopback() || encrypted && password {
		return
	}

	risk := "anybody who reaches it can read the metrics"
	if password {
		risk = "its password crosses the network without encryption"
	}
	l.warnings = append(l.warnings, "[metrics] listen is not an address of loopback, and "+risk+
		": set cert_file, key_file and password_file, or listen on 127.0.0.1")
}

// scrapePassword reads the password of those who may scrape.
func (l *loader) scrapePassword(name string) ami.Secret {
	const key = "metrics.password_file"
	text, ok := l.readSecret(key, name)
	switch {
	case !ok:
	case text == "":
		l.problem(key, "holds no password; write one line of text into the file")
	case strings.ContainsFunc(text, unicode.IsControl):
		l.problem(key, "holds a line break or another control character; a password is one line")
	default:
		return ami.NewSecret(text)
	}
	return ami.Secret{}
}

// keyPair reads a certificate and its key. It returns nil and records a problem if they cannot be
// used.
func (l *loader) keyPair(certName, keyName string) *KeyPair {
	cert, ok := l.readPEM("metrics.cert_file", certName, false)
	if !ok {
		return nil
	}
	key, ok := l.readPEM("metrics.key_file", keyName, true)
	if !ok {
		return nil
	}

	// The library's error may quote what is in the file.
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		l.problem("metrics.cert_file",
			"and key_file are not a certificate and its key in PEM form; see whether they belong "+
				"together: openssl x509 -noout -pubkey -in CERT, openssl pkey -pubout -in KEY")
		return nil
	}
	return &KeyPair{&pair, sha256.Sum256(append(append(cert, 0), key...))}
}

// readPEM reads a file that the key names. A relative name is looked up among the credentials of
// the systemd unit first, then beside the config file.
func (l *loader) readPEM(key, name string, secret bool) ([]byte, bool) {
	var tried []string
	if !filepath.IsAbs(name) && l.credentials != "" {
		tried = append(tried, filepath.Join(l.credentials, name))
	}

	var (
		b    []byte
		mode fs.FileMode
		err  error
		path string
	)
	for _, path = range append(tried, l.abs(name)) {
		if b, mode, err = readRegular(path, maxFile); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		l.problem(key, "%s", fmt.Errorf("open the file: %w; who runs amifend must be able to read it",
			unnamed(err)))
		return nil, false
	}

	// A certificate is public, its key is not.
	if secret {
		l.checkMode(path, mode)
	}
	return b, true
}
