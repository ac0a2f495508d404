package delivery

import (
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/mail"
	"net/textproto"
	"strings"
	"testing"
)

// mailServer is an SMTP server (RFC 5321) that keeps the mails that it gets.
type mailServer struct {
	net.Listener
	mails chan string
	reply string // to RCPT; "": it is taken
}

func newMailServer(t *testing.T) *mailServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &mailServer{Listener: l, mails: make(chan string, 10)}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(textproto.NewConn(conn))
		}
	}()
	return s
}

func (s *mailServer) serve(c *textproto.Conn) {
	defer c.Close()
	_ = c.PrintfLine("220 mail.test")
	for {
		line, err := c.ReadLine()
		if err != nil {
			return
		}
		reply := "250 ok"
		switch verb, _, _ := strings.Cut(strings.ToUpper(line), " "); verb {
		case "RCPT":
			if s.reply != "" {
				reply = s.reply
			}
		case "DATA":
			_ = c.PrintfLine("354 go on")
			text, err := c.ReadDotBytes()
			if err != nil {
				return
			}
			s.mails <- string(text)
		case "QUIT":
			_ = c.PrintfLine("221 bye")
			return
		}
		_ = c.PrintfLine("%s", reply)
	}
}

// confine confines the requests of a test, which mail does not make.
func confine(t *testing.T) {
	t.Helper()
	before := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = before })
	Confine()
}

// A mail has one subject, one sender and the text as it is, whatever attackers called their accounts.
func TestMailWithHostileNames(t *testing.T) {
	confine(t)
	s := newMailServer(t)
	to, err := New("smtp://"+s.Addr().String()+"/?from=amifend@example.com&to=admin@example.com,b@example.com", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := to.Send(t.Context(), hostileMessage()); err != nil {
		t.Fatal(err)
	}

	m, err := mail.ReadMessage(strings.NewReader(<-s.mails))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		t.Fatal(err)
	}
	if subject != "[amifend pbx] <!channel> @everyone??Bcc: all@example.com" || m.Header.Get("Bcc") != "" ||
		len(m.Header["Subject"]) != 1 || m.Header.Get("Auto-Submitted") != "auto-generated" ||
		!strings.Contains(m.Header.Get("To"), "b@example.com") || m.Header.Get("Date") == "" ||
		m.Header.Get("Message-Id") != "<msg_1@amifend.invalid>" ||
		!strings.HasPrefix(m.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("headers: %v", m.Header)
	}

	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	if text := string(body); !strings.Contains(text, `"<!channel>"`) || strings.Contains(text, "://evil") ||
		strings.ContainsAny(text, "\x1b\x00") {
		t.Errorf("the text: %q", text)
	}
}

// A mail server that refuses is named by its number alone.
func TestMailServerThatRefuses(t *testing.T) {
	confine(t)
	s := newMailServer(t)
	s.reply = "550 no such user s3cret"
	to, err := New("smtp://"+s.Addr().String()+"/?from=a@example.com&to=b@example.com", "")
	if err != nil {
		t.Fatal(err)
	}
	err = to.Send(t.Context(), hostileMessage())
	if err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "550") {
		t.Errorf("%v", err)
	}
}

// A mail server that says nothing ends with the time of its message.
func TestMailServerThatHangs(t *testing.T) {
	confine(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	to, err := New("smtp://"+l.Addr().String()+"/?from=a@example.com&to=b@example.com", "")
	if err != nil {
		t.Fatal(err)
	}

	if err := to.Send(t.Context(), hostileMessage()); err == nil ||
		err.Error() != "it did not answer in time" {
		t.Errorf("%v", err)
	}
}
