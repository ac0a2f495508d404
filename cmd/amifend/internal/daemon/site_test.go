package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/firewall/firewalltest"
	"github.com/amifend/amifend/policy"
)

const (
	pbxUser   = "amifend"
	pbxSecret = "s3cret-Of-The-Tests"
)

// tables numbers the tables of this process: their locks belong to the namespace that all tests
// share.
var tables atomic.Int32

// site is a machine with amifend and PBXs: real AMI over loopback, a real kernel in a namespace of
// its own.
type site struct {
	*firewalltest.NS
	config config.Config
	pbxs   []*amitest.PBX
	trial  time.Duration
	calm   time.Duration // see Options.NotifyAfter
}

func newSite(t testing.TB, servers int) *site {
	t.Helper()
	s := &site{NS: firewalltest.New(t)}
	opts := policy.DefaultOptions()
	s.config = config.Config{
		Policy: opts,
		Allow:  []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")},
		Firewall: config.Firewall{
			Backend:  config.BackendNftables,
			Table:    fmt.Sprintf("amifend-%d-%d", os.Getpid(), tables.Add(1)),
			SIPPorts: firewall.DefaultSIPPorts(), MaxBans: 1000,
		},
	}

	for i := range servers {
		pbx := amitest.Run(t, amitest.Config{Username: pbxUser, Secret: pbxSecret})
		s.pbxs = append(s.pbxs, pbx)
		s.config.Servers = append(s.config.Servers, config.Server{
			Name: "pbx" + strconv.Itoa(i+1), Address: pbx.Addr(), Host: "127.0.0.1",
			Username: pbxUser, Secret: ami.NewSecret(pbxSecret),
		})
	}

	return s
}

// running is one run of amifend at a site.
type running struct {
	*logtest.Book
	cancel context.CancelFunc
	done   chan error
}

// start runs amifend and waits until it is logged in everywhere.
func (s *site) start(t *testing.T) *running {
	t.Helper()
	r := s.startUp(t)
	for _, pbx := range s.pbxs {
		logins(t, pbx, 1)
	}
	return r
}

// startUp runs amifend.
func (s *site) startUp(t *testing.T) *running {
	t.Helper()
	j, log := logtest.New()
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{Book: j, cancel: cancel, done: make(chan error, 1)}
	c := s.config
	o := Options{
		Config: &c, Log: log, NetNS: s.FD(), Trial: s.trial, NotifyAfter: s.calm,
	}
	go func() { r.done <- Run(ctx, o) }()
	t.Cleanup(func() {
		r.stop(t)
		if strings.Contains(j.String(), pbxSecret) {
			t.Error("the log holds the secret")
		}
		if t.Failed() {
			t.Logf("the log:\n%s", j)
		}
	})

	j.Wait(t, "amifend runs", "")
	return r
}

// stop ends the run in order.
func (r *running) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	select {
	case err, ok := <-r.done:
		if ok && err != nil {
			t.Errorf("amifend ended with %v", err)
		}
		if ok {
			close(r.done)
		}

	case <-time.After(10 * time.Second):
		t.Fatalf("amifend does not end:\n%s", r)
	}
}

// table opens the site's table for a look at it.
func (s *site) table(t testing.TB) *firewall.Table {
	t.Helper()
	table, err := firewall.Open(
		firewall.Options{
			Table: s.config.Firewall.Table, NetNS: s.FD(), MaxBans: s.config.Firewall.MaxBans,
		},
	)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { table.Close() })
	return table
}

// element reads one element; it is nil when the kernel does not have it.
func (s *site) element(
	t *testing.T, table *firewall.Table, prefix string, scope firewall.Scope,
) *firewall.Element {
	t.Helper()
	el, ok, err := table.Element(t.Context(), netip.MustParsePrefix(prefix), scope)
	if err != nil && !errors.Is(err, firewall.ErrGone) {
		t.Fatal(err)
	}

	if !ok {
		return nil
	}
	return &el
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// guess has an attacker try accounts, one request each.
func guess(pbx *amitest.PBX, addr, transport string, n int) {
	p := amitest.NewPeer(addr)
	p.Transport = transport
	for i := range n {
		pbx.Emit(p.GuessAccount(strconv.Itoa(100 + i))...)
	}
}

// withControl gives a site a control socket, and returns a client of it.
func (s *site) withControl(t testing.TB) *control.Client {
	t.Helper()
	s.config.Control = config.Control{
		Socket: filepath.Join(t.TempDir(), "s.sock"), ReadGroup: "0", AdminGroup: "0",
	}
	return control.NewClient(s.config.Control.Socket)
}

// ready waits until the control socket answers.
func ready(t testing.TB, c *control.Client) {
	t.Helper()
	eventually(t, "the control socket answers", func() bool {
		_, err := c.Status(t.Context())
		return err == nil
	})
}

const (
	all = firewall.ScopeAll
	sip = firewall.ScopeSIP
)

func newBanOf(prefix, scope string, d time.Duration) control.NewBan {
	return control.NewBan{Prefix: netip.MustParsePrefix(prefix), Scope: scope, For: d.Seconds()}
}
