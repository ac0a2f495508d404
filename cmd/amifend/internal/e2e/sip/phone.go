package sip

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"
)

// Phone is an honest client: it answers challenges with the right password.
type Phone struct {
	*Client
	User, Password string

	callID string // of its registration, the same for each (RFC 3261, 10.2.4)
	tag    string
	seq    int
}

// NewPhone makes a phone of a connection.
func NewPhone(c *Client, user, password string) *Phone {
	return &Phone{Client: c, User: user, Password: password, callID: rand.Text(), tag: rand.Text()}
}

// Register registers, or refreshes the registration, for so long. 0 takes it back.
func (p *Phone) Register(ctx context.Context, expires time.Duration) error {
	m, _, err := p.authenticated(ctx, Request{
		Method: "REGISTER", From: p.User, CallID: p.callID, Tag: p.tag,
		Header: []string{p.contact(), fmt.Sprintf("Expires: %d", int(expires.Seconds()))},
	})
	if err != nil {
		return fmt.Errorf("register %s: %w", p.User, err)
	}
	if m.Status() != 200 {
		return fmt.Errorf("register %s: %s", p.User, m.Start)
	}
	if expires > 0 && !strings.Contains(m.Get("Contact"), p.User+"@") {
		return fmt.Errorf("register %s: the answer lists no contact of it: %q",
			p.User, m.Get("Contact"))
	}
	return nil
}

// Call dials an extension, keeps the call up for hold, and ends it.
func (p *Phone) Call(ctx context.Context, exten string, hold time.Duration) error {
	m, r, err := p.authenticated(ctx, Request{
		Method: "INVITE", From: p.User, To: exten, Target: "sip:" + exten + "@" + p.Host(),
		CallID: rand.Text(), Tag: rand.Text(), Header: []string{p.contact()}, Body: p.offer(),
	})
	if err != nil {
		return fmt.Errorf("call %s from %s: %w", exten, p.User, err)
	}
	if m.Status() != 200 {
		return fmt.Errorf("call %s from %s: %s", exten, p.User, m.Start)
	}

	// The rest of the call is within the dialog that the 200 made (RFC 3261, 12.1.2).
	dialog := Request{
		From: p.User, To: exten, Host: r.Host, Target: target(m.Get("Contact"), r.Target),
		CallID: r.CallID, Tag: r.Tag, ToTag: tagOf(m.Get("To")), CSeq: r.CSeq,
	}
	ack := dialog
	ack.Method, ack.Branch = "ACK", rand.Text()
	if err := p.Send(ack); err != nil {
		return err
	}

	select {
	case <-time.After(hold):
	case <-ctx.Done():
	}

	// A request of its own, where the ACK had the number of its INVITE.
	bye := dialog
	bye.Method, bye.Branch = "BYE", rand.Text()
	p.seq++
	bye.CSeq = p.seq

	// The call is hung up even when ctx has ended, so as not to leave it to Asterisk.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ioTimeout)
	defer cancel()
	m, err = p.Do(ctx, bye)
	if err != nil {
		return fmt.Errorf("hang up %s from %s: %w", exten, p.User, err)
	}
	if m.Status() != 200 {
		return fmt.Errorf("hang up %s from %s: %s", exten, p.User, m.Start)
	}
	return nil
}

// authenticated sends a request, and again with credentials if it is challenged. It returns the
// final response and the request that it answers.
func (p *Phone) authenticated(ctx context.Context, r Request) (*Message, Request, error) {
	p.seq++
	r.CSeq = p.seq
	r = p.Request(r)
	for tries := 0; ; tries++ {
		m, err := p.Do(ctx, r)
		if err != nil {
			return nil, r, err
		}

		if r.Method == "INVITE" && m.Status() >= 300 {
			ack := r // within the transaction: same branch (RFC 3261, 17.1.1.3)
			ack.Method, ack.Header, ack.Body, ack.ToTag = "ACK", nil, "", tagOf(m.Get("To"))
			if err := p.Send(ack); err != nil {
				return nil, r, err
			}
		}

		// Asterisk asks with 401, a proxy with 407.
		header, value := "Authorization", m.Get("WWW-Authenticate")
		if m.Status() == 407 {
			header, value = "Proxy-Authorization", m.Get("Proxy-Authenticate")
		}
		ch, ok := ParseChallenge(value)
		// Twice: the first answer may have met a stale nonce.
		if (m.Status() != 401 && m.Status() != 407) || !ok || tries == 2 {
			return m, r, nil
		}

		p.seq++
		r.CSeq, r.Branch = p.seq, rand.Text()
		answer := ch.Answer(p.User, p.Password, r.Method, r.Target)
		r.Header = append(without(r.Header, header), header+": "+answer)
	}
}

// without returns the lines that are not of a header.
func without(lines []string, header string) []string {
	var out []string
	for _, l := range lines {
		if !strings.HasPrefix(l, header+":") {
			out = append(out, l)
		}
	}
	return out
}

func (p *Phone) contact() string {
	return fmt.Sprintf("Contact: <sip:%s@%s;transport=%s>", p.User, p.Local, p.Transport.uri())
}

// offer returns a plain SDP offer (RFC 4566). Nothing listens on its port: the lab measures
// signalling.
func (p *Phone) offer() string {
	family := "IP4"
	if p.Local.Addr().Is6() {
		family = "IP6"
	}
	return strings.Join([]string{
		"v=0",
		fmt.Sprintf("o=- 1 1 IN %s %s", family, p.Local.Addr()),
		"s=-",
		fmt.Sprintf("c=IN %s %s", family, p.Local.Addr()),
		"t=0 0",
		"m=audio 40000 RTP/AVP 0",
		"a=rtpmap:0 PCMU/8000",
		"",
	}, "\r\n")
}

// target returns the URI of a Contact value, or fallback.
func target(contact, fallback string) string {
	_, rest, ok := strings.Cut(contact, "<")
	if !ok {
		return fallback
	}
	uri, _, ok := strings.Cut(rest, ">")
	if !ok {
		return fallback
	}
	return uri
}
