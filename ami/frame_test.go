package ami

import (
	"bytes"
	"strings"
	"testing"
)

// TestOversize: a value beyond MaxValue is cut, its packet is not, whatever the pieces.
func TestOversize(t *testing.T) {
	// Lone carriage returns and line feeds do not end a line.
	fillers := []func(n int) string{
		func(n int) string { return strings.Repeat("\n", n/2) + strings.Repeat("\r", n-n/2) },
		func(n int) string {
			return strings.Repeat("\r", n/2) + "x" + strings.Repeat("\n", n-n/2-1)
		},
	}
	// Around each limit, in pieces that cut the value and its line end at different places.
	for i, length := range []int{
		MaxValue - 1, MaxValue, MaxValue + 1, MaxValue + 63, maxLine - 11, maxLine - 10, maxLine,
		maxLine + 1, 3 * MaxValue, 1 << 20, 5 << 20,
	} {
		for j, size := range []int{1 << 30, 4096, 1000, 997} {
			callID := fillers[(i+j)%2](length)
			long := asterisk{kind: KindInvalidAccountID, account: "1001", session: callID}.String()
			p := newPlayer("")
			p.feed(long+asterisk{kind: KindInvalidAccountID, account: "1002"}.String(), size)

			if len(p.events) != 2 || p.events[1].Oversize {
				t.Fatalf("%d bytes: %d events\n%s", length, len(p.events), renderStats(p.Stats()))
			}

			e := p.events[0]
			if e.Oversize != (length > MaxValue) ||
				string(e.Session) != callID[:min(length, MaxValue)] || e.Taint != Untainted ||
				e.Source.String() != "198.51.100.11:5062" || p.Stats().Oversize > 1 {
				t.Errorf("%d bytes in pieces of %d: session of %d bytes, oversize %v, taint %v",
					length, size, len(e.Session), e.Oversize, e.Taint)
			}

			if len(p.frame.buf) > 1<<20 {
				t.Errorf("buffer of %d bytes", len(p.frame.buf))
			}
		}
	}
}

// TestMemoryIsBounded sends endless lines and packets: the buffer stays within 1 MiB, and the next
// event comes.
func TestMemoryIsBounded(t *testing.T) {
	held := asterisk{
		kind: KindInvalidPassword, service: "SIP", session: "0x7fa2b0053ed0",
		account: strings.Repeat("a", MaxValue),
	}.String()

	// Streams that never give a whole event. A decoder that waits for one would keep all of them.
	tests := map[string]string{
		"line without an end":   strings.Repeat("x", 1<<16),
		"lone line feeds":       strings.Repeat("\n", 1<<16),
		"lone carriage returns": strings.Repeat("\r", 1<<16),
		"packet without an end": strings.Repeat("Foo: bar\r\n", 1<<13),
		"packet of very long ones": strings.Repeat("Foo: "+strings.Repeat("x", 2*MaxValue)+"\r\n",
			4),
		"empty packets": strings.Repeat("\r\n", 1<<15),
		"torn events": strings.Repeat(asterisk{
			kind:    KindInvalidPassword,
			service: "SIP", account: "\r\n",
		}.String()+"\r\n", 100),
	}
	for name, piece := range tests {
		for _, before := range []string{"", held, "Event: InvalidAccountID\r\n"} {
			p := newPlayer("")
			p.feed("Response: Success\r\n\r\n"+before, 1<<16)
			for range 64 {
				p.feed(piece, 1<<16)
				if len(p.frame.buf) > 1<<20 {
					t.Fatalf("%s: buffer of %d bytes", name, len(p.frame.buf))
				}
			}

			// The first of the two may count as the rest of what came before.
			good := asterisk{kind: KindInvalidAccountID, account: "good"}.String()
			p.feed("\r\n\r\n"+good+good, 1000)
			if n := len(p.events); n == 0 || string(p.events[n-1].Account) != "good" {
				t.Errorf("%s: the next event is lost:\n%s", name, renderStats(p.Stats()))
			}
		}
	}
}

func TestTooLongPacketIsDropped(t *testing.T) {
	response := "Response: Success\r\n" + strings.Repeat("Foo: bar\r\n", MaxPacket/10) + "\r\n"
	event := strings.TrimSuffix(asterisk{kind: KindInvalidAccountID}.String(), "\r\n") +
		strings.Repeat("Foo: bar\r\n", MaxPacket/10) + "\r\n"
	for _, size := range []int{1 << 30, 1000} {
		p := newPlayer("")
		p.feed(response+event+asterisk{kind: KindInvalidAccountID}.String(), size)
		p.release()
		if s := p.Stats(); s.TooLong != 2 || s.Others != 0 || len(p.events) != 1 ||
			s.Dropped[TaintTooLong] != 1 {
			t.Errorf("pieces of %d: %d events\n%s", size, len(p.events), renderStats(s))
		}
	}
}

func TestBuffer(t *testing.T) {
	d := NewDecoder("")
	if n := len(d.Buffer()); n != firstSize {
		t.Errorf("the first buffer has %d bytes, want %d", n, firstSize)
	}

	event := []byte(asterisk{kind: KindInvalidAccountID}.String())

	// Reads that do not fill the buffer do not make it grow.
	for range 1000 {
		d.Advance(copy(d.Buffer(), event), func(Event) {}, func([]byte) {})
	}
	if n := len(d.frame.buf); n != firstSize {
		t.Errorf("the buffer grew to %d bytes without need", n)
	}

	// Reads that fill it do, up to the usual size.
	flood := bytes.Repeat(event, 2000)
	for len(flood) > 0 {
		n := copy(d.Buffer(), flood)
		d.Advance(n, func(Event) {}, func([]byte) {})
		flood = flood[n:]
	}

	if n := len(d.frame.buf); n != usualSize {
		t.Errorf("the buffer has %d bytes after a flood, want %d", n, usualSize)
	}
	if d.Stats().Events[KindInvalidAccountID] != 3000 {
		t.Errorf("%d events", d.Stats().Events[KindInvalidAccountID])
	}
}

func TestBanner(t *testing.T) {
	tests := map[string]struct {
		want string
		done bool
	}{
		"":                               {"", false},
		"Asterisk Call Man":              {"Asterisk Call Man", false},
		"Asterisk Call Manager/11.0.0\r": {"Asterisk Call Manager/11.0.0\r", false},
		"Asterisk Call Manager/11.0.0\r\nResponse: Success\r\n\r\n": {
			"Asterisk Call Manager/11.0.0", true,
		},
		"SSH-2.0-OpenSSH_9.2\r\n":         {"SSH-2.0-OpenSSH_9.2", true},
		"Response: Success\r\n\r\n":       {"", true},
		"Event: FullyBooted\r\n\r\n":      {"", true},
		strings.Repeat("x", 500) + "\r\n": {strings.Repeat("x", 128), true},
		strings.Repeat("x", 500):          {strings.Repeat("x", 128), false},
	}
	for stream, test := range tests {
		// Pieces of seven bytes split the banner and its line end.
		p := newPlayer("")
		p.feed(stream, 7)
		if got, done := p.Banner(); string(got) != test.want || done != test.done {
			t.Errorf("banner of %q is %q, %v; want %q, %v", stream, got, done, test.want, test.done)
		}

		// A packet in place of the banner must be decoded.
		if strings.Contains(stream, "\r\n\r\n") && p.Stats().Others != 1 {
			t.Errorf("%q: %d packets", stream, p.Stats().Others)
		}
	}
}

// TestRespond hands out whole packets as they stand in the stream.
func TestRespond(t *testing.T) {
	capture := captures(t)["06_ami_protocol_sec"]
	var got []string
	d := NewDecoder("")
	for rest := capture; len(rest) > 0; {
		n := copy(d.Buffer()[:1], rest)
		d.Advance(n, func(Event) {}, func(packet []byte) { got = append(got, string(packet)) })
		rest = rest[n:]
	}

	// The same by splitting at empty lines, after the banner.
	var want []string
	_, rest, _ := strings.Cut(capture, "\r\n")
	for packet := range strings.SplitAfterSeq(rest, "\r\n\r\n") {
		if strings.HasPrefix(packet, "Response: ") {
			want = append(want, packet)
		}
	}

	if len(want) != 14 || strings.Join(got, "") != strings.Join(want, "") {
		t.Errorf("got %d responses, want %d", len(got), len(want))
	}
}
