package firewalltest

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

func TestNamespacesAreApart(t *testing.T) {
	a, b := New(t), New(t)
	if out := a.Run(t, "ip", "-brief", "link"); !strings.HasPrefix(out, "lo ") ||
		strings.Count(out, "\n") != 1 || !strings.Contains(out, "LOWER_UP") {
		t.Errorf("a new namespace has more than a loopback that is up:\n%s", out)
	}

	a.NFT(t, "add table inet mine")
	if out := b.NFT(t, "list", "ruleset"); out != "" {
		t.Errorf("b sees what a did:\n%s", out)
	}
	if _, err := a.Command("nft", "no such command"); err == nil || !strings.Contains(err.Error(),
		"syntax error") {
		t.Errorf("Command: %v, want nft's error", err)
	}
}

func TestJoinedNamespacesTalk(t *testing.T) {
	a, b := New(t), New(t)
	Join(t, a, b, []string{"192.0.2.1/24", "2001:db8::1/64"},
		[]string{"192.0.2.2/24", "2001:db8::2/64"})

	for _, way := range []struct{ src, dst string }{
		{"192.0.2.1", "192.0.2.2"},
		{"2001:db8::1", "2001:db8::2"},
	} {
		dst := net.JoinHostPort(way.dst, "5060")
		received := Count(b.ListenUDP(t, dst))
		sent := Flood(a.DialUDP(t, net.JoinHostPort(way.src, "0"), dst))
		time.Sleep(50 * time.Millisecond)

		if n := sent(); n == 0 {
			t.Errorf("nothing sent from %s", way.src)
		}
		if n := received(); n == 0 {
			t.Errorf("nothing received at %s", dst)
		}

		l := b.ListenTCP(t, dst)
		if _, err := a.DialTCP(t, net.JoinHostPort(way.src, "0"), dst); err != nil {
			t.Error(err)
		}
		l.Close()
	}
}

func TestGolden(t *testing.T) {
	listing := "elements = { 192.0.2.1 counter packets 7 bytes 99 " +
		"timeout 1d2h3m4s5ms expires 59m59s988ms }"
	want := "elements = { 192.0.2.1 counter packets N bytes N timeout T expires T }"
	if got := Normalise(listing); got != want {
		t.Errorf("Normalise = %q, want %q", got, want)
	}

	t.Chdir(t.TempDir())
	if err := os.Mkdir("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("testdata/g", []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}

	t.Setenv("UPDATE_GOLDEN", "")
	Golden(t, "g", listing)
}
