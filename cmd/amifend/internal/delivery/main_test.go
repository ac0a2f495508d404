package delivery

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

// confineTo has all requests, whatever their host, sent to a server of the test, by the confined
// transport. What the target would have been is in the header of the request.
func confineTo(t *testing.T, s *httptest.Server) {
	t.Helper()
	before := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = before })
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	http.DefaultTransport = &confined{redirected{u}}
}

// redirected sends requests to one server.
type redirected struct{ to *url.URL }

func (r redirected) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Meant-For", req.URL.String())
	req.URL.Scheme, req.URL.Host = r.to.Scheme, r.to.Host
	base := &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	return base.RoundTrip(req)
}
