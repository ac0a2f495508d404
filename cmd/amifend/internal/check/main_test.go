package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/lockout"
	"github.com/amifend/amifend/firewall/firewalltest"
	"github.com/amifend/amifend/firewall/sandbox"
)

func TestMain(m *testing.M) { firewalltest.Main(withLoopback{m}) }

// withLoopback gives the tests a loopback interface in the namespace that a user's test binary runs
// in.
type withLoopback struct{ m *testing.M }

func (w withLoopback) Run() int {
	if lo, err := net.InterfaceByName("lo"); err == nil && lo.Flags&net.FlagUp == 0 {
		if err := sandbox.RaiseLoopback(); err != nil {
			fmt.Fprintln(os.Stderr, "check:", err)
		}
	}
	return w.m.Run()
}

const (
	testUser   = "amifend"
	testSecret = "s3cr3t-hunter2"
)

// runPBX starts a PBX that lets our user in.
func runPBX(t *testing.T, b amitest.Behaviour) *amitest.PBX {
	t.Helper()
	return amitest.Run(t, amitest.Config{Username: testUser, Secret: testSecret, Behaviour: b})
}

// server is the [[server]] of a PBX; rest are further lines.
func server(name, address string, rest ...string) string {
	return fmt.Sprintf("[[server]]\nname = %q\naddress = %q\nusername = %q\nsecret = %q\n%s\n",
		name, address, testUser, testSecret, strings.Join(rest, "\n"))
}

const dryRun = "[firewall]\nbackend = \"log\"\n"

// load reads a config out of a file that only its owner may read.
func load(t *testing.T, parts ...string) *config.Config {
	t.Helper()
	c, err := config.Load(write(t, t.TempDir(), "config.toml", 0o600, strings.Join(parts, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func write(t *testing.T, dir, name string, mode os.FileMode, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}

	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	return path
}

// look runs the check, and says what it printed and whether all was well.
func look(t *testing.T, o Options) (string, bool) {
	t.Helper()
	var out bytes.Buffer
	o.Out = &out
	if o.Path == "" {
		o.Path = "config.toml"
	}
	if o.Sessions == nil {
		o.Sessions = func() []lockout.Session { return nil } // who tests over SSH
	}

	if o.LookupSRV == nil {
		o.LookupSRV = func(context.Context, string, string, string) ([]*net.SRV, error) {
			return nil, errors.New("no DNS in tests")
		}
	}

	if o.Lookup == nil {
		o.Lookup = func(context.Context, string) ([]netip.Addr, error) {
			return nil, errors.New("no DNS in tests")
		}
	}

	ok, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), testSecret) || strings.Contains(out.String(), "hunter2") {
		t.Errorf("the secret shows:\n%s", &out)
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("a control character gets through:\n%q", &out)
	}

	return out.String(), ok
}

// want checks that the output has all these texts, in this order.
func want(t *testing.T, out string, texts ...string) {
	t.Helper()
	rest := out
	for _, text := range texts {
		_, after, found := strings.Cut(rest, text)
		if !found {
			t.Fatalf("%q is not there, or not in order:\n%s", text, out)
		}
		rest = after
	}
}

// wantNot checks that the output has none of these texts.
func wantNot(t *testing.T, out string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(out, text) {
			t.Errorf("%q is there:\n%s", text, out)
		}
	}
}
