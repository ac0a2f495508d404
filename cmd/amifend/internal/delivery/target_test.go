package delivery

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/amifend/amifend/ami"
)

// hostile are names of accounts that chats would act on. All but the last two are plain ASCII, so
// ami.Quote leaves them as they are.
var hostile = []string{
	"@everyone", "<!channel>", "<!here|x>", "<@U024BE7LH>", "@room", "@here",
	"<https://evil.example/|ok>", "[ok](https://evil.example/)", "www.evil.example", "*bold* _it_ `x`",
	"<b>x</b>", "&lt;!channel&gt;", "\r\nBcc: all@example.com", "\x1b[2J\x00",
}

func hostileMessage() Message {
	var b strings.Builder
	b.WriteString("accounts tried:\n")
	for _, name := range hostile {
		b.WriteString("  " + ami.Quote([]byte(name)) + "\n")
	}
	return Message{
		ID: "msg_1", Subject: "[amifend pbx] <!channel> @everyone\r\nBcc: all@example.com",
		Text: b.String(), Body: []byte(`{"x":"<!channel>"}`),
	}
}

// got is a request as the target gets it.
type got struct {
	meant  *url.URL
	header http.Header
	body   string
}

// receiver plays all targets: it keeps requests, and answers as each of them does.
type receiver struct {
	mu       sync.Mutex
	requests []got
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	meant, _ := url.Parse(req.Header.Get("Meant-For"))
	r.mu.Lock()
	r.requests = append(r.requests, got{meant, req.Header, string(body)})
	r.mu.Unlock()
	if meant.Host == "hooks.slack.com" {
		_, _ = io.WriteString(w, "ok")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"ok":true,"room_id":"!r:example.com","event_id":"$e","id":1,"status":1}`)
}

const slackToken = "T00000000-B00000000-000000000000000000000000"

// targets are one URL of each service that is reached by HTTP, and what must be in its requests.
var targets = []struct{ service, url, secret, host, token string }{
	{"slack", "slack://hook:" + slackToken + "@webhook", "", "hooks.slack.com", "000000000000000000000000"},
	{
		"telegram", "telegram://110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw@telegram?chats=-1001", "",
		"api.telegram.org", "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw",
	},
	{"discord", "discord://t0ken-of-discord@1234567890", "", "discord.com", "t0ken-of-discord"},
	{
		"matrix", "matrix://:t0ken-of-matrix@matrix.example.com/?rooms=!r:example.com", "",
		"matrix.example.com", "t0ken-of-matrix",
	},
	{
		"teams", "teams://prod.logic.azure.com/workflows/x/run?sig=t0ken-of-teams", "",
		"prod.logic.azure.com", "t0ken-of-teams",
	},
	{"ntfy", "ntfy://:t0ken-of-ntfy@ntfy.sh/alarms", "", "ntfy.sh", "t0ken-of-ntfy"},
	{"gotify", "gotify://gotify.example.com/At0kenofgotify0", "", "gotify.example.com", "At0kenofgotify0"},
	{
		"pushover", "pushover://:t0ken-of-pushover@user-key", "", "api.pushover.net",
		"t0ken-of-pushover",
	},
	{
		"webhook", "https://hooks.example.com/t0ken-of-webhook", "the key of the webhook", "hooks.example.com",
		"t0ken-of-webhook",
	},
}

// Each target gets the text, and no name of an account mentions anybody, makes a link, or makes a
// line of its own.
func TestHostileNamesReachEachTargetHarmless(t *testing.T) {
	for _, tt := range targets {
		t.Run(tt.service, func(t *testing.T) {
			r := &receiver{}
			s := httptest.NewServer(r)
			defer s.Close()
			confineTo(t, s)

			to, err := New(tt.url, tt.secret)
			if err != nil {
				t.Fatal(err)
			}
			if to.Service() != tt.service {
				t.Errorf("the service is %s", to.Service())
			}
			if err := to.Send(t.Context(), hostileMessage()); err != nil {
				t.Fatal(err)
			}

			request := r.requests[len(r.requests)-1]
			if request.meant.Host != tt.host || request.meant.Scheme != "https" {
				t.Errorf("it went to %s", request.meant)
			}
			if tt.service == "webhook" {
				return // JSON for a program, which TestWebhookIsSigned looks at
			}

			// A title of ntfy is a header, where nothing can be broken, and ntfy knows no mentions.
			text := plainOf(t, request)
			if tt.service == "ntfy" {
				title, body, _ := strings.Cut(text, "\n")
				text = body + strings.ReplaceAll(title, "<!channel>", "")
			}
			first, last := strings.Index(text, "accounts tried"), strings.LastIndex(text, "x1b")
			if first < 0 || last < first || !strings.Contains(text, "amifend pbx") {
				t.Errorf("it lacks the text or the subject: %s", text)
			}
			for _, bad := range []string{
				"@everyone", "@room", "@here", "@U024", "<!channel>", "<!here", "<@", "<https", "://evil",
				"www.evil", "\x1b", "\x00", "\nBcc", "\r",
			} {
				if strings.Contains(text, bad) {
					t.Errorf("it holds %q:\n%q", bad, text)
				}
			}
			switch {
			case tt.service == "discord" && (strings.Contains(text, " *bold") || strings.Contains(text, "[ok](")):
				t.Errorf("it has markup:\n%s", text)
			case tt.service == "slack" && (strings.ContainsAny(text, "<>") || strings.Contains(text, "*bold*")):
				t.Errorf("it has markup:\n%s", text)
			case tt.service == "telegram" && strings.Contains(request.body, "parse_mode"):
				t.Errorf("it has a parse mode: %s", request.body)
			}
		})
	}
}

// plainOf returns all texts of a request, as a client shows them: of JSON, of a form, or of a body.
func plainOf(t *testing.T, g got) string {
	t.Helper()
	var v any
	if json.Unmarshal([]byte(g.body), &v) == nil {
		var b strings.Builder
		var walk func(v any)
		walk = func(v any) {
			switch v := v.(type) {
			case string:
				b.WriteString(v + "\n")
			case []any:
				for _, e := range v {
					walk(e)
				}
			case map[string]any:
				delete(v, "$schema")
				for _, e := range v {
					walk(e)
				}
			}
		}
		walk(v)
		return b.String()
	}
	if form, err := url.ParseQuery(g.body); err == nil && form.Has("message") {
		return form.Get("title") + "\n" + form.Get("message")
	}
	return strings.ReplaceAll(g.header.Get("Title"), "@everyone", "") + "\n" + g.body // ntfy
}

// The receiver of a webhook can prove who sent the body and when, by the headers of Standard
// Webhooks.
func TestWebhookIsSigned(t *testing.T) {
	r := &receiver{}
	s := httptest.NewServer(r)
	defer s.Close()
	confineTo(t, s)

	key := []byte("0123456789abcdef0123456789abcdef")
	to, err := New("https://hooks.example.com/x", "whsec_"+base64.StdEncoding.EncodeToString(key))
	if err != nil {
		t.Fatal(err)
	}
	if err := to.Send(t.Context(), hostileMessage()); err != nil {
		t.Fatal(err)
	}

	g := r.requests[0]
	id, at := g.header.Get("webhook-id"), g.header.Get("webhook-timestamp")
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + at + "." + g.body))
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	if id != "msg_1" || g.header.Get("webhook-signature") != want || g.body != `{"x":"<!channel>"}` {
		t.Errorf("%s %s %s: %s", id, at, g.header.Get("webhook-signature"), g.body)
	}
}

// Whatever a target does, its error shows neither the URL nor what it answered, and it has a limit.
func TestErrorsShowNothingOfTheTarget(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"refuses": func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "bad token "+r.Header.Get("Meant-For"), http.StatusForbidden)
		},
		"too many": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
		},
		"fails": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
		},
		"leads elsewhere": func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "elsewhere") {
				t.Error("the redirect was followed")
			}
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		},
		"hangs up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		for _, tt := range targets {
			t.Run(name+"/"+tt.service, func(t *testing.T) {
				var asked atomic.Int32
				s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					asked.Add(1)
					answer(w, r)
				}))
				defer s.Close()
				confineTo(t, s)
				to, err := New(tt.url, tt.secret)
				if err != nil {
					t.Fatal(err)
				}
				err = to.Send(t.Context(), hostileMessage())
				if err == nil {
					t.Fatal("no error")
				}
				text := err.Error()
				if strings.Contains(text, tt.token) || strings.Contains(text, tt.host) ||
					strings.Contains(text, "bad token") || strings.Contains(text, "127.0.0.1") {
					t.Errorf("it shows too much: %s", text)
				}
				if name == "refuses" && text != "it answered HTTP 403" {
					t.Errorf("the error is %q", text)
				}
				if n := asked.Load(); n != 1 {
					t.Errorf("%d requests: only package notify tries again", n)
				}
			})
		}
	}
}

// An answer without end is read up to the limit.
func TestAnswersAreBounded(t *testing.T) {
	var sent int
	done := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		defer close(done)
		for sent < 64<<20 {
			n, err := w.Write(make([]byte, 64<<10))
			if err != nil {
				return
			}
			sent += n
		}
	}))
	defer s.Close()
	confineTo(t, s)

	to, err := New(targets[0].url, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := to.Send(t.Context(), hostileMessage()); err == nil {
		t.Error("such an answer is a success")
	}
	<-done
	if sent >= 64<<20 {
		t.Errorf("%d bytes were read", sent)
	}
}

// URLs that would be less safe than they look are refused, and no error shows any of them.
func TestRefusedURLs(t *testing.T) {
	for _, tt := range []struct{ url, secret, says string }{
		{"", "", "its scheme is one of smtp"},
		{"exec:///bin/s3cret", "", "its scheme is one of smtp"},
		{"generic+https://s3cret.example/", "", "its scheme is one of smtp"},
		{"https://s3cret.example/", "", "needs a secret"},
		{"https://s3cret.example/", "short", "less than 16 bytes"},
		{"https://s3cret.example/", "whsec_???", "not Base64"},
		{"http://s3cret.example/", "0123456789abcdef", "write https://"},
		{"https://u:s3cret@a.example/", "0123456789abcdef", "holds a user"},
		{"slack://hook:s3cret@webhook", "", "write one like slack://"},
		{"slack://hook:" + slackToken + "@webhook?title=s3cret", "", "possible are botname, color"},
		{"slack://hook:" + slackToken + "@webhook", "0123456789abcdef", "only a webhook has a secret"},
		{"telegram://s3cret@telegram?chats=1", "", "write one like telegram://"},
		{"discord://s3cret@1/raw", "", "write one like discord://"},
		{"matrix://user:s3cret@m.example/?rooms=!r:m", "", "write an access token"},
		{"matrix://:s3cret@m.example/?rooms=!r:m&disableTLS=yes", "", "delete disableTLS"},
		{"ntfy://:s3cret@ntfy.sh/t?scheme=http", "", "delete scheme=http"},
		{"ntfy://:s3cret@ntfy.sh/t?disabletlsverification=yes", "", "an option that amifend does not take"},
		{"ntfy://:s3cret@ntfy.sh/t?attach=x", "", "an option that amifend does not take"},
		{"gotify://s3cret.example/At0kenofgotify0?disabletls=yes", "", "delete disabletls"},
		{"gotify://gotify.example/s3cret", "", "write one like gotify://"},
		{"pushover://s3cret@", "", "write one like pushover://"},
		{"smtp://mail.example/?from=a@b.example", "", "write one like smtp://"},
		{"smtp://mail.example/?from=a@b.example&to=s3cret", "", "write one like smtp://"},
		{"smtp://mail.example/?from=a@b.example&to=a@b.example&skiptlsverify=yes", "", "does not take"},
		{"teams://u:s3cret@a.example/x", "", "write one like teams://"},
		{"https://s3cret.example/ \n", "0123456789abcdef", "write one like https://"},
	} {
		_, err := New(tt.url, tt.secret)
		if err == nil || !strings.Contains(err.Error(), tt.says) ||
			strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v, want %q", tt.url, err, tt.says)
		}
	}
}

// Without the confined transport nothing is sent.
func TestNothingIsSentUnconfined(t *testing.T) {
	r := &receiver{}
	s := httptest.NewServer(r)
	defer s.Close()
	to, err := New(s.URL, "0123456789abcdef")
	if err != nil {
		t.Fatal(err)
	}
	if err := to.Send(t.Context(), hostileMessage()); err == nil || len(r.requests) != 0 {
		t.Errorf("%v, %d requests", err, len(r.requests))
	}
}

// Plain HTTP reaches this machine only, whatever a library does.
func TestPlainHTTPStaysHere(t *testing.T) {
	s := httptest.NewServer(&receiver{})
	defer s.Close()
	confineTo(t, s)
	for host, ok := range map[string]bool{
		"127.0.0.1": true, "[::1]": true, "localhost": true, "192.0.2.1": false, "localhost.example": false,
	} {
		r, err := http.NewRequest(http.MethodGet, "http://"+host+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultTransport.RoundTrip(r)
		if (err == nil) != ok {
			t.Errorf("%s: %v", host, err)
		}
		if err == nil {
			res.Body.Close()
		}
	}
}
