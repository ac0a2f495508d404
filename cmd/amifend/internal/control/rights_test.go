package control

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The groups of the tests: no one else has them.
const (
	readers  = 4000001
	admins   = 4000002
	outsider = 4000003
)

// desk answers, and remembers who asked for a change.
type desk struct {
	changes []string
	bans    []Ban
	block   chan struct{} // if not nil, Status waits for it or for the end of ctx
}

func (d *desk) Status(ctx context.Context) (Status, error) {
	if d.block != nil {
		select {
		case <-d.block:
		case <-ctx.Done():
			return Status{}, Errorf(CodeBusy, "too late")
		}
	}
	return Status{Version: "1"}, nil
}

func (d *desk) Bans(_ context.Context, q BanQuery) (BanList, error) {
	found, matched := q.Apply(slices.Clone(d.bans))
	return BanList{Total: len(d.bans), Matched: matched, Bans: found}, nil
}

func (d *desk) Allowed(context.Context) ([]Allowed, error) {
	return []Allowed{{Prefix: netip.MustParsePrefix("127.0.0.0/8"), Reason: "loopback"}}, nil
}

func (d *desk) Ban(_ context.Context, by Peer, bans []NewBan) ([]BanResult, error) {
	d.changes = append(d.changes, "ban by "+by.String())
	return []BanResult{{Prefix: bans[0].Prefix}}, nil
}

func (d *desk) Unban(_ context.Context, by Peer, within netip.Prefix) (Lifted, error) {
	d.changes = append(d.changes, "unban by "+by.String())
	if within.IsValid() {
		return Lifted{},
			Errorf(CodeNotBanned, "%s is not banned", within).Advise("look at: amifend bans")
	}
	return Lifted{Count: 2}, nil
}

func (d *desk) Allow(_ context.Context, by Peer, a NewAllow) (Allowed, error) {
	d.changes = append(d.changes, "allow by "+by.String())
	return Allowed{Prefix: a.Prefix}, nil
}

func (d *desk) Disallow(_ context.Context, by Peer, p netip.Prefix) (Allowed, error) {
	d.changes = append(d.changes, "disallow by "+by.String())
	return Allowed{Prefix: p}, nil
}

func (d *desk) DisallowName(_ context.Context, by Peer, name string) (Allowed, error) {
	d.changes = append(d.changes, "disallow name by "+by.String())
	return Allowed{Name: name}, nil
}

// serve serves a desk until the test ends. The socket is open to everybody, so that it is the
// daemon that refuses.
func serve(t *testing.T, d *desk, change func(*Options)) (*Client, *Server) {
	t.Helper()
	o := Options{
		Socket: filepath.Join(shortDir(t), "s.sock"), ReadGroup: "4000001", AdminGroup: "4000002",
		Log:  slog.New(slog.DiscardHandler),
		Read: d, Ban: d, Allow: d, Events: new(Feed),
		Reload: func(_ context.Context, by Peer) (Reloaded, error) {
			d.changes = append(d.changes, "reload by "+by.String())
			return Reloaded{}, nil
		},
	}
	if change != nil {
		change(&o)
	}

	s, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}

	if err := os.Chmod(o.Socket, 0o666); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})

	return NewClient(o.Socket), s
}

// shortDir is a folder whose name leaves room in sun_path, and that other users may enter.
func shortDir(t *testing.T) string {
	t.Helper()
	//nolint:usetesting // its folder is closed to other users
	dir, err := os.MkdirTemp("/tmp", "control")
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// as returns a client whose connections are made by another user: a thread takes his credentials
// for good, and ends.
func as(t *testing.T, c *Client, uid, gid int, groups ...uint32) *Client {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root")
		}
		t.Skip("needs root, to be another user")
	}

	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		type result struct {
			net.Conn
			error
		}

		done := make(chan result)
		go func() {
			runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
			if err := become(uid, gid, groups); err != nil {
				done <- result{nil, err}
				return
			}
			conn, err := net.Dial("unix", c.socket)
			done <- result{conn, err}
		}()

		r := <-done
		return r.Conn, r.error
	}

	return &Client{
		Operator: c.Operator, socket: c.socket,
		http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}},
	}
}

// become changes the credentials of the calling thread alone: the raw system calls, not libc's.
func become(uid, gid int, groups []uint32) error {
	var first unsafe.Pointer
	if len(groups) > 0 {
		first = unsafe.Pointer(&groups[0])
	}

	for _, call := range [][4]uintptr{
		{unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(first)},
		{unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)},
		{unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)},
	} {
		if _, _, errno := unix.RawSyscall(call[0], call[1], call[2], call[3]); errno != 0 {
			return errno
		}
	}

	return nil
}

func TestRights(t *testing.T) {
	many := make([]uint32, 500)
	for i := range many {
		many[i] = uint32(5000000 + i)
	}

	p := netip.MustParsePrefix("203.0.113.5/32")
	reads := map[string]func(*Client) error{
		"status": func(c *Client) error { _, err := c.Status(t.Context()); return err },
		"bans":   func(c *Client) error { _, err := c.Bans(t.Context(), BanQuery{}); return err },
		"allow":  func(c *Client) error { _, err := c.Allowed(t.Context()); return err },
		"events": func(c *Client) error {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()

			events, err := c.Events(ctx, EventFilter{})
			if err != nil {
				return err
			}

			cancel()
			for range events { //nolint:errcheck // each would be a fault
				t.Error("an event came")
			}

			return nil
		},
	}

	changes := map[string]func(*Client) error{
		"ban": func(c *Client) error {
			_, err := c.Ban(t.Context(), []NewBan{{Prefix: p}})
			return err
		},
		"unban": func(c *Client) error {
			_, err := c.Unban(t.Context(), netip.Prefix{})
			return err
		},
		"allow": func(c *Client) error {
			_, err := c.Allow(t.Context(), NewAllow{Prefix: p})
			return err
		},
		"disallow": func(c *Client) error { _, err := c.Disallow(t.Context(), p); return err },
		"disallow name": func(c *Client) error {
			a, err := c.DisallowName(t.Context(), "pbx.example")
			if err == nil && a.Name != "pbx.example" {
				t.Errorf("disallow name: %+v", a)
			}
			return err
		},
		"reload": func(c *Client) error { _, err := c.Reload(t.Context()); return err },
	}
	for name, tt := range map[string]struct {
		uid, gid           int
		groups             []uint32
		mayRead, mayChange bool
	}{
		"root":                       {0, 0, nil, true, true},
		"a stranger":                 {outsider, outsider, nil, false, false},
		"a stranger in root's group": {outsider, 0, nil, false, false},
		"a reader by his own group":  {outsider, readers, nil, true, false},
		"a reader": {
			outsider, outsider,
			[]uint32{readers},
			true,
			false,
		},
		"an admin": {outsider, outsider, []uint32{admins}, true, true},
		"both": {
			outsider, outsider,
			[]uint32{admins, readers},
			true, true,
		},
		"a stranger of many groups": {outsider, outsider, many, false, false},
		"an admin of many groups, the last one": {
			outsider, outsider,
			append(slices.Clone(many), admins), true, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := &desk{}
			c, _ := serve(t, d, nil)
			c = as(t, c, tt.uid, tt.gid, tt.groups...)

			for what, do := range reads {
				if err := do(c); (err == nil) != tt.mayRead || err != nil &&
					CodeOf(err) != CodeForbidden {
					t.Errorf("read %s: %v", what, err)
				}
			}

			for what, do := range changes {
				if err := do(c); (err == nil) != tt.mayChange || err != nil &&
					CodeOf(err) != CodeForbidden {
					t.Errorf("change %s: %v", what, err)
				}
			}

			want := 0
			if tt.mayChange {
				want = len(changes)
			}
			if len(d.changes) != want {
				t.Errorf("changes made: %q", d.changes)
			}

			for _, c := range d.changes {
				if !strings.HasSuffix(c,
					"by "+map[bool]string{true: "root", false: "uid 4000003"}[tt.uid == 0]) {
					t.Errorf("%q does not name uid %d", c, tt.uid)
				}
			}
		})
	}
}

// The refusal says which group it takes, and is logged once a minute.
func TestRefusal(t *testing.T) {
	var said strings.Builder
	c, s := serve(t, &desk{}, func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(&said, nil))
	})

	c = as(t, c, outsider, outsider)
	for range 3 {
		_, err := c.Unban(t.Context(), netip.Prefix{})
		if e := asError(err); !strings.Contains(e.Message, "the group 4000002") ||
			!strings.Contains(e.Do, "usermod -aG 4000002") {
			t.Fatalf("error %v", err)
		}
	}

	if got := said.String(); strings.Count(got, "the user has no right") != 1 ||
		!strings.Contains(got, "uid=4000003") {
		t.Errorf("the log: %s", got)
	}

	_ = s
}

// Where the socket's file refuses, the client says what to do.
func TestNoRightOnTheFile(t *testing.T) {
	c, _ := serve(t, &desk{}, nil)
	if err := os.Chmod(c.socket, 0o660); err != nil {
		t.Fatal(err)
	}

	_, err := as(t, c, outsider, outsider).Status(t.Context())
	if e := asError(err); e.Code != CodeForbidden || !strings.Contains(e.Do, "sudo") {
		t.Errorf("error %v", err)
	}

	_, err = NewClient(filepath.Join(shortDir(t), "none")).Status(t.Context())
	if e := asError(err); e.Code != CodeNotRunning || !strings.Contains(e.Do, "systemctl start") {
		t.Errorf("error %v", err)
	}
}

func TestUnknownGroup(t *testing.T) {
	var said strings.Builder
	d := &desk{}
	c, s := serve(t, d, func(o *Options) {
		o.ReadGroup, o.AdminGroup, o.Log = "no-such-group", "no-such-admins",
			slog.New(slog.NewTextHandler(&said, nil))
	})
	if s.access.read != nil || s.access.admin != nil ||
		strings.Count(said.String(), "groupadd --system no-such-") != 2 {
		t.Errorf("access %v, said %s", s.access, &said)
	}

	if _, err := c.Status(t.Context()); err != nil {
		t.Errorf("root: %v", err)
	}

	if _, err := as(t, c, outsider, outsider, readers,
		admins).Status(t.Context()); CodeOf(err) != CodeForbidden {
		t.Errorf("others: %v", err)
	}
}

// A daemon that may not give the socket to its group serves root alone, and says what to do.
func TestSocketThatCannotBeShared(t *testing.T) {
	path := filepath.Join(shortDir(t), "s.sock")
	s, err := open(path, "no-such-group")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()

	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked, see as
		if err := become(outsider, outsider, nil); err != nil {
			done <- nil
			return
		}
		done <- share(path, readers)
	}()
	if os.Geteuid() == 0 {
		if err := <-done; err == nil {
			t.Error("another user shared it")
		}
	}

	if st, err := os.Lstat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", st.Mode(), err)
	}
}
