package firewall

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

// udpPacket is an IP packet from 192.0.2.1:5060 to 192.0.2.66:40000, or the same over IPv6.
func udpPacket(payload string) []byte {
	b := make([]byte, 28)
	b[0], b[9] = 0x45, byte(UDP)
	copy(b[12:], []byte{192, 0, 2, 1})
	copy(b[16:], []byte{192, 0, 2, 66})
	binary.BigEndian.PutUint16(b[20:], 5060)
	binary.BigEndian.PutUint16(b[22:], 40000)
	return slices.Concat(b, []byte(payload))
}

// tcpPacket is the same over TCP, with 12 bytes of options.
func tcpPacket(payload string) []byte {
	b := udpPacket("")
	b[9] = byte(TCP)
	b = append(b, make([]byte, 24)...)
	b[20+12] = 8 << 4
	return append(b, payload...)
}

func TestParseAnswer(t *testing.T) {
	const good = "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP h:1;rport=1;received=192.0.2.66;branch=z\r\n" +
		"Call-ID: \xffx\r\nFrom: <sip:1@h>\r\nTo: \"a <sip:no@h>\" <sip:10%301@h>;tag=z\r\nCSeq: 1 INVITE\r\n\r\n"
	with := func(old, text string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in the packet", old)
		}
		return strings.Replace(good, old, text, 1)
	}

	for name, tt := range map[string]struct {
		packet        []byte
		account, from string
		unseen        bool
	}{
		"udp":         {udpPacket(good), "10%301", "192.0.2.66:40000", true},
		"tcp":         {tcpPacket(good), "10%301", "192.0.2.66:40000", true},
		"web socket":  {tcpPacket(frame(good)), "10%301", "192.0.2.66:40000", true},
		"ascii":       {udpPacket(with("\xffx", "%ffx")), "10%301", "192.0.2.66:40000", false},
		"surrogate":   {udpPacket(with("\xffx", "\xed\xa0\x80")), "10%301", "192.0.2.66:40000", true},
		"overlong":    {udpPacket(with("\xffx", "\xc0\xaf")), "10%301", "192.0.2.66:40000", true},
		"too high":    {udpPacket(with("\xffx", "\xf4\x90\x80\x80")), "10%301", "192.0.2.66:40000", true},
		"byte 0x80":   {udpPacket(with("\xffx", "x\x80")), "10%301", "192.0.2.66:40000", true},
		"valid UTF-8": {udpPacket(with("\xffx", "é")), "10%301", "192.0.2.66:40000", false},
		"maddr": {
			udpPacket(with("received=192.0.2.66", "maddr=192.0.2.66;received=192.0.2.7")), "10%301",
			"192.0.2.7:0", true,
		},
		"a peer over TCP is the sender": {
			tcpPacket(with("received=192.0.2.66", "received=192.0.2.7")), "10%301", "192.0.2.66:40000", true,
		},
		"received is planted in a parameter after it": {
			udpPacket(with(";branch", `;x=";received=192.0.2.7";branch`)), "10%301", "192.0.2.66:40000", true,
		},
		"received is no address": {
			udpPacket(with("received=192.0.2.66", "received=pbx.example.com")), "10%301",
			"192.0.2.66:40000", true,
		},
		"received is long": {
			udpPacket(with("received=192.0.2.66", "received="+strings.Repeat("1", 5000))), "10%301",
			"192.0.2.66:40000", true,
		},
		"received is an IPv4-mapped address": {
			udpPacket(with("received=192.0.2.66", "received=::ffff:192.0.2.66")), "10%301",
			"192.0.2.66:40000", true,
		},
		"no received": {udpPacket(with(";received=192.0.2.66", "")), "10%301", "192.0.2.66:40000", true},
		"the second Via is the next hop's": {
			udpPacket(with("\r\nCall-ID", "\r\nVia: SIP/2.0/UDP a;received=192.0.2.7\r\nCall-ID")),
			"10%301", "192.0.2.66:40000", true,
		},
		"compact": {
			udpPacket(strings.NewReplacer("Via: ", "v: ", "Call-ID: ", "i: ", "To: ", "t: ").Replace(good)),
			"10%301", "192.0.2.66:40000", true,
		},
		"the first Call-ID counts": {
			udpPacket(with("From", "Call-ID: a\r\nFrom")), "10%301", "192.0.2.66:40000", true,
		},
		"a lone CR ends no line": {
			udpPacket(with("Call-ID: \xffx", "X: \rCall-ID: \xffx\r\nCall-ID: y")), "10%301",
			"192.0.2.66:40000", false,
		},
		"To without brackets": {
			udpPacket(with("\"a <sip:no@h>\" <sip:10%301@h>", "sip:1002@h")), "1002", "192.0.2.66:40000", true,
		},
		"To without a user": {
			udpPacket(with("sip:10%301@h", "sip:h")), "", "192.0.2.66:40000", true,
		},
		"To with an open quote": {
			udpPacket(with("\"a <sip:no@h>\" <", "\"a\\")), "", "192.0.2.66:40000", true,
		},
		"To with a password": {
			udpPacket(with("sip:10%301@h", "sips:1003:secret@h")), "1003", "192.0.2.66:40000", true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, ok := ParseAnswer(tt.packet)
			if !ok {
				t.Fatal("not an answer")
			}
			if string(a.Account) != tt.account || a.Sender().String() != tt.from ||
				a.Unseen() != tt.unseen || a.Status != 401 || string(a.Method) != "INVITE" {
				t.Errorf("account %q, sender %s, unseen %t, %d %q", a.Account, a.Sender(), a.Unseen(),
					a.Status, a.Method)
			}
		})
	}

	for name, packet := range map[string][]byte{
		"empty": nil, "short": udpPacket(good)[:27], "a request": udpPacket("REGISTER sip:h SIP/2.0\r\n\r\n"),
		"cut in the Call-ID":      udpPacket(good[:strings.Index(good, "x\r\n")]),
		"cut in the CSeq":         udpPacket(good[:strings.Index(good, " INVITE")]),
		"no CSeq":                 udpPacket(with("CSeq: 1 INVITE\r\n", "")),
		"headers after the end":   udpPacket(with("Call-ID", "\r\nCall-ID")),
		"a status of letters":     udpPacket(with("401", "4x1")),
		"a status of four":        udpPacket(with("401 ", "4010")),
		"IP header too long":      append([]byte{0x4f}, make([]byte, 30)...),
		"another IP version":      append([]byte{0x75}, make([]byte, 60)...),
		"another protocol":        bytes.Replace(udpPacket(good), []byte{0, 17}, []byte{0, 1}, 1),
		"TCP header too long":     tcpPacket("")[:45],
		"a frame of another kind": tcpPacket("\x82" + frame(good)[1:]),
		"IPv6 cut short":          append([]byte{0x60}, make([]byte, 20)...),
	} {
		if a, ok := ParseAnswer(packet); ok {
			t.Errorf("%s: it is taken for an answer: %+v", name, a)
		}
	}
}

func TestParseAnswerAllocatesNothing(t *testing.T) {
	packet := udpPacket(answerTo(401, "\xffab", attacker4))
	if n := testing.AllocsPerRun(100, func() {
		if a, ok := ParseAnswer(packet); !ok || !a.Unseen() {
			t.Error("not an answer")
		}
	}); n != 0 {
		t.Errorf("%.0f allocations", n)
	}
}

func FuzzParseAnswer(f *testing.F) {
	for _, p := range [][]byte{
		udpPacket(answerTo(401, "\xffab", attacker4)), tcpPacket(answerTo(407, "a", "["+phone6+"]")),
		tcpPacket(frame(answerTo(200, "", ""))), udpPacket("SIP/2.0 200 \r\nTo: \"\\\r\n"),
	} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		a, ok := ParseAnswer(packet)
		if !ok {
			return
		}

		// What is returned is of the packet, and no text crosses the end of a line.
		if !a.Sender().Addr().IsValid() || a.Sender().Addr().Zone() != "" || a.Status > 999 {
			t.Errorf("sender %s, status %d", a.Sender(), a.Status)
		}
		for _, text := range [][]byte{a.CallID, a.Account, a.Method} {
			if bytes.Contains(text, []byte("\r\n")) || !bytes.Contains(packet, text) {
				t.Errorf("text %q is not that of one line", text)
			}
		}
		if a.Sender() != a.To && (a.Stream || a.Sender().Port() != 0) {
			t.Errorf("the sender %s is not %s", a.Sender(), a.To)
		}
		if a.Unseen() && !bytes.ContainsFunc(packet, func(r rune) bool { return r > 127 }) {
			t.Error("unseen by no byte of the packet")
		}
	})
}

func BenchmarkParseAnswer(b *testing.B) {
	packet := udpPacket(answerTo(401, "\xffab", attacker4))
	b.ReportAllocs()
	for b.Loop() {
		a, _ := ParseAnswer(packet)
		_ = a.Unseen()
	}
}
