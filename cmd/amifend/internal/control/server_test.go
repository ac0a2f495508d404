package control

import (
	"bufio"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/amifend/amifend/ami"
)

func open(path, group string) (*Server, error) {
	return Listen(Options{
		Socket: path, ReadGroup: group, AdminGroup: group,
		Log: slog.New(slog.DiscardHandler),
	})
}

func TestSocket(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, "run", "s.sock") // in a folder that is not there
	defer syscall.Umask(syscall.Umask(0o077))   // as in a systemd unit

	s, err := open(path, "4000001")
	if err != nil {
		t.Fatal(err)
	}

	if st, err := os.Stat(filepath.Dir(path)); err != nil || st.Mode().Perm() != 0o755 {
		t.Errorf("the folder: %v, %v", st.Mode(), err)
	}

	st, err := os.Lstat(path)
	if err != nil || st.Mode() != fs.ModeSocket|0o660 || st.Sys().(*syscall.Stat_t).Gid != readers {
		t.Errorf("the socket: %v %+v, %v", st.Mode(), st.Sys(), err)
	}

	if _, err := open(path, "4000001"); err == nil ||
		!strings.Contains(err.Error(), "another amifend serves it") {
		t.Errorf("a second one: %v", err)
	}

	s.Close()
	if _, err := os.Lstat(path); err == nil {
		t.Error("the socket stays")
	}

	none, err := open(path, "no-such-group")
	if err != nil {
		t.Fatal(err)
	}

	if st, err := os.Lstat(path); err != nil || st.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("without a group: %v, %v", st.Mode(), err)
	}

	none.Close()
}

// What a daemon that was killed left behind is replaced.
func TestStaleSocket(t *testing.T) {
	path := filepath.Join(shortDir(t), "s.sock")
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}

	old.SetUnlinkOnClose(false)
	old.Close()
	s, err := open(path, "4000001")
	if err != nil {
		t.Fatal(err)
	}

	s.Close()
}

func TestSocketRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		prepare func(t *testing.T, dir string)
		says    string
	}{
		"another file": {func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "s.sock"), []byte("precious"),
				0o600); err != nil {
				t.Fatal(err)
			}
		}, "is not a socket, and is left as it is"},
		"everybody's folder": {func(t *testing.T, dir string) {
			if err := os.Chmod(dir, 0o777); err != nil {
				t.Fatal(err)
			}
		}, "can be changed by everybody"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := shortDir(t)
			tt.prepare(t, dir)
			if _, err := open(filepath.Join(dir, "s.sock"), "4000001"); err == nil ||
				!strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v", err)
			}

			if b, err := os.ReadFile(filepath.Join(dir, "s.sock")); err == nil &&
				string(b) != "precious" {
				t.Errorf("the file holds %q", b)
			}
		})
	}
}

// raw sends a request as it stands, and returns the whole answer.
func raw(t *testing.T, c *Client, request string) string {
	t.Helper()
	conn, err := net.Dial("unix", c.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	if _, err := conn.Write([]byte(request)); err != nil {
		return err.Error()
	}

	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}

	var b strings.Builder
	if _, err := bufio.NewReader(conn).WriteTo(&b); err != nil {
		t.Logf("the answer ended with %v", err)
	}

	return b.String()
}

func TestBadRequests(t *testing.T) {
	d := &desk{}
	c, _ := serve(t, d, nil)
	post := func(body string) string {
		return fmt.Sprintf("POST /v1/bans HTTP/1.1\r\nHost: x\r\nConnection: "+
			"close\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}

	get := func(path string) string {
		return "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	}
	for name, tt := range map[string]struct{ request, code string }{
		"no JSON": {post("hello"), CodeBadRequest},
		"an unknown field": {
			post(`{"bans":[{"prefix":"203.0.113.5/32","fro_seconds":3}]}`),
			CodeBadRequest,
		},
		"two objects": {post(`{"bans":[]}{}`), CodeBadRequest},
		"no bans":     {post(`{"bans":[]}`), CodeBadRequest},
		"too many bans": {
			post(`{"bans":[` + strings.Repeat(`{},`, MostBans) + `{}]}`),
			CodeBadRequest,
		},
		"a bad prefix": {post(`{"bans":[{"prefix":"203.0.113.5/99"}]}`), CodeBadRequest},
		"too long a body": {
			post(`{"bans":[` + strings.Repeat(" ", mostBody) + `]}`),
			CodeBadRequest,
		},
		"unknown path":      {get("/v1/frobnicate"), CodeUnknown},
		"another version":   {get("/v2/status"), CodeUnknown},
		"unknown parameter": {get("/v1/bans?frmo=1"), CodeBadRequest},
		"unknown order":     {get("/v1/bans?sort=random"), CodeBadRequest},
		"unknown scope":     {get("/v1/bans?scope=SIP"), CodeBadRequest},
		"a limit of 0":      {get("/v1/bans?limit=0"), CodeBadRequest},
		"unknown event":     {get("/v1/events?kind=Foo"), CodeBadRequest},
		"unban without what": {
			strings.Replace(get("/v1/bans"), "GET", "DELETE", 1),
			CodeBadRequest,
		},
		"unban of host bits": {strings.Replace(get("/v1/bans?within=203.0.113.5/24"), "GET",
			"DELETE", 1), CodeBadRequest},
		"unban of two kinds": {strings.Replace(get("/v1/bans?all=true&within=203.0.113.0/24"),
			"GET", "DELETE", 1), CodeBadRequest},
		"explain, not served": {get("/v1/explain?address=203.0.113.5"), CodeUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			if got := raw(t, c, tt.request); !strings.Contains(got, `"code":"`+tt.code+`"`) {
				t.Errorf("answer %q", got)
			}
		})
	}

	if len(d.changes) != 0 {
		t.Errorf("changes made: %q", d.changes)
	}

	if got := raw(t, c,
		"GET /v1/status HTTP/1.1\r\nX: "+strings.Repeat("x", 64<<10)+
			"\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 431") && !strings.Contains(got,
		"reset") && !strings.Contains(got, "broken pipe") {
		t.Errorf("a long header: %.100q", got)
	}
}

func TestTypedErrors(t *testing.T) {
	c, _ := serve(t, &desk{}, nil)
	_, err := c.Unban(t.Context(), netip.MustParsePrefix("203.0.113.5/32"))
	if e := asError(err); *e != (Error{
		CodeNotBanned, "203.0.113.5/32 is not banned",
		"look at: amifend bans",
	}) {
		t.Errorf("error %#v", err)
	}
}

// A client that sends nothing, or reads nothing, holds up nobody.
func TestSilentClients(t *testing.T) {
	d := &desk{bans: manyBans(20000)}
	c, _ := serve(t, d, nil)
	for i := range mostConns / 2 {
		conn, err := net.Dial("unix", c.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()

		if i < 2*mostAtOnce { // these ask for more than they read
			fmt.Fprintf(conn, "GET /v1/bans HTTP/1.1\r\nHost: x\r\n\r\n")
		}
	}

	began := time.Now()
	if _, err := c.Status(t.Context()); err != nil || time.Since(began) > readTime/2 {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

func manyBans(n int) []Ban {
	bans := make([]Ban, n)
	for i := range bans {
		packets := uint64(i * 7 % 1000)
		bans[i] = Ban{
			Prefix:  netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), 32),
			Scope:   []string{"all", "sip"}[i%2],
			Rule:    []string{"score", "proven_score"}[i%2],
			Servers: []string{[]string{"office", "branch"}[i%3%2]}, Score: float64(i % 11),
			Since: time.Unix(int64(1e9+i), 0), Until: time.Unix(int64(2e9-i), 0), Dropped: &packets,
		}
	}

	return bans
}

func TestBanQuery(t *testing.T) {
	c, _ := serve(t, &desk{bans: manyBans(1000)}, nil)
	for name, tt := range map[string]struct {
		query          BanQuery
		matched, shown int
		first          string
	}{
		"all, the newest first": {BanQuery{}, 1000, 1000, "203.0.3.231/32"},
		"one": {
			BanQuery{Within: netip.MustParsePrefix("203.0.0.5/32")},
			1, 1,
			"203.0.0.5/32",
		},
		"a network": {
			BanQuery{Within: netip.MustParsePrefix("203.0.1.0/24"), Sort: "source"},
			256, 256, "203.0.1.0/32",
		},
		"a rule, some": {
			BanQuery{Rule: "score", Sort: "until", Limit: 3},
			500, 3,
			"203.0.3.230/32",
		},
		"a scope":  {BanQuery{Scope: "all", Sort: "dropped", Limit: 1}, 500, 1, "203.0.2.202/32"},
		"a server": {BanQuery{Server: "branch", Sort: "source"}, 333, 333, "203.0.0.1/32"},
		"none":     {BanQuery{Server: "nobody"}, 0, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := c.Bans(t.Context(), tt.query)
			if err != nil || l.Total != 1000 || l.Matched != tt.matched || len(l.Bans) != tt.shown {
				t.Fatalf("%d in all, %d match, %d shown, %v", l.Total, l.Matched, len(l.Bans), err)
			}
			if tt.first != "" && l.Bans[0].Prefix.String() != tt.first {
				t.Errorf("the first is %v", l.Bans[0])
			}
		})
	}
}

// A follower sees what it asked for, with the attacker's bytes quoted; what it does not read is
// counted, and nobody waits.
func TestFeed(t *testing.T) {
	feed := new(Feed)
	c, _ := serve(t, &desk{}, func(o *Options) { o.Events = feed })
	events, err := c.Events(t.Context(),
		EventFilter{
			Server: "office", Within: netip.MustParsePrefix("203.0.113.0/24"),
			Kinds: []string{"InvalidAccountID"},
		})
	if err != nil {
		t.Fatal(err)
	}

	ev := ami.Event{
		Kind: ami.KindInvalidAccountID, Service: ami.ServicePJSIP, Transport: ami.TransportUDP,
		Source: netip.MustParseAddrPort("203.0.113.5:5060"), Account: []byte("1\x1b[2J\"\r\n0"),
		Taint: ami.TaintOrder,
	}

	other, elsewhere, outside := ev, ev, ev
	other.Kind, outside.Source = ami.KindInvalidPassword,
		netip.MustParseAddrPort("198.51.100.5:5060")

	feed.Publish("office", &other)
	feed.Publish("branch", &elsewhere)
	feed.Publish("office", &outside)
	const sent = 50 * followerRoom

	for range sent {
		feed.Publish("office", &ev) // would hang here if it waited
	}

	got, lost := uint64(0), uint64(0)
	for e, err := range events {
		if err != nil {
			t.Fatal(err)
		}

		if e.Lost > 0 {
			lost += e.Lost
		} else if got++; e.Account != `"1\x1b[2J\"\r\n0"` || e.Server != "office" ||
			e.Kind != "InvalidAccountID" || e.Taint != "order" {
			t.Fatalf("event %+v", e)
		}

		if got+lost == sent {
			break
		}
	}

	if got < followerRoom || lost == 0 {
		t.Errorf("%d came, %d were lost", got, lost)
	}

	for end := time.Now().Add(5 * time.Second); feed.count.Load() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the follower is not forgotten")
		}
	}

	if n := testing.AllocsPerRun(100, func() { feed.Publish("office", &ev) }); n != 0 {
		t.Errorf("%v allocations with nobody there", n)
	}
}

func TestTooManyFollowers(t *testing.T) {
	c, _ := serve(t, &desk{}, nil)
	for range mostFollows {
		if _, err := c.Events(t.Context(), EventFilter{}); err != nil {
			t.Fatal(err)
		}
	}

	if _, err := c.Events(t.Context(), EventFilter{}); CodeOf(err) != CodeBusy {
		t.Errorf("error %v", err)
	}

	if _, err := c.Status(t.Context()); err != nil {
		t.Error(err)
	}
}
