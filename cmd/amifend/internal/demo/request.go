package demo

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/textproto"
	"strconv"
	"strings"
)

// request is a SIP request (RFC 3261) as far as the played PBX reads it. It carries the password
// itself, where a real client would send a digest, so that the demo needs no cryptography.
type request struct {
	method   string
	account  string // the user of From
	password string // "": no credentials
	call     string // Call-ID
}

// The played PBX's answers.
const (
	statusOK           = 200
	statusUnauthorized = 401
)

// bytes returns the request in its form on the wire.
func (r request) bytes() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s sip:pbx.example SIP/2.0\r\nFrom: <sip:%s@pbx.example>\r\nCall-ID: %s\r\n",
		r.method, r.account, r.call)
	if r.password != "" {
		fmt.Fprintf(&b, "Authorization: Demo %s\r\n", r.password)
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// readRequest reads one request.
func readRequest(in *bufio.Reader) (request, error) {
	text := textproto.NewReader(in)
	line, err := text.ReadLine()
	if err != nil {
		return request{}, fmt.Errorf("read request: %w", err)
	}

	method, _, ok := strings.Cut(line, " ")
	if !ok || !strings.HasSuffix(line, " SIP/2.0") {
		return request{}, errors.New("read request: it is not SIP")
	}

	header, err := text.ReadMIMEHeader()
	if err != nil {
		return request{}, fmt.Errorf("read request: %w", err)
	}

	// The demo has no calls, so only the sender matters.
	from := strings.TrimPrefix(header.Get("From"), "<sip:")
	account, _, ok := strings.Cut(from, "@")
	if !ok {
		return request{}, errors.New("read request: it has no sender")
	}

	return request{
		method: method, account: account, call: header.Get("Call-ID"),
		password: strings.TrimPrefix(header.Get("Authorization"), "Demo "),
	}, nil
}

// reply returns an answer in its form on the wire.
func reply(status int) []byte {
	reason := "OK"
	if status == statusUnauthorized {
		reason = "Unauthorized"
	}
	return fmt.Appendf(nil, "SIP/2.0 %d %s\r\n\r\n", status, reason)
}

// readReply returns the status of one answer.
func readReply(in *bufio.Reader) (int, error) {
	text := textproto.NewReader(in)
	line, err := text.ReadLine()
	if err != nil {
		return 0, fmt.Errorf("read reply: %w", err)
	}

	fields := strings.Fields(line)
	if len(fields) < 2 || fields[0] != "SIP/2.0" {
		return 0, errors.New("read reply: it is not SIP")
	}

	status, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0, fmt.Errorf("read reply: %w", err)
	}

	// The header is read too, so that the next reply of the connection is found.
	if _, err := text.ReadMIMEHeader(); err != nil {
		return 0, fmt.Errorf("read reply: %w", err)
	}

	return status, nil
}
