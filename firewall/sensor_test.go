package firewall

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/firewall/firewalltest"
)

// answerTo is an answer of PJSIP, as the lab's Asterisk writes it.
func answerTo(status int, callID, received string) string {
	return fmt.Sprintf("SIP/2.0 %d Some reason\r\n"+
		"Via: SIP/2.0/UDP 192.0.2.66:40000;rport=40000;received=%s;branch=z9hG4bK1\r\n"+
		"Call-ID: %s\r\nFrom: <sip:1001@192.0.2.1>;tag=a\r\n"+
		"To: <sip:1001@192.0.2.1>;tag=z9hG4bK1\r\nCSeq: 1 REGISTER\r\n"+
		"WWW-Authenticate: Digest realm=\"asterisk\",nonce=\"1/a\"\r\nContent-Length:  0\r\n\r\n",
		status, received, callID)
}

// frame is a text message of a WebSocket server.
func frame(text string) string {
	return "\x81\x7e" + string(binary.BigEndian.AppendUint16(nil, uint16(len(text)))) + text
}

// needSensor skips a test on a kernel that cannot do all of the sensor.
func needSensor(t *testing.T, table *Table) {
	t.Helper()
	needKernel(t, table.Sensor().Err)
}

func refusedBy(t *testing.T, table *Table) map[string]uint64 {
	t.Helper()
	out := map[string]uint64{}
	err := table.Refused(t.Context(), func(r Refusals) {
		proto := UDP
		if r.Stream {
			proto = TCP
		}
		out[fmt.Sprintf("%s > %s %s", r.Server, r.To, proto)] = r.Packets
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// stream opens a connection to a port of the PBX, and returns both ends. They end with the test.
func (s *site) stream(t *testing.T, src, dst, port string) (c, served net.Conn) {
	t.Helper()
	l := s.pbx.ListenTCP(t, net.JoinHostPort(dst, port))
	defer l.Close()
	c, err := s.outside.DialTCP(t, net.JoinHostPort(src, "0"), net.JoinHostPort(dst, port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })

	served, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = served.Close() })
	return c, served
}

// sendStream opens a connection to a port of the PBX, over which the PBX writes the texts, each in a
// segment of its own. It returns when they have arrived.
func (s *site) sendStream(t *testing.T, src, dst, port string, texts ...string) {
	t.Helper()
	c, served := s.stream(t, src, dst, port)
	defer c.Close()
	defer served.Close()

	buf := make([]byte, 8192)
	for _, text := range texts {
		if _, err := served.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		// Read it all before the next one: each write is then one segment.
		for got := 0; got < len(text); {
			n, err := c.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			got += n
		}
	}
}

// sendUDP sends the texts from a port of the PBX.
func (s *site) sendUDP(t *testing.T, src, port, dst string, texts ...string) {
	t.Helper()
	c := s.pbx.DialUDP(t, net.JoinHostPort(src, port), net.JoinHostPort(dst, "40000"))
	defer c.Close()
	for _, text := range texts {
		// Nobody listens there, so a write may return the ICMP error of the one before, and sends
		// nothing.
		for range 10 {
			if _, err := c.Write([]byte(text)); err == nil {
				break
			}
		}
	}
}

func TestSensorLayout(t *testing.T) {
	ns := firewalltest.New(t)
	table := open(t, ns, Options{Sensor: &Sensor{}})
	needSensor(t, table)
	firewalltest.Golden(t, "sensor.nft", ns.NFT(t, "list", "ruleset"))
	ensure(t, table)
	firewalltest.Golden(t, "sensor.nft", ns.NFT(t, "list", "ruleset"))
	if ok, err := table.complete(table.read); err != nil || !ok {
		t.Errorf("complete: %t, %v", ok, err)
	}

	// What others remove is laid out again.
	for _, damage := range []string{
		"flush chain inet amifend refused", "flush chain inet amifend answers",
		"insert rule inet amifend answers_tcp accept", "flush ruleset",
		"add chain inet amifend passing { policy drop; }",
	} {
		ns.NFT(t, damage)
		if ok, err := table.complete(table.read); err != nil || ok {
			t.Errorf("complete after %q: %t, %v", damage, ok, err)
		}
		ensure(t, table)
		firewalltest.Golden(t, "sensor.nft", ns.NFT(t, "list", "ruleset"))
	}

	// A table without a sensor takes it away, and so does its end.
	without := open(t, ns, Options{})
	firewalltest.Golden(t, "empty.nft", ns.NFT(t, "list", "ruleset"))
	if n := len(refusedBy(t, without)); n != 0 {
		t.Errorf("%d refusals without a sensor", n)
	}
	ensure(t, table)
	if err := table.EndSensor(t.Context()); err != nil {
		t.Fatal(err)
	}
	firewalltest.Golden(t, "empty.nft", ns.NFT(t, "list", "ruleset"))
	ensure(t, table)
	firewalltest.Golden(t, "empty.nft", ns.NFT(t, "list", "ruleset"))
}

func TestSensorLeavesForeignChains(t *testing.T) {
	// A chain of the operator that has the name of one of ours, in a table without a sensor.
	ns := firewalltest.New(t)
	table := open(t, ns, Options{})
	ns.NFT(t, "add chain inet amifend answers { type filter hook input priority 0; }")
	ensure(t, table)
	if got := ns.NFT(t, "list", "ruleset"); !strings.Contains(got, "chain answers") {
		t.Error("the operator's chain is gone")
	}

	second, err := Open(Options{NetNS: ns.FD(), Sensor: &Sensor{}})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	needSensor(t, second)
	var foreign *ForeignError
	if err := second.Ensure(t.Context()); !errors.As(err, &foreign) ||
		!strings.Contains(err.Error(), "chain answers does not have our hook: filter, output") {
		t.Errorf("Ensure: %v", err)
	}
}

func TestSensorCounts(t *testing.T) {
	s := newSite(t, Options{Sensor: &Sensor{}})
	needSensor(t, s.table)
	refusal, proxy := answerTo(401, "a", attacker4), answerTo(407, "a", attacker4)
	other := answerTo(200, "a", attacker4)

	s.sendUDP(t, pbx4, "5060", attacker4, refusal, proxy, other, "SIP/2.0 4012 x", " "+refusal)
	s.sendUDP(t, pbx4, "5062", attacker4, refusal) // no SIP port
	s.sendUDP(t, pbx4, "5061", phone4, refusal)
	s.sendUDP(t, pbx6, "5060", attacker6, refusal, refusal)
	s.sendStream(t, attacker4, pbx4, "5060", refusal, refusal, other, refusal)
	s.sendStream(t, attacker4, pbx4, "8088", frame(refusal), frame(other))
	s.sendStream(t, attacker6, pbx6, "5061", refusal)

	want := map[string]uint64{
		pbx4 + " > " + attacker4 + " udp": 2,
		pbx4 + " > " + phone4 + " udp":    1,
		pbx6 + " > " + attacker6 + " udp": 2,
		pbx4 + " > " + attacker4 + " tcp": 4,
		pbx6 + " > " + attacker6 + " tcp": 1,
	}
	got := refusedBy(t, s.table)
	for k, n := range want {
		if got[k] != n {
			t.Errorf("%s: %d refusals, want %d", k, got[k], n)
		}
		delete(got, k)
	}
	if len(got) > 0 {
		t.Errorf("also %v", got)
	}

	// The counts survive a new layout, and go with the table.
	ensure(t, s.table)
	if n := refusedBy(t, s.table)[pbx4+" > "+attacker4+" udp"]; n != 2 {
		t.Errorf("%d refusals after Ensure, want 2", n)
	}
	s.pbx.NFT(t, "flush ruleset")
	if err := s.table.Refused(t.Context(), func(Refusals) {}); !errors.Is(err, ErrGone) {
		t.Errorf("Refused without a table: %v", err)
	}
	if err := s.table.WatchAnswers(t.Context(), netip.MustParseAddr(attacker4)); !errors.Is(err, ErrGone) {
		t.Errorf("WatchAnswers without a table: %v", err)
	}
}

// A peer that is gone makes TCP send a segment again and again: it counts once.
func TestSensorCountsASegmentOnce(t *testing.T) {
	s := newSite(t, Options{Sensor: &Sensor{}})
	needSensor(t, s.table)
	l := s.pbx.ListenTCP(t, pbx4+":5060")
	c, err := s.outside.DialTCP(t, attacker4+":0", pbx4+":5060")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	served, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer served.Close()

	// Nothing comes back from now on. A rule counts what is sent.
	s.pbx.NFT(t, "add table ip t; add chain ip t i { type filter hook input priority 0; }; "+
		"add rule ip t i ip saddr "+attacker4+" drop; add chain ip t o { type filter hook output "+
		"priority 10; }; add rule ip t o tcp sport 5060 counter")
	if _, err := served.Write([]byte(answerTo(401, "a", attacker4))); err != nil {
		t.Fatal(err)
	}
	sent := func() string { return s.pbx.NFT(t, "list chain ip t o") }
	for i := 0; strings.Contains(sent(), "packets 1 ") || strings.Contains(sent(), "packets 0 "); i++ {
		if i > 500 {
			t.Fatal("the segment is not sent again")
		}
		time.Sleep(10 * time.Millisecond)
	}
	const key = pbx4 + " > " + attacker4 + " tcp"
	if got := refusedBy(t, s.table); len(got) != 1 || got[key] != 1 {
		t.Errorf("refusals %v, want one; sent:\n%s", got, sent())
	}
}

// What the gateway of a PBX forwards is counted, too.
func TestSensorOnAGateway(t *testing.T) {
	s := newSite(t, Options{Sensor: &Sensor{}})
	needSensor(t, s.table)
	inner := firewalltest.New(t)
	firewalltest.Join(t, s.pbx, inner, []string{"198.51.100.1/24"}, []string{"198.51.100.2/24"})
	s.pbx.Run(t, "sysctl", "-qw", "net.ipv4.ip_forward=1")
	inner.Run(t, "ip", "route", "add", "default", "via", "198.51.100.1")

	c := inner.DialUDP(t, "198.51.100.2:5060", attacker4+":40000")
	defer c.Close()
	if _, err := c.Write([]byte(answerTo(401, "a", attacker4))); err != nil {
		t.Fatal(err)
	}
	const key = "198.51.100.2 > " + attacker4 + " udp"
	for range 100 {
		if refusedBy(t, s.table)[key] == 1 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("refusals %v, want one of %s", refusedBy(t, s.table), key)
}

// logged starts to receive answers. The channel gets a line for each.
func logged(t *testing.T, ns *firewalltest.NS) <-chan string {
	t.Helper()
	log, err := OpenAnswers(ns.FD(), 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	lines := make(chan string, 1000)
	go func() {
		ended <- log.Run(ctx, func(a *Answer) {
			lines <- fmt.Sprintf("%d %s > %s %t %q %q %s %s", a.Status, a.From.Addr(), a.To.Addr(),
				a.Stream, a.CallID, a.Account, a.Method, a.Sender().Addr())
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := log.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return lines
}

func await(t *testing.T, lines <-chan string, want string) {
	t.Helper()
	select {
	case got := <-lines:
		if got != want {
			t.Errorf("logged %s\nwant   %s", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("nothing logged, want %s", want)
	}
}

func TestSensorLogs(t *testing.T) {
	s := newSite(t, Options{Sensor: &Sensor{}})
	needSensor(t, s.table)
	lines := logged(t, s.pbx)

	// Refusals are logged; a success is not, unless the address is watched.
	s.sendUDP(t, pbx4, "5060", attacker4, answerTo(401, "\xffab", attacker4))
	await(t, lines, `401 192.0.2.1 > 192.0.2.66 false "\xffab" "1001" REGISTER 192.0.2.66`)
	s.sendUDP(t, pbx4, "5060", attacker4, answerTo(200, "b", attacker4), answerTo(401, "c", phone4))
	await(t, lines, `401 192.0.2.1 > 192.0.2.66 false "c" "1001" REGISTER 192.0.2.7`)

	for _, a := range []string{attacker4, attacker6, "::ffff:" + attacker4} {
		if err := s.table.WatchAnswers(t.Context(), netip.MustParseAddr(a)); err != nil {
			t.Fatal(err)
		}
	}
	s.sendUDP(t, pbx4, "5060", attacker4, answerTo(200, "d", attacker4))
	await(t, lines, `200 192.0.2.1 > 192.0.2.66 false "d" "1001" REGISTER 192.0.2.66`)
	s.sendUDP(t, pbx6, "5060", attacker6, answerTo(200, "e", "["+phone6+"]"))
	await(t, lines, `200 2001:db8::1 > 2001:db8::66 false "e" "1001" REGISTER 2001:db8::7`)
	s.sendStream(t, attacker4, pbx4, "5060", answerTo(200, "f", phone4))
	await(t, lines, `200 192.0.2.1 > 192.0.2.66 true "f" "1001" REGISTER 192.0.2.66`)
	s.sendStream(t, attacker4, pbx4, "8088", frame(answerTo(407, "\xffg", phone4)))
	await(t, lines, `407 192.0.2.1 > 192.0.2.66 true "\xffg" "1001" REGISTER 192.0.2.66`)
	s.sendUDP(t, pbx4, "5060", phone4, answerTo(200, "no", phone4), answerTo(401, "end", phone4))
	await(t, lines, `401 192.0.2.1 > 192.0.2.7 false "end" "1001" REGISTER 192.0.2.7`)

	// A flood is sampled. What goes to a watched address has a limit of its own.
	var flood []string
	for range 1000 {
		flood = append(flood, answerTo(401, "flood", phone4))
	}
	s.sendUDP(t, pbx4, "5060", phone4, flood...)
	s.sendUDP(t, pbx4, "5060", attacker4, answerTo(401, "after", attacker4))
	for n := 0; ; n++ {
		select {
		case line := <-lines:
			if strings.Contains(line, `"after"`) {
				return
			}
			if n > 300 {
				t.Fatal("the log has no limit")
			}
		case <-time.After(10 * time.Second):
			t.Fatal("the watched address is not logged in a flood")
		}
	}
}

func TestAnswersOfATakenGroup(t *testing.T) {
	ns := firewalltest.New(t)
	first, err := OpenAnswers(ns.FD(), 77)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAnswers(ns.FD(), 77); !errors.Is(err, ErrGroupTaken) {
		t.Errorf("the second receiver: %v, want ErrGroupTaken", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := OpenAnswers(ns.FD(), 77)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}
