package metrics

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	served  = "metrics are served"
	refused = "metrics: a request without the right user and password was refused"
)

// serve runs a server until the test ends, and returns its log and the server.
func serve(t *testing.T, c config.Metrics) (*logtest.Book, *Server) {
	t.Helper()
	said, log := logtest.New()
	s := New(c, log, newOffice(t, "office").Sources)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return said, s
}

// get returns the status and the body of an answer.
func get(t *testing.T, method, url string, change func(*http.Request, *http.Transport)) (int, string) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(req, transport)
	}

	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(body)
}

// There is one page. What else people look for at such ports is not there.
func TestOnePageIsServed(t *testing.T) {
	said, _ := serve(t, config.Metrics{Listen: "127.0.0.1:0"})
	base := "http://" + said.Wait(t, served, "").Text("address")

	if code, body := get(t, http.MethodGet, base+"/metrics", nil); code != http.StatusOK ||
		!strings.Contains(body, `amifend_server_up{server="office"} 0`) {
		t.Errorf("%d %s", code, body)
	}
	for _, tt := range []struct {
		method, path string
		code         int
	}{
		{http.MethodGet, "/", http.StatusNotFound},
		{http.MethodGet, "/debug/pprof/", http.StatusNotFound},
		{http.MethodGet, "/metrics/x", http.StatusNotFound},
		{http.MethodPost, "/metrics", http.StatusMethodNotAllowed},
	} {
		if code, body := get(t, tt.method, base+tt.path, nil); code != tt.code {
			t.Errorf("%s %s: %d %s", tt.method, tt.path, code, body)
		}
	}

	long := func(r *http.Request, _ *http.Transport) { r.Header.Set("X", strings.Repeat("x", 1<<20)) }
	if code, _ := get(t, http.MethodGet, base+"/metrics", long); code == http.StatusOK {
		t.Error("a header of a megabyte is taken")
	}
}

// Clients that connect and send nothing do not keep Prometheus out.
func TestSilentClientsAreCutOff(t *testing.T) {
	said, _ := serve(t, config.Metrics{Listen: "127.0.0.1:0"})
	address := said.Wait(t, served, "").Text("address")
	for range mostConns {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if code, body := get(t, http.MethodGet, "http://"+address+"/metrics", nil); code != http.StatusOK {
		t.Errorf("%d %s", code, body)
	}
}

// Without the right user and password there is no page, and no secret is logged.
func TestPassword(t *testing.T) {
	said, s := serve(t, config.Metrics{
		Listen: "127.0.0.1:0", Username: "prometheus", Password: ami.NewSecret("s3cret"),
	})
	url := "http://" + said.Wait(t, served, "").Text("address") + "/metrics"
	as := func(user, password string) func(*http.Request, *http.Transport) {
		return func(r *http.Request, _ *http.Transport) { r.SetBasicAuth(user, password) }
	}

	for _, tt := range []struct {
		as   func(*http.Request, *http.Transport)
		code int
	}{
		{nil, http.StatusUnauthorized},
		{as("prometheus", "wr0ng"), http.StatusUnauthorized},
		{as("prometheus", ""), http.StatusUnauthorized},
		{as("other", "s3cret"), http.StatusUnauthorized},
		{as("prometheus", "s3cret"), http.StatusOK},
	} {
		code, body := get(t, http.MethodGet, url, tt.as)
		if code != tt.code || strings.Contains(body, "s3cret") ||
			code != http.StatusOK && strings.Contains(body, "amifend_") {
			t.Errorf("%d, want %d: %s", code, tt.code, body)
		}
	}
	said.Count(t, 1, refused, "") // a minute's worth

	// A reload changes the password.
	s.Change(config.Metrics{
		Listen: "127.0.0.1:0", Username: "prometheus", Password: ami.NewSecret("n3w"),
	})
	eventually(t, "it is served anew", func() bool { return len(said.Said(served, "")) == 2 })
	url = "http://" + said.Said(served, "")[1].Text("address") + "/metrics"
	old, _ := get(t, http.MethodGet, url, as("prometheus", "s3cret"))
	next, _ := get(t, http.MethodGet, url, as("prometheus", "n3w"))
	if old != http.StatusUnauthorized || next != http.StatusOK {
		t.Errorf("the old password: %d, the new one: %d", old, next)
	}
	for _, secret := range []string{"s3cret", "n3w", "wr0ng"} {
		if strings.Contains(said.String(), secret) {
			t.Errorf("the log has %s", secret)
		}
	}
}

// With a certificate, plain HTTP gets no page.
func TestTLS(t *testing.T) {
	c, pool := certified(t)
	said, _ := serve(t, c)
	address := said.Wait(t, served, "").Text("address")
	trusting := func(_ *http.Request, tr *http.Transport) {
		tr.TLSClientConfig = &tls.Config{RootCAs: pool, ServerName: "localhost"}
	}

	page := address + "/metrics"
	if code, body := get(t, http.MethodGet, "https://"+page, trusting); code != http.StatusOK {
		t.Errorf("%d %s", code, body)
	}
	if code, body := get(t, http.MethodGet, "http://"+page, nil); code == http.StatusOK {
		t.Errorf("plain: %d %s", code, body)
	}

	old := func(_ *http.Request, tr *http.Transport) {
		tr.TLSClientConfig = &tls.Config{
			RootCAs: pool, ServerName: "localhost", MaxVersion: tls.VersionTLS11,
		}
	}
	if code, _ := get(t, http.MethodGet, "https://"+page, old); code == http.StatusOK {
		t.Error("TLS 1.1 is taken")
	}
}

// An address that is taken is a problem that is logged once, and goes away by a reload.
func TestAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()

	said, s := serve(t, config.Metrics{Listen: taken.Addr().String()})
	said.Wait(t, "metrics cannot be served", "")
	if p := s.Problem(); !strings.Contains(p, "in use") {
		t.Errorf("problem %q", p)
	}

	s.Change(config.Metrics{Listen: "127.0.0.1:0"})
	said.Wait(t, served, "")
	if p := s.Problem(); p != "" {
		t.Errorf("problem %q", p)
	}
	s.Change(config.Metrics{})
	url := "http://" + said.Said(served, "")[0].Text("address") + "/metrics"
	eventually(t, "nothing is served any more", func() bool {
		code, _ := get(t, http.MethodGet, url, nil)
		return code == 0
	})
}

// certified returns a config with a certificate that the pool trusts.
func certified(t *testing.T) (config.Metrics, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}

	dir := t.TempDir()
	for name, block := range map[string]*pem.Block{
		"server.pem": {Type: "CERTIFICATE", Bytes: der},
		"server.key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	path := filepath.Join(dir, "config.toml")
	text := fmt.Sprintf("[[server]]\naddress = '127.0.0.1'\nusername = 'x'\nsecret = 'x'\n"+
		"[metrics]\nlisten = '127.0.0.1:1'\ncert_file = %q\nkey_file = %q\n", "server.pem", "server.key")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	c.Metrics.Listen = "127.0.0.1:0"

	pool := x509.NewCertPool()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(cert)
	return c.Metrics, pool
}
