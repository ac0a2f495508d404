package daemon

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/delivery"
)

// inbox keeps what a mail server or a webhook received.
type inbox struct {
	mu    sync.Mutex
	texts []string
}

func (i *inbox) add(text string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.texts = append(i.texts, text)
}

// with returns the texts that hold a part.
func (i *inbox) with(part string) (out []string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, text := range i.texts {
		if strings.Contains(text, part) {
			out = append(out, text)
		}
	}
	return out
}

// wait waits for a text that holds a part, and returns it.
func (i *inbox) wait(t *testing.T, part string) string {
	t.Helper()
	eventually(t, "a message with "+part, func() bool { return len(i.with(part)) > 0 })
	return i.with(part)[0]
}

// mailServer runs an SMTP server, and returns its address and what it receives.
func mailServer(t *testing.T) (string, *inbox) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	in := &inbox{}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serveMail(textproto.NewConn(conn), in)
		}
	}()
	return l.Addr().String(), in
}

// serveMail takes a mail (RFC 5321).
func serveMail(c *textproto.Conn, in *inbox) {
	defer c.Close()
	_ = c.PrintfLine("220 mail.test")
	for {
		line, err := c.ReadLine()
		if err != nil {
			return
		}
		switch verb, _, _ := strings.Cut(strings.ToUpper(line), " "); verb {
		case "DATA":
			_ = c.PrintfLine("354 go on")
			text, err := c.ReadDotBytes()
			if err != nil {
				return
			}
			in.add(string(text))
			_ = c.PrintfLine("250 ok")
		case "QUIT":
			_ = c.PrintfLine("221 bye")
			return
		default:
			_ = c.PrintfLine("250 ok")
		}
	}
}

// hook runs a receiver of a webhook, and returns its URL and the texts that it receives.
func hook(t *testing.T) (string, *inbox) {
	t.Helper()
	in := &inbox{}
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var v struct{ Subject, Text string }
		if json.Unmarshal(body, &v) != nil || r.Header.Get("webhook-signature") == "" {
			t.Errorf("not a webhook of amifend: %s", body)
		}
		in.add(v.Subject + "\n" + v.Text)
	}))
	t.Cleanup(s.Close)
	return s.URL, in
}

// confineRequests confines the requests of a test.
func confineRequests(t *testing.T) {
	t.Helper()
	before := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = before })
	delivery.Confine()
}

func targetOf(name, url string) config.Target {
	t := config.Target{
		Name: name, Service: "mail", URL: config.Hide(url), MinSeverity: "notice", Digest: time.Hour,
		PerHour: 20,
	}
	if strings.HasPrefix(url, "http") {
		t.Service, t.Secret = "webhook", config.Hide("0123456789abcdef")
	}
	return t
}

// report has a site report to targets.
func (s *site) report(t *testing.T, targets ...config.Target) {
	s.config.State = config.State{Directory: t.TempDir(), Retain: time.Hour, MaxSize: 1 << 26}
	s.config.Notify = targets
}

// An attack is reported by mail and to a webhook. One that amifend stopped in between of is
// reported after the restart. A target that hangs keeps neither from it, nor the bans.
func TestAttackIsReported(t *testing.T) {
	confineRequests(t)
	s := newSite(t, 1)
	mail, mails := mailServer(t)
	url, calls := hook(t)
	hangs, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hangs.Close()
	s.report(t, targetOf("hangs", "http://"+hangs.Addr().String()+"/"),
		targetOf("mail", "smtp://"+mail+"/?from=amifend@example.com&to=admin@example.com"),
		targetOf("hook", url))

	s.calm = 200 * time.Millisecond
	r := s.start(t)
	guess(s.pbxs[0], "203.0.113.7:5062", "TCP", 4)
	r.Wait(t, "banned", "203.0.113.7")
	for _, in := range []*inbox{mails, calls} {
		text := in.wait(t, "203.0.113.7: 4 attempts")
		for _, part := range []string{"1 ban after 4 attempts", "pbx1 (1)", "203.0.113.0/24 (1)", `"100" (1)`} {
			if !strings.Contains(text, part) {
				t.Errorf("it lacks %s:\n%s", part, text)
			}
		}
	}

	// The second summary waits for longer than this run takes.
	s.calm = time.Hour
	guess(s.pbxs[0], "203.0.113.9:5062", "TCP", 4)
	r.Wait(t, "banned", "203.0.113.9")
	r.stop(t)
	if len(calls.with("203.0.113.9")) != 0 {
		t.Fatal("it was reported before the restart")
	}

	s.calm = time.Millisecond
	r = s.start(t)
	for _, in := range []*inbox{mails, calls} {
		if text := in.wait(t, "203.0.113.9"); !strings.Contains(text, "The attack goes on since") {
			t.Errorf("after the restart:\n%s", text)
		}
	}
	if n := len(mails.with("203.0.113.7: 4 attempts")); n != 1 {
		t.Errorf("the first summary came %d times", n)
	}
	r.stop(t)
}

// Ten thousand bans are one message, and the bans do not wait for it.
func TestTenThousandBansAreOneMessage(t *testing.T) {
	confineRequests(t)
	s := newSite(t, 1)
	s.config.Firewall.MaxBans = 20_000
	s.config.Policy.MaxBans = 20_000
	url, calls := hook(t)
	s.report(t, targetOf("hook", url))
	s.calm = 15 * time.Second
	r := s.start(t)

	// Once many attack the server, the second attempt of a stranger bans.
	const attackers = 10_000
	for i := range attackers {
		p := amitest.NewPeer(fmt.Sprintf("100.%d.%d.1:5060", 64+i>>8, i&255))
		p.Transport = "TCP"
		attempts := 2
		if i < 100 {
			attempts = 4
		}
		for n := range attempts {
			s.pbxs[0].Emit(p.GuessAccount(fmt.Sprint(100 + n))...)
		}
	}

	// The real kernel takes some seconds, and other tests may run.
	for end := time.Now().Add(2 * time.Minute); len(calls.with("attack: ")) == 0; time.Sleep(time.Second) {
		if time.Now().After(end) {
			t.Fatal("no message")
		}
	}
	if all := calls.with("attack: "); len(all) != 1 || !strings.Contains(all[0], "10000 bans after") ||
		!strings.Contains(all[0], "and 9990 more") {
		t.Errorf("%d messages, the first:\n%s", len(all), all[0])
	}
	r.stop(t)
}

// An observing daemon says what would have been done. A test goes to the target that is named.
func TestObservedAttackIsReportedAsSuch(t *testing.T) {
	confineRequests(t)
	s := newSite(t, 1)
	s.config.Observe = true
	url, calls := hook(t)
	s.report(t, targetOf("hook", url))
	s.calm = time.Millisecond
	c := s.withControl(t)
	r := s.start(t)
	guess(s.pbxs[0], "203.0.113.7:5062", "TCP", 4)
	r.Wait(t, "would ban", "203.0.113.7")
	text := calls.wait(t, "203.0.113.7")
	if !strings.Contains(text, "attack (observed): 1 ban") || !strings.Contains(text, "nobody was banned") {
		t.Errorf("the message:\n%s", text)
	}

	ready(t, c)
	out, err := c.TestNotify(t.Context(), control.TestNotify{Name: "hook"})
	if err != nil || len(out.Results) != 1 || out.Results[0].Problem != "" {
		t.Errorf("%+v, %v", out, err)
	}
	calls.wait(t, "This is a test by amifend notify --test (root")
	found, err := c.NotifyTargets(t.Context())
	if err != nil || len(found.Targets) != 1 || found.Targets[0].Last.IsZero() {
		t.Errorf("%+v, %v", found, err)
	}
}
