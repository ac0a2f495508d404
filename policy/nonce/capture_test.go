package nonce

import (
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// captures is where the events of the real Asterisks are. The nonces that left meanwhile are in
// testdata.
const captures = "../../ami/testdata/captures/proof"

// left is a line of a list of nonces: time, protocol, from > to, code, length, offset, received, Vias
// and nonces.
type left struct {
	at  int64
	udp bool
	a   Answer
}

func readNonces(t *testing.T, name string) (out []left) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".nonces"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		sec, frac, _ := strings.Cut(f[0], ".")
		s, err1 := strconv.ParseInt(sec, 10, 64)
		us, err2 := strconv.ParseInt(frac, 10, 64)
		if err1 != nil || err2 != nil {
			t.Fatalf("time in %q", line)
		}
		l := left{at: s*int64(time.Second) + us*int64(time.Microsecond), udp: f[1] == "UDP"}

		colon := strings.LastIndexByte(f[4], ':')
		l.a = Answer{Known: true, Port: sip, To: netip.MustParseAddr(f[4][:colon]), Plain: true}
		for _, field := range f[5:] {
			switch key, value, _ := strings.Cut(field, "="); key {
			case "received":
				l.a.Received = netip.MustParseAddr(value)
			case "vias":
				l.a.Plain = value == "1"
			case "nonce":
				for one := range strings.SplitSeq(value, ",") {
					n, ok := Parse([]byte(one))
					if !ok {
						l.a.Malformed = true
						continue
					}
					l.a.Nonces = append(l.a.Nonces, n)
				}
			}
		}
		out = append(out, l)
	}
	return out
}

// event is what an event of a capture says.
type event struct {
	kind, transport, challenge string
	source                     netip.Addr
	at                         int64
}

func readEvents(t *testing.T, name string) (out []event) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(captures, name+".ami"))
	if err != nil {
		t.Fatal(err)
	}
	for packet := range strings.SplitSeq(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n\n") {
		e := event{}
		for line := range strings.Lines(packet) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			switch key {
			case "Event":
				e.kind = value
			case "EventTV":
				at, err := time.Parse("2006-01-02T15:04:05.000-0700", value)
				if err != nil {
					t.Fatal(err)
				}
				e.at = at.UnixNano()
			case "RemoteAddress":
				f := strings.Split(value, "/")
				e.transport, e.source = f[1], netip.MustParseAddr(f[2])
			case "Challenge":
				e.challenge = value
			}
		}
		if e.kind == "ChallengeResponseFailed" || e.kind == "InvalidPassword" {
			out = append(out, e)
		}
	}
	return out
}

// TestCaptures judges the failures over UDP of the captures by the nonces that left before: the
// genuine ones are proven, and none of the others is.
func TestCaptures(t *testing.T) {
	for name, want := range map[string]struct{ judged, proven int }{
		"genuine":  {12, 12},
		"holes":    {8, 0},
		"chan_sip": {3, 0},
	} {
		t.Run(name, func(t *testing.T) {
			answers := readNonces(t, name)
			l := &lab{Judge: New(1), at: answers[0].at - int64(2*time.Second)}
			l.Begin(l.at)
			l.wait(time.Second)
			for i := range GenuineFrom {
				a := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
				l.send(plain(a), l.nonce(a))
			}

			judged, proven, next := 0, 0, 0
			for _, e := range readEvents(t, name) {
				if e.transport != "UDP" {
					continue
				}
				// Events have milliseconds.
				for ; next < len(answers) && answers[next].at < e.at+int64(time.Millisecond); next++ {
					if l.at = answers[next].at; answers[next].udp {
						l.send(answers[next].a, answers[next].a.Nonces...)
					}
				}
				l.at = max(l.at, e.at)

				judged++
				n, ok := Parse([]byte(e.challenge))
				if ok && l.clean(n, e.source) {
					proven++
				}
			}
			if judged != want.judged || proven != want.proven {
				t.Errorf("%d of %d failures are proven, want %d of %d", proven, judged, want.proven, want.judged)
			}
		})
	}
}
