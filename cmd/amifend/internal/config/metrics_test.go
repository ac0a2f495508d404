package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	encoding "encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
)

// writePair writes server.pem and server.key, and returns the key's text.
func writePair(t testing.TB, dir string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}

	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}

	text := string(encoding.EncodeToMemory(&encoding.Block{Type: "PRIVATE KEY", Bytes: private}))
	write(t, dir, "server.key", text, 0o600)
	write(t, dir, "server.pem",
		string(encoding.EncodeToMemory(&encoding.Block{Type: "CERTIFICATE", Bytes: cert})), 0o644)
	return text
}

func loadMetrics(t *testing.T, dir, keys string) (*Config, error) {
	t.Helper()
	return Load(write(t, dir, "config.toml", server+"[metrics]\n"+keys, 0o600))
}

// What leaves loopback without TLS and a password is a warning.
func TestOpenMetricsAreWarnedOf(t *testing.T) {
	dir := t.TempDir()
	writePair(t, dir)
	write(t, dir, "password", "s3cret\n", 0o600)
	const (
		password = "password_file = 'password'\n"
		pair     = "cert_file = 'server.pem'\nkey_file = 'server.key'\n"
	)

	for _, tt := range []struct{ keys, warning string }{
		{"", ""},
		{"listen = ''\ncert_file = 'missing'\n", ""},
		{"listen = '127.0.0.1:9797'\n", ""},
		{"listen = '[::1]:9797'\n", ""},
		{"listen = '[::ffff:127.0.0.1]:9797'\n", ""},
		{"listen = 'localhost:9797'\n", ""},
		{"listen = ':9797'\n", "can read the metrics"},
		{"listen = '0.0.0.0:9797'\n", "can read the metrics"},
		{"listen = '[::]:9797'\n" + pair, "can read the metrics"},
		{"listen = '192.0.2.7:9797'\n" + password, "without encryption"},
		{"listen = '192.0.2.7:9797'\n" + password + pair, ""},
	} {
		c, err := loadMetrics(t, dir, tt.keys)
		if err != nil {
			t.Errorf("%s: %v", tt.keys, err)
			continue
		}

		got := strings.Join(c.Warnings, "\n")
		if (got == "") != (tt.warning == "") || !strings.Contains(got, tt.warning) {
			t.Errorf("%s: warnings %q, want %q", tt.keys, got, tt.warning)
		}
	}

	// Every user could be the server with the key, and scrape with the password.
	write(t, dir, "password", "s3cret\n", 0o644)
	write(t, dir, "server.key", writePair(t, dir), 0o644)
	c, err := loadMetrics(t, dir, "listen = '127.0.0.1:9797'\n"+password+pair)
	if err != nil || len(c.Warnings) != 2 || !strings.Contains(c.Warnings[0], "password can be read") ||
		!strings.Contains(c.Warnings[1], "server.key can be read") {
		t.Errorf("%v, %+v", err, c)
	}
}

func TestMetricsThatCannotBeServed(t *testing.T) {
	dir := t.TempDir()
	writePair(t, dir)
	write(t, dir, "empty", "\n", 0o600)
	write(t, dir, "two", "a\nb\n", 0o600)
	const listen = "listen = '127.0.0.1:9797'\n"
	for _, tt := range []struct{ keys, key, says string }{
		{"listen = '9797'", "metrics.listen", "an address and a port"},
		{"listen = 'pbx.example:9797'", "metrics.listen", "has no address"},
		{"listen = '127.0.0.1:0'", "metrics.listen", "between 1 and 65535"},
		{"listen = 9797", "metrics.listen", "a text in quotes"},
		{listen + "username = 'a:b'", "metrics.username", "without a colon"},
		{listen + "username = ''", "metrics.username", "without a colon"},
		{listen + "cert_file = 'server.pem'", "metrics.cert_file", "need each other"},
		{listen + "key_file = 'server.key'", "metrics.cert_file", "need each other"},
		{listen + "cert_file = 'empty'\nkey_file = 'server.key'", "metrics.cert_file", "PEM form"},
		{listen + "cert_file = 'no'\nkey_file = 'server.key'", "metrics.cert_file", "open the file"},
		{listen + "cert_file = 'server.pem'\nkey_file = '/dev/tty'", "metrics.key_file", "open the file"},
		{listen + "password_file = 'empty'", "metrics.password_file", "holds no password"},
		{listen + "password_file = 'two'", "metrics.password_file", "a password is one line"},
		{listen + "password_file = 'no'", "metrics.password_file", "open secret"},
	} {
		_, err := loadMetrics(t, dir, tt.keys)
		var e *Error
		if !errors.As(err, &e) || len(e.Problems) != 1 || e.Problems[0].Key != tt.key ||
			!strings.Contains(e.Problems[0].Text, tt.says) {
			t.Errorf("%s: %v", tt.keys, err)
		}
	}
}

// A renewed certificate and a new password are changes. No text shows the key.
func TestMetricsAreComparedWithTheirFiles(t *testing.T) {
	dir := t.TempDir()
	key := writePair(t, dir)
	write(t, dir, "password", "s3cret\n", 0o600)
	const keys = "listen = '127.0.0.1:9797'\npassword_file = 'password'\ncert_file = 'server.pem'\n" +
		"key_file = 'server.key'\n"
	read := func(keys string) Metrics {
		t.Helper()
		c, err := loadMetrics(t, dir, keys)
		if err != nil {
			t.Fatal(err)
		}
		return c.Metrics
	}

	first := read(keys)
	if !first.Equal(read(keys)) || first.Equal(Metrics{}) {
		t.Error("what did not change is not equal, or what is off is")
	}
	secret := strings.Split(key, "\n")[1]
	for _, text := range []string{
		fmt.Sprintf("%v %+v %#v", first, first, first), fmt.Sprintf("%+v", first.Certificate),
	} {
		if strings.Contains(text, secret) || strings.Contains(text, "s3cret") {
			t.Errorf("printed: %s", text)
		}
	}

	write(t, dir, "password", "other\n", 0o600)
	if first.Equal(read(keys)) {
		t.Error("another password is no change")
	}
	write(t, dir, "password", "s3cret\n", 0o600)
	writePair(t, dir)
	if first.Equal(read(keys)) {
		t.Error("another certificate is no change")
	}
}
