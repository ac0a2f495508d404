package probe

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// Answer is the final answer to a SIP request.
type Answer struct {
	Transport string // udp, tcp, tls, ws or wss
	Port      uint16
	Status    int    // 0: no answer
	Server    string // the header Server or User-Agent, any text
	Challenge string // the header WWW-Authenticate without its nonce and opaque, any text
}

// ask sends one request without credentials and returns the answer. account is the user in From;
// "": one that does not exist.
func ask(ctx context.Context, t Target, tr transport, method, account string) Answer {
	ctx, cancel := context.WithTimeout(ctx, t.wait())
	defer cancel()
	a := Answer{Transport: tr.name, Port: tr.port}
	conn, err := open(ctx, t.Host, tr)
	if err != nil {
		return a
	}
	defer conn.Close()

	end, _ := ctx.Deadline()
	if err := conn.SetDeadline(end); err != nil {
		return a
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()

	if account == "" {
		account = "amifend-audit-" + strings.ToLower(rand.Text()[:8])
	}
	id := rand.Text()
	text := request(t.Host, tr, method, account, id, conn.LocalAddr().String())
	if _, err := conn.Write([]byte(text)); err != nil {
		return a
	}

	// A datagram may be lost, so it is sent once more.
	if tr.name == "udp" {
		again := time.AfterFunc(t.wait()/3, func() { _, _ = conn.Write([]byte(text)) })
		defer again.Stop()
	}

	m, err := receive(conn, tr, id)
	if err != nil {
		return a
	}
	a.Status, a.Challenge = m.status, challenge(m.header.Get("WWW-Authenticate"))
	if a.Server = m.header.Get("Server"); a.Server == "" {
		a.Server = m.header.Get("User-Agent")
	}
	return a
}

// open connects.
func open(ctx context.Context, host string, tr transport) (net.Conn, error) {
	addr := address(host, tr.port)
	config := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}
	switch tr.name {
	case "udp", "tcp":
		var d net.Dialer
		return d.DialContext(ctx, tr.name, addr)
	case "tls":
		d := tls.Dialer{Config: config}
		return d.DialContext(ctx, "tcp", addr)
	}

	// SIP over WebSocket (RFC 7118). Asterisk serves it at /ws.
	raw, err := dialWeb(ctx, addr, tr, config)
	if err != nil {
		return nil, err
	}
	c, res, err := websocket.Dial(ctx, tr.name+"://"+addr+"/ws", &websocket.DialOptions{
		Subprotocols: []string{"sip"}, HTTPClient: oneConnection(raw),
	})
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	if res != nil && res.Body != nil {
		_ = res.Body.Close()
	}
	return webConn{websocket.NetConn(ctx, c, websocket.MessageText), raw}, nil
}

// request returns a request without credentials. Contact names the socket from which it is sent.
func request(host string, tr transport, method, account, id, local string) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	scheme, param := "sip:", ""
	if tr.name != "udp" {
		param = ";transport=" + tr.name
	}

	account = escape(account)
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	to := account
	if method == "OPTIONS" {
		to = ""
	} else {
		to += "@"
	}
	line("%s %s%s%s SIP/2.0", method, scheme, to, host)
	line("Via: SIP/2.0/%s %s;branch=z9hG4bK%s;rport", tr.via, local, id)
	line("Max-Forwards: 70")
	line("From: <sip:%s@%s>;tag=%s", account, host, id[:10])
	line("To: <sip:%s%s>", to, host)
	line("Call-ID: %s", id)
	line("CSeq: 1 %s", method)
	line("Contact: <sip:%s@%s%s>", account, local, param)
	line("User-Agent: amifend audit")
	if method == "SUBSCRIBE" {
		// An end of 0 leaves no subscription behind (RFC 6665, section 4.1.2.3).
		line("Event: presence")
		line("Accept: application/pidf+xml")
		line("Expires: 0")
	}
	line("Content-Length: 0")
	return b.String() + "\r\n"
}

// escape returns the user of a SIP URI (RFC 3261, section 25.1): everything but letters, digits and
// a few marks is escaped.
func escape(user string) string {
	var b strings.Builder
	for i := range len(user) {
		c := user[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9',
			strings.IndexByte("-_.!~*'()", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// message is an answer of SIP.
type message struct {
	status int
	header textproto.MIMEHeader
}

// Bounds of an answer.
const (
	mostMessage = 64 << 10
	mostAnswers = 8 // provisional answers before the final one
)

// receive reads answers until the final one to our request.
func receive(conn net.Conn, tr transport, id string) (message, error) {
	reader := bufio.NewReaderSize(io.LimitReader(conn, mostMessage*mostAnswers), mostMessage)
	for range mostAnswers {
		var m message
		var err error
		if tr.name == "udp" {
			buffer := make([]byte, mostMessage)
			n, readErr := conn.Read(buffer)
			if readErr != nil {
				return message{}, readErr
			}
			m, err = parse(bufio.NewReader(strings.NewReader(string(buffer[:n]))))
		} else {
			m, err = parse(reader)
		}

		// Strangers may write to a UDP port, so the answer must have our Call-ID.
		switch {
		case err != nil && tr.name != "udp":
			return message{}, err
		case err == nil && m.status >= 200 && m.header.Get("Call-ID") == id:
			return m, nil
		}
	}
	return message{}, errors.New("no final answer")
}

// parse reads one answer. Its body is skipped as far as Content-Length says.
func parse(r *bufio.Reader) (message, error) {
	text := textproto.NewReader(r)
	line, err := text.ReadLine()
	if err != nil {
		return message{}, err
	}
	rest, ok := strings.CutPrefix(line, "SIP/2.0 ")
	if !ok || len(rest) < 3 {
		return message{}, errors.New("not an answer of SIP")
	}
	status, err := strconv.Atoi(rest[:3])
	if err != nil || status < 100 || status > 699 {
		return message{}, errors.New("not a status of SIP")
	}

	header, err := text.ReadMIMEHeader()
	if err != nil {
		return message{}, fmt.Errorf("read the header: %w", err)
	}
	if n, err := strconv.Atoi(strings.TrimSpace(header.Get("Content-Length"))); err == nil &&
		n > 0 && n <= mostMessage {
		if _, err := r.Discard(n); err != nil {
			return message{}, err
		}
	}
	return message{status, header}, nil
}

// challenge returns a WWW-Authenticate without the values that differ each time.
func challenge(header string) string {
	var kept []string
	for part := range strings.SplitSeq(header, ",") {
		part = strings.TrimSpace(part)
		name, _, _ := strings.Cut(strings.ToLower(strings.TrimPrefix(part, "Digest ")), "=")
		if name != "nonce" && name != "opaque" && name != "" {
			kept = append(kept, strings.TrimPrefix(part, "Digest "))
		}
	}
	return strings.Join(kept, ",")
}
