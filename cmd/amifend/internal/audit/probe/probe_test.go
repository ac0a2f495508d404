package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/ami/amitest"
)

// answers plays a PBX: it answers each request of SIP by what reply returns. It fails the test at an
// INVITE, and at credentials.
func answers(t *testing.T, request string, reply func(method, from string) string) string {
	t.Helper()
	method, _, _ := strings.Cut(request, " ")
	if method != "OPTIONS" && method != "SUBSCRIBE" || strings.Contains(request, "Authorization:") {
		t.Errorf("sent %q", request)
	}

	var copied, from, id string
	for line := range strings.SplitSeq(request, "\r\n") {
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "Via", "From", "To", "CSeq":
			copied += line + "\r\n"
		case "Call-ID":
			id = value
		}
		if name == "From" {
			from, _, _ = strings.Cut(strings.TrimPrefix(value, "<sip:"), "@")
		}
	}
	return "SIP/2.0 " + reply(method, from) + "\r\n" + copied + "Call-ID: " + id +
		"\r\nContent-Length: 0\r\n\r\n"
}

// refuses is the answer of a PBX that challenges everybody.
func refuses(string, string) string {
	return "401 Unauthorized\r\nServer: PBX\r\n" +
		`WWW-Authenticate: Digest realm="asterisk",nonce="` + fmt.Sprint(time.Now().UnixNano()) +
		`",opaque="1",algorithm=MD5,qop="auth"`
}

// port returns the port of an address.
func port(t *testing.T, a net.Addr) uint16 {
	t.Helper()
	switch a := a.(type) {
	case *net.TCPAddr:
		return uint16(a.Port)
	case *net.UDPAddr:
		return uint16(a.Port)
	}
	t.Fatalf("%T has no port", a)
	return 0
}

// playUDP answers at a UDP port.
func playUDP(t *testing.T, reply func(method, from string) string) uint16 {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buffer := make([]byte, 64<<10)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			text := answers(t, string(buffer[:n]), reply)

			// A provisional answer, and one to somebody else's request, come first.
			other := strings.Replace(text, "Call-ID: ", "Call-ID: x", 1)
			for _, m := range []string{"SIP/2.0 100 Trying\r\n\r\n", "garbage", other, text} {
				_, _ = conn.WriteTo([]byte(m), from)
			}
		}
	}()
	return port(t, conn.LocalAddr())
}

// playStream answers at a port of TCP or TLS.
func playStream(t *testing.T, config *tls.Config, reply func(method, from string) string) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if config != nil {
		l = tls.NewListener(l, config)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				r := bufio.NewReader(conn)
				var text strings.Builder
				for {
					line, err := r.ReadString('\n')
					text.WriteString(line)
					if err != nil {
						return
					}
					if line == "\r\n" {
						_, _ = conn.Write([]byte(answers(t, text.String(), reply)))
						text.Reset()
					}
				}
			}()
		}
	}()
	return port(t, l.Addr())
}

// playWeb answers SIP over WebSocket, and the pages of the HTTP server.
func playWeb(t *testing.T, reply func(method, from string) string) http.Handler {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"sip"}})
		if err != nil {
			return
		}
		defer func() { _ = c.CloseNow() }()
		_, text, err := c.Read(context.Background())
		if err == nil {
			_ = c.Write(context.Background(), websocket.MessageText,
				[]byte(answers(t, string(text), reply)))
		}
		_, _, _ = c.Read(context.Background())
	})
	mux.HandleFunc("/httpstatus", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Server", "Asterisk/22.10.0")
		_, _ = w.Write([]byte("<title>Asterisk HTTP Status</title>"))
	})
	mux.HandleFunc("/rawman", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("Response: Error\r\nMessage: Permission denied\r\n"))
	})
	return mux
}

// All ways to a PBX that answers everywhere.
func TestLook(t *testing.T) {
	certificate, _, err := amitest.Certificate("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	secure := &tls.Config{
		Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS10,
	}
	web := httptest.NewServer(playWeb(t, refuses))
	t.Cleanup(web.Close)
	secureWeb := httptest.NewTLSServer(playWeb(t, refuses))
	t.Cleanup(secureWeb.Close)

	target := Target{
		Name: "office", Host: "127.0.0.1", Account: "1001",
		AMI: ami.Config{Address: "127.0.0.1:1", Username: "amifend"},
		Ports: Ports{
			SIP: playUDP(t, refuses), SIPS: playStream(t, secure, refuses),
			HTTP:  port(t, web.Listener.Addr()),
			HTTPS: port(t, secureWeb.Listener.Addr()),
		},
	}
	facts, err := Look(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}

	var got []string
	for _, a := range facts.SIP {
		got = append(got, fmt.Sprintf("%s %d %s", a.Transport, a.Status, a.Server))
	}
	want := "[udp 401 PBX tcp 0  tls 401 PBX ws 401 PBX wss 401 PBX]" // nothing plays TCP
	if fmt.Sprint(got) != want {
		t.Errorf("SIP: got %v, want %s", got, want)
	}
	if facts.Stranger.Status != 401 || facts.Known.Status != 401 ||
		facts.Stranger.Challenge != facts.Known.Challenge ||
		!strings.Contains(facts.Known.Challenge, `realm="asterisk"`) {
		t.Errorf("%+v, %+v", facts.Stranger, facts.Known)
	}

	for _, p := range facts.HTTP {
		if !p.Answers || p.Server != "Asterisk/22.10.0" || !p.StatusPage || !p.WebManager {
			t.Errorf("HTTP: %+v", p)
		}
	}
	// The server of the standard library refuses TLS 1.1.
	for _, h := range facts.TLS {
		if !h.Answers || h.Old != (h.What == "SIP") || time.Until(h.NotAfter) < 0 {
			t.Errorf("TLS: %+v", h)
		}
	}
}

// The requests are named before they are sent.
func TestPlan(t *testing.T) {
	target := Target{
		Host: "127.0.0.1", AMI: ami.Config{
			Address: "127.0.0.1:5039", Username: "amifend", TLS: &ami.TLS{},
			Secret: ami.NewSecret("secret"),
		},
		Ports: DefaultPorts(), Account: "1001",
	}
	plan := strings.Join(target.Plan(), "\n")
	for _, want := range []string{
		"ListCommands at 127.0.0.1:5039", "at port 5038",
		"5060/udp, 5060/tcp, 5061/tls, 8088/ws, 8089/wss", `"1001"`, "never an INVITE",
		"/rawman?action=ping at port 8089", "port 5061 (SIP)", "port 5039 (AMI)",
	} {
		if !strings.Contains(plan, want) {
			t.Errorf("%q is not in\n%s", want, plan)
		}
	}
	if strings.Contains(plan, "secret") {
		t.Error("the plan holds the secret")
	}

	target.Ports = Ports{}
	if n := len(target.Plan()); n != 2 { // the login, and the handshakes of its port
		t.Errorf("without ports: %d lines", n)
	}
}

func TestLookAMI(t *testing.T) {
	certificate, _, err := amitest.Certificate("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	pbx := amitest.Run(t, amitest.Config{
		Username: "amifend", Secret: "right",
		TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		Behaviour: amitest.Behaviour{Commands: []string{
			"Ping: Keepalive command.  (Priv: <none>)", "Hangup: Hangup channel.  (Priv: call,all)",
		}},
	})
	plain := amitest.Run(t, amitest.Config{Username: "amifend", Secret: "right"})
	_, text, err := net.SplitHostPort(plain.Addr())
	if err != nil {
		t.Fatal(err)
	}
	var beside uint16
	if _, err := fmt.Sscan(text, &beside); err != nil {
		t.Fatal(err)
	}

	heard := 0
	target := Target{
		Host: "127.0.0.1", Ports: Ports{AMI: beside},
		AMI: ami.Config{
			Address: pbx.Addr(), Username: "amifend", Secret: ami.NewSecret("right"),
			TLS: &ami.TLS{InsecureSkipVerify: true},
		},
		Heard: func(ami.Event) { heard++ },
	}
	a := LookAMI(t.Context(), target)
	if a.Err != nil || len(a.Actions) != 2 || !a.Plain || heard == 0 {
		t.Errorf("%+v, heard %d", a, heard)
	}

	target.AMI.Secret = ami.NewSecret("wrong")
	if a := LookAMI(t.Context(), target); ami.ProblemOf(a.Err) != ami.ProblemAuthFailed {
		t.Errorf("%+v", a)
	}
}

func TestLocalAddr(t *testing.T) {
	if a, err := LocalAddr(t.Context(), "127.0.0.1"); err != nil || a.String() != "127.0.0.1" {
		t.Errorf("%v, %v", a, err)
	}
}

// What a stranger's port sends is parsed, whatever it is.
func FuzzParse(f *testing.F) {
	f.Add("SIP/2.0 401 Unauthorized\r\nServer: PBX\r\nContent-Length: 3\r\n\r\nabc")
	f.Add("SIP/2.0 200\r\n\r\n")
	f.Add("HTTP/1.1 200 OK\r\n\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parse(bufio.NewReader(strings.NewReader(text)))
		if err == nil && (m.status < 100 || m.status > 699) {
			t.Errorf("status %d", m.status)
		}
		_ = challenge(m.header.Get("WWW-Authenticate"))
	})
}

// No account name breaks out of the header.
func FuzzEscape(f *testing.F) {
	f.Add("1001")
	f.Add("a\r\nRoute: <sip:x>")
	f.Fuzz(func(t *testing.T, account string) {
		text := request("192.0.2.1", transport{name: "udp", via: "UDP"}, "SUBSCRIBE", account,
			"ABCDEFGHIJKLMNOP", "127.0.0.1:5060")
		if strings.Count(text, "\r\n") != 14 {
			t.Errorf("%q", text)
		}
	})
}
