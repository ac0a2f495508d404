package sip

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// Request is one SIP request. Its fields are copied into the message byte for byte.
type Request struct {
	Method string
	Via    Via      // the truth about the sender, unless the caller says otherwise
	Target string   // the request URI
	From   string   // the user part of From
	To     string   // the user part of To; From's if empty
	Host   string   // the host part of From and To
	CallID string   // Asterisk's SessionID
	Tag    string   // of From
	ToTag  string   // of To; empty outside a dialog
	Branch string   // without the magic cookie
	CSeq   int      //
	Header []string // further lines, without their CRLF
	Body   string   // an SDP offer, if any
}

// Via is the part of the Via header that an attacker lies with. A field that is not set tells the
// truth about the connection.
type Via struct {
	Transport Transport      // the protocol it names
	SentBy    netip.AddrPort // the address it names as the sender's
	Maddr     netip.Addr     // the maddr parameter; left out unless valid
	Params    string         // further parameters, each after a semicolon
}

// header returns the value of the header for a sender whose connection is transport and sentBy.
func (v Via) header(transport Transport, sentBy, branch string) string {
	if v.Transport != "" {
		transport = v.Transport
	}
	if v.SentBy.IsValid() {
		sentBy = v.SentBy.String()
	}

	value := fmt.Sprintf("SIP/2.0/%s %s;branch=z9hG4bK%s;rport", transport.via(), sentBy, branch)
	if v.Maddr.IsValid() {
		value += ";maddr=" + host(v.Maddr)
	}
	return value + v.Params
}

// Bytes returns the message as a client sends it whose connection is transport and sentBy.
func (r Request) Bytes(transport Transport, sentBy string) []byte {
	to, toTag := r.To, ""
	if to == "" {
		to = r.From
	}
	if r.ToTag != "" {
		toTag = ";tag=" + r.ToTag
	}

	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("%s %s SIP/2.0", r.Method, r.Target)
	line("Via: %s", r.Via.header(transport, sentBy, r.Branch))
	line("Max-Forwards: 70")
	line("From: <sip:%s@%s>;tag=%s", r.From, r.Host, r.Tag)
	line("To: <sip:%s@%s>%s", to, r.Host, toTag)
	line("Call-ID: %s", r.CallID)
	line("CSeq: %d %s", r.CSeq, r.Method)

	// The caller's own lines may hold anything, the end of the headers included.
	for _, h := range r.Header {
		line("%s", h)
	}
	if r.Body != "" {
		line("Content-Type: application/sdp")
	}
	line("Content-Length: %d", len(r.Body))
	line("")
	b.WriteString(r.Body)
	return b.Bytes()
}

// Message is a received request or response.
type Message struct {
	Start  string // the first line
	Header []Field
	Body   []byte
}

// Field is one header line; a folded one is not understood (Asterisk sends none).
type Field struct{ Name, Value string }

// Status returns the code of a response, 0 for a request.
func (m *Message) Status() int {
	rest, ok := strings.CutPrefix(m.Start, "SIP/2.0 ")
	if !ok {
		return 0
	}
	code, _, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(code)
	if err != nil {
		return 0
	}
	return n
}

// Get returns the first value of a header, compact forms included, or "".
func (m *Message) Get(name string) string {
	for _, f := range m.Header {
		long := compact[strings.ToLower(f.Name)]
		if strings.EqualFold(f.Name, name) || strings.EqualFold(long, name) {
			return f.Value
		}
	}
	return ""
}

// compact are the compact forms that Asterisk may send (RFC 3261, 7.3.3).
var compact = map[string]string{
	"i": "call-id", "f": "from", "t": "to", "v": "via", "m": "contact",
	"l": "content-length", "c": "content-type",
}

// Parse reads one datagram or one WebSocket message.
func Parse(b []byte) (*Message, error) {
	m, err := Read(bufio.NewReader(bytes.NewReader(b)))
	if err != nil {
		return nil, fmt.Errorf("parse SIP message: %w", err)
	}
	return m, nil
}

// maxBody is the size of the largest body that Read takes, in bytes. Asterisk's have a few hundred.
const maxBody = 64 << 10

// Read takes the next message from a stream (RFC 3261, 18.3: Content-Length ends it). It skips the
// empty lines of a keep-alive.
func Read(r *bufio.Reader) (*Message, error) {
	m := new(Message)
	for m.Start == "" {
		line, err := readLine(r)
		if err != nil {
			return nil, err
		}
		m.Start = line
	}

	for {
		line, err := readLine(r)
		if err != nil {
			return nil, unexpected(err)
		}
		if line == "" {
			break
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("header without a colon: %q", line)
		}
		m.Header = append(m.Header, Field{strings.TrimSpace(name), strings.TrimSpace(value)})
	}

	// A datagram need not have it.
	length := m.Get("Content-Length")
	if length == "" {
		return m, nil
	}
	n, err := strconv.Atoi(length)
	if err != nil || n < 0 || n > maxBody {
		return nil, fmt.Errorf("bad Content-Length %q", length)
	}
	m.Body = make([]byte, n)
	if _, err := io.ReadFull(r, m.Body); err != nil {
		return nil, unexpected(err)
	}
	return m, nil
}

func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// tagOf returns the tag parameter of a From or To value, or "".
func tagOf(value string) string {
	_, rest, ok := strings.Cut(value, ";tag=")
	if !ok {
		return ""
	}
	tag, _, _ := strings.Cut(rest, ";")
	return tag
}
