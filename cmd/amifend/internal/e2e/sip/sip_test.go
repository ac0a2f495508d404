package sip

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The example of RFC 2617, 3.5.
func TestDigestAnswersTheExampleOfItsRFC(t *testing.T) {
	ch, ok := ParseChallenge(`Digest realm="testrealm@host.com", qop="auth,auth-int", ` +
		`nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"`)
	want := Challenge{
		Realm: "testrealm@host.com", Nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
		Opaque: "5ccc069c403ebaf9f0171e9517f40e41", QOP: true,
	}
	if diff := cmp.Diff(want, ch); !ok || diff != "" {
		t.Fatalf("ParseChallenge: %t, -want +got:\n%s", ok, diff)
	}
	answer := ch.Answer("Mufasa", "Circle Of Life", "GET", "/dir/index.html")
	if !strings.Contains(answer, `response="6629fae49393a05397450978507c4ef1"`) {
		t.Errorf("wrong response in %s", answer)
	}
}

func TestParseChallengeRefusesOthers(t *testing.T) {
	for _, value := range []string{"", `Basic realm="x"`, `Digest realm="x"`} {
		if ch, ok := ParseChallenge(value); ok {
			t.Errorf("%q taken as %+v", value, ch)
		}
	}
}

// A request goes out byte for byte as the caller wrote it: an injection must reach Asterisk
// unharmed.
func TestRequestIsSentByteForByte(t *testing.T) {
	r := Request{
		Method: "REGISTER", Target: "sip:192.0.2.10",
		From: "b%0d%0aX", To: "\xff", Host: "192.0.2.10",
		CallID: "c1", Tag: "t1", Branch: "b1", CSeq: 7, Header: []string{"Foo: bar"},
	}
	want := "REGISTER sip:192.0.2.10 SIP/2.0\r\n" +
		"Via: SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKb1;rport\r\n" +
		"Max-Forwards: 70\r\n" +
		"From: <sip:b%0d%0aX@192.0.2.10>;tag=t1\r\n" +
		"To: <sip:\xff@192.0.2.10>\r\n" +
		"Call-ID: c1\r\n" +
		"CSeq: 7 REGISTER\r\n" +
		"Foo: bar\r\n" +
		"Content-Length: 0\r\n\r\n"
	if diff := cmp.Diff(want, string(r.Bytes(UDP, "198.51.100.1:5060"))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// An attacker writes into the Via whatever it likes, and a client lets it be of every request.
func TestViaNamesWhatTheCallerSays(t *testing.T) {
	victim := netip.MustParseAddr("203.0.113.99")
	for _, tc := range []struct {
		name string
		via  Via
		want string
	}{
		{"the truth", Via{}, "Via: SIP/2.0/TCP 198.51.100.1:5060;branch=z9hG4bKb1;rport\r\n"},
		{
			"maddr",
			Via{Maddr: victim},
			"Via: SIP/2.0/TCP 198.51.100.1:5060;branch=z9hG4bKb1;rport;maddr=203.0.113.99\r\n",
		},
		{
			"all of it",
			Via{TLS, netip.MustParseAddrPort("203.0.113.7:5099"), victim, ";received=192.0.2.9"},
			"Via: SIP/2.0/TLS 203.0.113.7:5099;branch=z9hG4bKb1;rport;maddr=203.0.113.99;received=192.0.2.9\r\n",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := (&Client{Via: tc.via}).Request(Request{Method: "REGISTER", Branch: "b1"})
			if got := string(r.Bytes(TCP, "198.51.100.1:5060")); !strings.Contains(got, tc.want) {
				t.Errorf("no %q in\n%s", tc.want, got)
			}
		})
	}
}

func TestReadTakesOneMessageAfterTheOther(t *testing.T) {
	r := bufio.NewReader(strings.NewReader("\r\nSIP/2.0 200 OK\r\nl: 3\r\ni: c1\r\n\r\nabc" +
		"OPTIONS sip:x SIP/2.0\r\nContent-Length: 0\r\n\r\n"))
	first, err := Read(r)
	if err != nil || first.Status() != 200 ||
		string(first.Body) != "abc" || first.Get("Call-ID") != "c1" {
		t.Errorf("first: %+v, %v", first, err)
	}
	second, err := Read(r)
	if err != nil || second.Status() != 0 || second.Start != "OPTIONS sip:x SIP/2.0" {
		t.Errorf("second: %+v, %v", second, err)
	}
	if _, err := Read(r); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v, want EOF", err)
	}
}

func TestReadRefusesWhatIsBroken(t *testing.T) {
	for _, text := range []string{
		"SIP/2.0 200 OK\r\nContent-Length: 9\r\n\r\nabc",
		"SIP/2.0 200 OK\r\nContent-Length: -1\r\n\r\n",
		"SIP/2.0 200 OK\r\nContent-Length: 99999999\r\n\r\n",
		"SIP/2.0 200 OK\r\nno colon\r\n\r\n",
		"SIP/2.0 200 OK\r\nA: b\r\n",
	} {
		if m, err := Parse([]byte(text)); err == nil {
			t.Errorf("%q taken as %+v", text, m)
		}
	}
}

// here is the network of the test itself: loopback only.
type here struct{}

func (here) Do(open func() error) error { return open() }

// The server answers each request once, and drops those of the user drop.
func TestClient(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go serve(server)

	local := netip.MustParseAddrPort("127.0.0.1:0")
	c, err := Dial(t.Context(), here{}, UDP, local, addrPort(server.LocalAddr()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	p := NewPhone(c, "1001", "right")
	if err := p.Register(t.Context(), time.Minute); err != nil {
		t.Errorf("right password: %v", err)
	}
	if err := NewPhone(c, "1001", "wrong").Register(t.Context(), time.Minute); err == nil {
		t.Error("registered with a wrong password")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = c.Do(ctx, c.Request(Request{Method: "OPTIONS", From: "drop"}))
	if !errors.Is(err, ErrNoAnswer) {
		t.Errorf("dropped request: %v, want ErrNoAnswer", err)
	}
}

// serve challenges requests without credentials, and accepts the one right answer.
func serve(server net.PacketConn) {
	ch := Challenge{Realm: "asterisk", Nonce: "n"}
	buf := make([]byte, 4096)
	for {
		n, from, err := server.ReadFrom(buf)
		if err != nil {
			return
		}
		m, err := Parse(buf[:n])
		if err != nil || strings.Contains(m.Get("From"), "drop") {
			continue
		}

		status := "401 Unauthorized"
		if auth := m.Get("Authorization"); auth != "" {
			method, rest, _ := strings.Cut(m.Start, " ")
			uri, _, _ := strings.Cut(rest, " ")
			status = "403 Forbidden"
			if auth == ch.Answer("1001", "right", method, uri) {
				status = "200 OK"
			}
		}

		head := status + "\r\nWWW-Authenticate: Digest realm=\"asterisk\", nonce=\"n\"\r\n" +
			"Contact: " + m.Get("Contact") + "\r\n"
		answer := strings.Replace(string(okFor(m)), "200 OK\r\n", head, 1)
		if _, err := server.WriteTo([]byte(answer), from); err != nil {
			return
		}
	}
}
