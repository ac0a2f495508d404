//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/amifend/amifend/cmd/amifend/internal/e2e/lab"
	"github.com/amifend/amifend/cmd/amifend/internal/e2e/sip"
)

// metricsAt is the address of the page for Prometheus, on the machine of the PBX.
const metricsAt = "127.0.0.1:9797"

// inbox receives messages as a webhook, on the machine of the PBX.
type inbox struct {
	address string

	mu   sync.Mutex
	text strings.Builder
}

func (w *world) receiveMessages(t *testing.T) *inbox {
	t.Helper()
	in := &inbox{}
	var l net.Listener
	err := w.Net(lab.PBX).Do(func() (err error) {
		l, err = net.Listen("tcp", "127.0.0.1:0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	in.address = l.Addr().String()
	server := &http.Server{Handler: in}
	go server.Serve(l) //nolint:errcheck // it ends with the test
	t.Cleanup(func() { server.Close() })
	return in
}

// ServeHTTP takes a message.
func (in *inbox) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body) // what came
	in.mu.Lock()
	defer in.mu.Unlock()
	in.text.Write(b)
	in.text.WriteByte('\n')
}

// String returns all messages.
func (in *inbox) String() string {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.text.String()
}

// target returns the section of the config.
func (in *inbox) target() string {
	return fmt.Sprintf("[[notify]]\nname = \"hook\"\nurl = \"http://%s/\"\nsecret = \"%s\"\n"+
		"digest = \"1m\"\nmax_per_hour = 1000\n", in.address, strings.Repeat("5a", 32))
}

// hostileNames are accounts that attack whoever reads them: a terminal's title and screen, another
// direction of text, lines of their own, labels of metrics, markup and mentions of chats, a sheet's
// formula, characters that cannot be seen.
var hostileNames = []string{
	"a\x1b]0;owned\x07\x1b[2J", "b\x1b[31mred\x9b2J", "c\u202egnp.exe", "d\u200b\u2060\ufeffe", "e\nbanned 9.9.9.9",
	`f"} 1` + "\n" + `amifend_up{x="`, "@everyone", "<!channel>", "[x](http://evil.example)",
	`=cmd|"/c calc"!A1`, "g\u2028h\u2029i\u0085", "h\x00\x08\x7f", "</script><b>", "i\U000e0041\U000e007f",
	"%s%n%x{{.}}",
}

// testHostileNames tries accounts with such names, so that they are evidence of bans, and attacks one
// behind many addresses, so that an alert names it. No raw byte of them reaches a reader.
func testHostileNames(t *testing.T, w *world, d *daemon, in *inbox) {
	banned := netip.MustParseAddr("198.18.252.1")
	c := w.dial(t, lab.Attack, sip.TCP, banned)
	seen := 0
	for _, name := range hostileNames {
		c.Patience = 300 * time.Millisecond
		_, err := c.Attempt(t.Context(), sip.Request{Method: "REGISTER", From: escaped(name)})
		if err != nil {
			// It was banned, and goes on from another address of its network.
			banned = banned.Next()
			c = w.dial(t, lab.Attack, sip.TCP, banned)
			if _, err := c.Attempt(t.Context(), sip.Request{Method: "REGISTER", From: escaped(name)}); err != nil {
				continue
			}
		}
		seen++
	}
	if seen < len(hostileNames)/2 {
		t.Errorf("only %d of %d names were answered", seen, len(hostileNames))
	}

	// One of them is attacked from many addresses, which are forged.
	const attacked = "x\x1b[2J\u202e@everyone"
	for n := range 60 {
		name := netip.AddrFrom4([4]byte{198, 18, byte(101 + n), 9})
		f, err := sip.NewForger(t.Context(), w.Net(lab.Attack), netip.AddrPortFrom(name, 5060), pbxFor(name, 5060))
		if err != nil {
			t.Fatal(err)
		}
		made := sip.MadeUp("x", "REGISTER", "sip:x")
		err = f.Send(sip.Request{Method: "REGISTER", From: escaped(attacked), Header: []string{made}})
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		time.Sleep(5 * time.Millisecond)
	}
	eventually(t, soon, "Asterisk names the account", func() bool {
		return len(w.tap.Select(func(e lab.Event) bool { return strings.Contains(e.Packet, "x\x1b[2J") })) >= 50
	})
	w.judged(t, d, "198.18.253.1")

	// Wherever people and programs read.
	clean(t, "the log", d.String(), false)
	for _, args := range [][]string{
		{"status"},
		{"bans", "-w"},
		{"explain", "198.18.252.1"},
		{"report"},
		{"alerts"},
		{"top", "accounts"},
		{"report", "--json"},
		{"explain", "198.18.252.1", "--json"},
		{"bans", "--json"},
		{"alerts", "--json"},
		{"status", "--color=always"},
		{"explain", "198.18.252.1", "--color=always"},
		{"export", "--nft"},
	} {
		colours := args[len(args)-1] == "--color=always"
		clean(t, strings.Join(args, " "), w.ask(t, d, args[0], args[1:]...), colours)
	}
	page := w.scrape(t)
	clean(t, "the metrics", page, false)
	for line := range strings.Lines(page) {
		if !metricLine.MatchString(line) {
			t.Errorf("not a line of a metric: %q", line)
		}
	}
	if strings.Contains(page, "owned") || strings.Contains(page, "everyone") || strings.Contains(page, "198.18.") {
		t.Error("the metrics have text of an attacker")
	}
	w.ask(t, d, "notify", "--test")
	eventually(t, soon, "a message comes", func() bool { return in.String() != "" })
	clean(t, "the messages", in.String(), false)
}

// metricLine is a line of the text format of Prometheus.
var metricLine = regexp.MustCompile(
	`^(# (HELP|TYPE) .*|[a-z_]+(\{([a-z]+="[^"\n]*",?)*\})? [-+0-9.eInfNa]+)\n$`)

// escaped percent-encodes all bytes but letters and digits.
func escaped(name string) string {
	var b strings.Builder
	for _, c := range []byte(name) {
		if c < 0x80 && (unicode.IsLetter(rune(c)) || unicode.IsDigit(rune(c))) {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02x", c)
	}
	return b.String()
}

// clean fails the test if a text has a character that a terminal or a person does not see as such.
// amifend's own colours are taken out first.
func clean(t *testing.T, what, text string, colours bool) {
	t.Helper()
	if colours {
		text = regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(text, "")
	}
	for line := range strings.Lines(text) {
		for _, r := range strings.TrimRight(line, "\n") {
			if r != '\t' && !unicode.IsPrint(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar {
				t.Errorf("%s has the character %U: %q", what, r, line)
				return
			}
		}
		if strings.HasPrefix(line, "banned 9.9.9.9") || strings.HasPrefix(line, "amifend_up{x=") {
			t.Errorf("%s has a line that an attacker wrote: %q", what, line)
		}
	}
}

// scrape returns the page for Prometheus.
func (w *world) scrape(t *testing.T) string {
	t.Helper()
	client := &http.Client{Timeout: soon, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, address string) (c net.Conn, err error) {
			err = w.Net(lab.PBX).Do(func() error {
				c, err = new(net.Dialer).DialContext(ctx, "tcp", address)
				return err
			})
			return c, err
		},
	}}
	answer, err := client.Get("http://" + metricsAt + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v\n%s", answer.Status, err, b)
	}
	return string(b)
}

// testSpecialMaddr names addresses in maddr that belong to nobody, or to everybody. None of them is
// ever banned, and amifend goes on.
func testSpecialMaddr(t *testing.T, w *world, d *daemon) {
	special := []string{
		"0.0.0.0", "255.255.255.255", "224.0.0.1", "127.0.0.1", "127.1.2.3", "169.254.1.1", "192.0.2.255",
		"localhost", "0", "1", "0x0a1400b4", "012.024.0.264", "10.20.180", "10.20.0.180.", "pbx.example.org",
	}
	c := surely(w.dial(t, lab.Attack, sip.TCP, netip.MustParseAddr("198.18.211.1")))
	for _, maddr := range special {
		for n := range 8 {
			_, err := c.Attempt(within(t, time.Second), sip.Request{
				Method: "REGISTER", From: nobody(c, n), Via: sip.Via{Params: ";maddr=" + maddr},
			})
			if err != nil {
				break // Asterisk may answer elsewhere
			}
		}
	}
	w.judged(t, d, "198.18.212.1")
	w.logNamed(t)

	for _, a := range []string{"0.0.0.0", "255.255.255.255", "224.0.0.1", "127.0.0.1", "127.1.2.3"} {
		w.neverBanned(t, d, netip.MustParseAddr(a))
	}
	for _, e := range w.bans(t, lab.PBX) {
		if e.Prefix.Bits() < 24 {
			t.Errorf("a whole network is banned: %+v", e)
		}
	}
}

// testMappedMaddr names a phone in maddr as an address of IPv6 that embeds its own. The phone proved
// itself under its address of IPv4, and that counts.
func testMappedMaddr(t *testing.T, w *world, d *daemon) {
	phone := netip.MustParseAddr("10.20.0.111")
	c := surely(w.dial(t, lab.Attack, sip.TCP, netip.MustParseAddr("198.18.213.1")))
	for _, maddr := range []string{"[::ffff:10.20.0.111]", "::ffff:10.20.0.111", "[::ffff:a14:6f]"} {
		for n := range 8 {
			_, err := c.Attempt(within(t, time.Second), sip.Request{
				Method: "REGISTER", From: nobody(c, n), Via: sip.Via{Params: ";maddr=" + maddr},
			})
			if err != nil {
				break
			}
		}
	}
	w.judged(t, d, "198.18.214.1")
	w.logNamed(t)
	w.neverBanned(t, d, phone)
	w.neverBanned(t, d, netip.MustParseAddr("::ffff:10.20.0.111"))
}

// logNamed logs the addresses that Asterisk named, so that a reader sees what an attack came to.
func (w *world) logNamed(t *testing.T) {
	t.Helper()
	named := map[string]int{}
	w.tap.Select(func(e lab.Event) bool {
		_, rest, _ := strings.Cut(e.Packet, "RemoteAddress: ")
		address, _, _ := strings.Cut(rest, "\r\n")
		if parts := strings.Split(address, "/"); len(parts) == 4 {
			named[parts[2]]++
		}
		return false
	})
	t.Logf("Asterisk named: %v", named)
}
