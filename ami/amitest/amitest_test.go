package amitest_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/amifend/amifend/ami/amitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// captures are the bytes of a real Asterisk, copied by the decoder's tests.
const captures = "../testdata/captures"

// TestEventsAreByteExact prints events that are in the captures, and compares every byte.
func TestEventsAreByteExact(t *testing.T) {
	at := func(text string) time.Time {
		parsed, err := time.Parse("2006-01-02T15:04:05.000-0700", text)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	for name, tc := range map[string]struct {
		capture string
		event   amitest.Event
	}{
		"InvalidAccountID": {"04_transports_addr_formats.ami", amitest.Event{
			Kind: amitest.InvalidAccountID, Time: at("2026-11-23T02:54:13.609+0000"),
			Account: "nobody",
			Session: "1f5e71fce0e6f2de@198.51.100.31",
			Remote:  netip.MustParseAddrPort("198.51.100.31:36371"),
		}},
		"ChallengeSent": {"04_transports_addr_formats.ami", amitest.Event{
			Kind: amitest.ChallengeSent, Time: at("2026-11-23T02:54:13.610+0000"),
			Account: amitest.Unknown,
			Session: "1f5e71fce0e6f2de@198.51.100.31",
			Remote:  netip.MustParseAddrPort("198.51.100.31:36371"),
		}},
		"ChallengeResponseFailed": {"04_transports_addr_formats.ami", amitest.Event{
			Kind: amitest.ChallengeResponseFailed, Time: at("2026-11-23T02:54:13.612+0000"),
			Account: amitest.Unknown,
			Session: "1f5e71fce0e6f2de@198.51.100.31",
			Remote:  netip.MustParseAddrPort("198.51.100.31:36371"),
		}},
		"SuccessfulAuth": {"07_legit_phones_stale_nonce_spoof.ami", amitest.Event{
			Kind: amitest.SuccessfulAuth, Time: at("2026-11-23T02:55:28.613+0000"), Account: "1001",
			Session: "legit-1", Remote: netip.MustParseAddrPort("10.20.0.101:43916"),
		}},
		"FailedACL": {"04_transports_addr_formats.ami", amitest.Event{
			Kind: amitest.FailedACL, Time: at("2026-11-23T02:54:20.943+0000"), Account: "3000",
			Session: "cd4adf6604dee586@198.51.100.32",
			Remote:  netip.MustParseAddrPort("198.51.100.32:40509"),
		}},
		"RequestNotSupported": {"04_transports_addr_formats.ami", amitest.Event{
			Kind: amitest.RequestNotSupported, Time: at("2026-11-23T02:54:21.750+0000"),
			Account: "1001",
			Session: "x1", Remote: netip.MustParseAddrPort("198.51.100.34:46538"),
		}},
		"InvalidPassword of chan_sip": {"20_asterisk16_chan_sip.ami", amitest.Event{
			Kind: amitest.InvalidPassword, Time: at("2026-11-23T03:07:57.947+0000"), Service: "SIP",
			Account: "nou3",
			Session: "0x7fa2b0009eb0", Local: netip.MustParseAddrPort("192.0.3.10:5060"),
			Remote: netip.MustParseAddrPort("198.51.100.11:51502"),
		}},
		"RequestBadFormat": {"05_ami_service_events.ami", amitest.Event{
			Kind: amitest.RequestBadFormat, Time: at("2026-11-23T02:52:53.429+0000"),
			Service: "AMI", Account: "sec",
			Session: "0x7fb2f002eb60", Transport: "TCP",
			Local:  netip.MustParseAddrPort("0.0.0.0:5038"),
			Remote: netip.MustParseAddrPort("198.51.100.41:52265"),
			Fields: []amitest.Field{
				{Name: "RequestType", Value: "Action: NoSuchAction"},
				{Name: "SessionTV", Value: "2026-11-23T02:52:53.413+0000"},
			},
		}},
		"SuccessfulAuth of AMI": {"06_ami_protocol_sec.ami", amitest.Event{
			Kind: amitest.SuccessfulAuth, Time: at("2026-11-23T02:54:22.812+0000"), Service: "AMI",
			Account: "sec",
			Session: "0x7fb2fc0018d0", Transport: "TCP",
			Local:  netip.MustParseAddrPort("0.0.0.0:5038"),
			Remote: netip.MustParseAddrPort("127.0.0.1:47848"),
			Fields: []amitest.Field{
				{Name: "UsingPassword", Value: "0"},
				{Name: "SessionTV", Value: "2026-11-23T02:54:22.812+0000"},
			},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			recorded, err := os.ReadFile(filepath.Join(captures, tc.capture))
			if err != nil {
				t.Fatal(err)
			}

			// The empty line before the packet shows that it begins there.
			printed := tc.event.Bytes()
			if !bytes.Contains(recorded, append([]byte("\r\n\r\n"), printed...)) {
				t.Errorf("not in %s:\n%s", tc.capture, printed)
			}
		})
	}
}

func TestEventPrintsIPv6AndMappedAddresses(t *testing.T) {
	for remote, want := range map[string]string{
		"[2001:db8:bad::1]:5060":      "RemoteAddress: IPV6/UDP/2001:db8:bad::1/5060\r\n",
		"[::ffff:198.51.100.31]:5060": "RemoteAddress: IPV4/UDP/198.51.100.31/5060\r\n",
	} {
		printed := amitest.Event{
			Kind:   amitest.ChallengeSent,
			Remote: netip.MustParseAddrPort(remote),
		}.Bytes()
		if !bytes.Contains(printed, []byte(want)) {
			t.Errorf("%s prints\n%s", remote, printed)
		}
	}
}

func TestPeerKeepsOneCallIDPerDialog(t *testing.T) {
	peer := amitest.NewPeer("198.51.100.7:5060")
	first, second := peer.Crack("1000", 3), peer.GuessAccount("1")
	if len(first) != 4 || first[0].Kind != amitest.ChallengeSent ||
		first[3].Kind != amitest.ChallengeResponseFailed {
		t.Errorf("svcrack is %+v", first)
	}

	for _, e := range first {
		if e.Session != first[0].Session || e.Session == second[0].Session {
			t.Errorf("Call-ID %s of %s", e.Session, e.Kind)
		}
	}

	if second[1].Account != amitest.Unknown || second[1].Session != second[0].Session {
		t.Errorf("an unknown account is %+v", second)
	}
}

func TestCaptureLeavesOutTheRecordersLogin(t *testing.T) {
	recorded, err := os.ReadFile(filepath.Join(captures, "23a_ami_over_tls.ami"))
	if err != nil {
		t.Fatal(err)
	}
	got := amitest.Capture(recorded)
	if !bytes.HasPrefix(got, []byte("Event: InvalidAccountID\r\n")) ||
		!bytes.HasSuffix(recorded, got) {
		t.Errorf("begins with %.80q", got)
	}

	if other := []byte("Event: X\r\n\r\n"); !bytes.Equal(amitest.Capture(other), other) {
		t.Error("changed a stream of another form")
	}
}

// talk is a client at the wire.
type talk struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func dial(t *testing.T, pbx *amitest.PBX) *talk {
	t.Helper()
	conn, err := pbx.Dial(t.Context(), "tcp", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &talk{t: t, conn: conn, in: bufio.NewReader(conn)}
}

// say sends an action and returns the next packet.
func (c *talk) say(lines ...string) string {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, strings.Join(lines, "\r\n")+"\r\n\r\n"); err != nil {
		c.t.Fatal(err)
	}
	return c.packet()
}

func (c *talk) packet() string {
	c.t.Helper()
	var packet strings.Builder
	for !strings.HasSuffix(packet.String(), "\r\n\r\n") {
		line, err := c.in.ReadString('\n')
		if err != nil {
			c.t.Fatalf("read: %v after %q", err, packet.String())
		}
		packet.WriteString(line)
	}

	return packet.String()
}

func (c *talk) login() {
	c.t.Helper()
	if banner, err := c.in.ReadString('\n'); err != nil ||
		banner != "Asterisk Call Manager/11.0.0\r\n" {
		c.t.Fatalf("banner %q, %v", banner, err)
	}

	answer := c.say("Action: Login", "ActionID: 1", "Username: u", "Secret: s", "Events: security")
	if answer != "Response: Success\r\nActionID: 1\r\nMessage: Authentication accepted\r\n\r\n" {
		c.t.Fatalf("login answered %q", answer)
	}

	if own := c.packet(); !strings.HasPrefix(own, "Event: SuccessfulAuth\r\n") {
		c.t.Fatalf("after the login came %q", own)
	}
}

func newPBX(t *testing.T) *amitest.PBX {
	t.Helper()
	pbx := amitest.New(amitest.Config{Username: "u", Secret: "s"})
	t.Cleanup(pbx.Close)
	return pbx
}

func TestPBXSpeaksAMI(t *testing.T) {
	pbx := newPBX(t)
	c := dial(t, pbx)
	c.login()

	if err := pbx.WaitSessions(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	const pong = "Response: Success\r\nActionID: 2\r\nPing: Pong\r\nTimestamp: "
	answer := c.say("Action: Ping", "ActionID: 2")
	if !strings.HasPrefix(answer, pong) {
		t.Errorf("Ping answered %q", answer)
	}

	// An action without the right for it is refused, and raises an event.
	answer = c.say("Action: CoreSettings", "ActionID: 3")
	if answer != "Response: Error\r\nActionID: 3\r\nMessage: Permission denied\r\n\r\n" {
		t.Errorf("CoreSettings answered %q", answer)
	}
	if event := c.packet(); !strings.HasPrefix(event, "Event: RequestNotAllowed\r\n") ||
		!strings.Contains(event, "\r\nRequestType: Action: CoreSettings\r\n") {
		t.Errorf("a denied action raised %q", event)
	}

	// Events of the test come between the answers.
	event := amitest.NewPeer("198.51.100.7:5060").Refresh("1")[0]
	event.Time = time.Now()
	pbx.Emit(event)
	if got := c.packet(); got != string(event.Bytes()) {
		t.Errorf("emitted %q", got)
	}

	// Asterisk answers a Logoff, and then closes the connection.
	answer = c.say("Action: Logoff", "ActionID: 4")
	if !strings.HasPrefix(answer, "Response: Goodbye\r\n") {
		t.Errorf("Logoff answered %q", answer)
	}
	if _, err := c.in.ReadByte(); err == nil {
		t.Error("the connection is open after Logoff")
	}
	if got := len(pbx.Actions()); got != 4 {
		t.Errorf("%d actions recorded", got)
	}
}

func TestPBXTellsOtherSessionsOfAFailedLogin(t *testing.T) {
	pbx := newPBX(t)
	witness := dial(t, pbx)
	witness.login()

	guess := dial(t, pbx)
	if _, err := guess.in.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	answer := guess.say("Action: Login", "Username: u", "Secret: wrong")
	if !strings.Contains(answer, "Message: Authentication failed\r\n") {
		t.Errorf("answered %q", answer)
	}

	// The other session gets the event of the failure, and the refused one is closed.
	event := witness.packet()
	if !strings.HasPrefix(event, "Event: InvalidPassword\r\n") ||
		!strings.Contains(event, "\r\nEventVersion: 2\r\n") {
		t.Errorf("the witness saw %q", event)
	}
	if _, err := guess.in.ReadByte(); err == nil {
		t.Error("the connection is open after a refused login")
	}
}

func TestPBXPlaysStepsInTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pbx := newPBX(t)
		c := dial(t, pbx)
		c.login()
		pbx.Play(append(amitest.Split([]byte("abc"), 1, time.Second), amitest.Cut())...)

		started := time.Now()
		for i, want := range []byte("abc") {
			got, err := c.in.ReadByte()
			if err != nil || got != want || time.Since(started) != time.Duration(i)*time.Second {
				t.Errorf("byte %d: %q, %v, after %s", i, got, err, time.Since(started))
			}
		}

		if _, err := c.in.ReadByte(); err == nil || time.Since(started) != 3*time.Second {
			t.Errorf("end: %v after %s", err, time.Since(started))
		}
		_ = c.conn.Close()
	})
}

func TestPBXRestartsOnTheSamePort(t *testing.T) {
	pbx, err := amitest.Listen("127.0.0.1:0", amitest.Config{Username: "u", Secret: "s"})
	if err != nil {
		t.Fatal(err)
	}
	defer pbx.Close()
	address := pbx.Addr()
	dial(t, pbx).login()

	// A client that reconnects only finds the PBX again if the port is the same.
	pbx.Stop()
	if _, err := pbx.Dial(context.Background(), "tcp", ""); err == nil {
		t.Error("a stopped PBX was reached")
	}
	if err := pbx.Start(); err != nil {
		t.Fatal(err)
	}

	if err := pbx.Start(); err == nil {
		t.Error("started twice")
	}
	if pbx.Addr() != address {
		t.Errorf("address %s, want %s", pbx.Addr(), address)
	}

	dial(t, pbx).login()
}

func TestPBXCutsAClientThatDoesNotRead(t *testing.T) {
	pbx := newPBX(t)
	c := dial(t, pbx)
	c.login()

	if err := pbx.WaitSessions(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	event := amitest.NewPeer("198.51.100.7:5060").Refresh("1")[0].Bytes()

	send := func(bytes int) {
		for ; bytes > 0; bytes -= len(event) {
			pbx.Write(event)
		}
	}

	// The client reads nothing, so all that is sent waits in the queue.
	send(amitest.QueueLimit * 9 / 10)
	if pbx.Sessions() != 1 {
		t.Fatal("cut below the limit")
	}
	send(amitest.QueueLimit * 2 / 10)

	// The connection ends in another goroutine.
	deadline := time.Now().Add(5 * time.Second)
	for ; pbx.Sessions() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not cut beyond the limit")
		}
	}
}
