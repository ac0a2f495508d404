package probe

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Page is what a port of the HTTP server shows.
type Page struct {
	Port       uint16
	TLS        bool
	Answers    bool
	Server     string // the header, any text
	StatusPage bool   // /httpstatus is served
	WebManager bool   // /rawman is served
}

// mostBody bounds what is read of a page.
const mostBody = 64 << 10

// lookHTTP asks for two pages.
func lookHTTP(ctx context.Context, t Target, p Page) Page {
	client := &http.Client{
		Timeout: t.wait(),
		Transport: &http.Transport{
			// Only what anybody can see is looked at, so the certificate does not matter here.
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10},
			DisableKeepAlives: true, Proxy: nil, MaxResponseHeaderBytes: mostBody,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()

	scheme := "http://"
	if p.TLS {
		scheme = "https://"
	}
	base := scheme + address(t.Host, p.Port)

	status, server, body := get(ctx, client, base+"/httpstatus")
	p.Answers, p.Server = status != 0, server
	p.StatusPage = status == http.StatusOK && strings.Contains(body, "Asterisk")

	// 200 with a refusal inside: the AMI is reachable. 404: webenabled is off.
	status, _, body = get(ctx, client, base+"/rawman?action=ping")
	p.WebManager = status == http.StatusOK && strings.Contains(body, "Response: ")
	return p
}

// get returns the status, the header Server and the beginning of a page; status 0: no answer.
func get(ctx context.Context, client *http.Client, url string) (int, string, string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", ""
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, "", ""
	}
	defer res.Body.Close()

	body, _ := io.ReadAll(io.LimitReader(res.Body, mostBody))
	return res.StatusCode, res.Header.Get("Server"), string(body)
}

// Handshake is what a TLS port shows.
type Handshake struct {
	What     string // SIP, HTTPS or AMI
	Port     uint16
	Answers  bool
	Version  string
	Old      bool // it also accepts TLS 1.0 or 1.1
	NotAfter time.Time
}

// handshake looks at the certificate and the versions of a TLS port.
func handshake(ctx context.Context, t Target, p tlsPort) Handshake {
	h := Handshake{What: p.what, Port: p.port}
	state, ok := t.shake(ctx, p.port, tls.VersionTLS10, 0)
	if !ok {
		return h
	}

	h.Answers, h.Version = true, tls.VersionName(state.Version)
	if len(state.PeerCertificates) > 0 {
		h.NotAfter = state.PeerCertificates[0].NotAfter
	}
	_, h.Old = t.shake(ctx, p.port, tls.VersionTLS10, tls.VersionTLS11)
	return h
}

// shake makes a handshake with the versions from least to most; most 0: the newest.
func (t Target) shake(
	ctx context.Context, port, least, most uint16,
) (tls.ConnectionState, bool) {
	ctx, cancel := context.WithTimeout(ctx, t.wait())
	defer cancel()
	d := tls.Dialer{
		NetDialer: &net.Dialer{},
		Config: &tls.Config{
			InsecureSkipVerify: true, MinVersion: least, MaxVersion: most,
		},
	}
	conn, err := d.DialContext(ctx, "tcp", address(t.Host, port))
	if err != nil {
		return tls.ConnectionState{}, false
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState(), true
}
