package ami

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A player feeds bytes to a decoder and writes down what comes out.
type player struct {
	*Decoder
	out    strings.Builder
	events []Event // with their own copies of the text
}

func newPlayer(username string) *player { return &player{Decoder: NewDecoder(username)} }

// feed hands s to the decoder in pieces of at most size bytes.
func (p *player) feed(s string, size int) {
	for len(s) > 0 {
		n := copy(p.Buffer(), s[:min(size, len(s))])
		p.Advance(n, p.emit, p.respond)
		s = s[n:]
	}
}

func (p *player) release() { p.Release(p.emit) }

func (p *player) emit(e Event) {
	e.Account = []byte(string(e.Account))
	e.Session = []byte(string(e.Session))
	e.Detail = []byte(string(e.Detail))
	p.events = append(p.events, e)
	fmt.Fprintf(&p.out, "%s\n", render(e))
}

func (p *player) respond(packet []byte) {
	head, rest, _ := strings.Cut(string(packet), "\r\n")
	fmt.Fprintf(&p.out, "other %s +%d\n", Quote([]byte(head)), len(rest))
}

// render writes an event as one line of a transcript.
func render(e Event) string {
	var b strings.Builder
	if e.Taint == Untainted {
		b.WriteString("event ")
	} else {
		fmt.Fprintf(&b, "TAINT %s ", e.Taint)
	}

	// Text of an attacker is quoted, so that a transcript shows injected line ends.
	fmt.Fprintf(&b, "%s %s %s %s local=%s at=%s account=%s session=%s", e.Kind, e.Service,
		e.Transport, e.Source, e.Local,
		e.Time.Format(time.RFC3339Nano), Quote(e.Account), Quote(e.Session))
	if len(e.Detail) > 0 {
		fmt.Fprintf(&b, " detail=%s", Quote(e.Detail))
	}

	for _, flag := range []struct {
		name string
		set  bool
	}{
		{"using-password", e.UsingPassword},
		{"round-trip", e.RoundTrip},
		{"own", e.Own},
		{"oversize", e.Oversize},
	} {
		if flag.set {
			b.WriteString(" " + flag.name)
		}
	}

	return b.String()
}

// renderStats writes the counters that are not 0.
func renderStats(s Stats) string {
	var b strings.Builder
	fmt.Fprintf(&b, "bytes %d\npackets %d\n", s.Bytes, s.Packets)
	write := func(name string, n uint64) {
		if n > 0 {
			fmt.Fprintf(&b, "%s %d\n", name, n)
		}
	}

	write("others", s.Others)
	for k, n := range s.Events {
		write("events "+Kind(k).String(), n)
	}

	for t := range s.Tainted {
		write("tainted "+Taint(t).String(), s.Tainted[t])
		write("dropped "+Taint(t).String(), s.Dropped[t])
	}

	write("orphans", s.Orphans)
	write("late orphans", s.LateOrphans)
	write("released", s.Released)
	write("oversize", s.Oversize)
	write("too long", s.TooLong)
	return b.String()
}

// replay feeds s whole and releases at its end.
func replay(s string) *player {
	p := newPlayer("")
	p.feed(s, len(s))
	p.release()
	return p
}

// captures returns the shared captures by name.
func captures(t testing.TB) map[string]string {
	t.Helper()
	names, err := filepath.Glob("testdata/captures/*.ami")
	if err != nil || len(names) < 25 {
		t.Fatalf("find captures: %d files, %v", len(names), err)
	}

	all := make(map[string]string)
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(name), ".ami")] = string(b)
	}

	return all
}

// asterisk prints a security event as Asterisk does: main/security_events.c and manager.c, 22.10.1.
// The zero value of a field stands for what most events have.
type asterisk struct {
	kind     Kind
	service  string
	account  string
	session  string
	local    string
	remote   string
	tail     string // lines with their ends; "-" is none, "" is defaultTail
	severity string
	eventTV  string
	version  string
	extra    string // lines after Privilege
}

func (a asterisk) String() string {
	or := func(s, d string) string {
		if s == "" {
			return d
		}
		return s
	}

	// chan_sip and the manager print a pointer, PJSIP the Call-ID.
	service := or(a.service, "PJSIP")
	session := "3848276298220188511@atlanta.example.com"
	if service != "PJSIP" {
		session = "0x7fa2b0053ed0"
	}

	// RequestBadFormat has its account in the tail.
	account := fmt.Sprintf("AccountID: %s\r\n", a.account)
	if a.kind == KindRequestBadFormat {
		account = ""
	}
	tail := or(a.tail, defaultTail(a.kind))
	if tail == "-" {
		tail = ""
	}

	return fmt.Sprintf("Event: %s\r\nPrivilege: security,all\r\n%sEventTV: %s\r\n"+
		"Severity: %s\r\nService: %s\r\n"+
		"EventVersion: %s\r\n%sSessionID: %s\r\nLocalAddress: %s\r\nRemoteAddress: %s\r\n%s\r\n",
		a.kind, a.extra, or(a.eventTV, "2026-11-23T02:49:24.744+0000"),
		or(a.severity, a.kind.severity()), service,
		or(a.version, "1"), account, or(a.session, session),
		or(a.local, "IPV4/UDP/192.0.2.10/5060"),
		or(a.remote, "IPV4/UDP/198.51.100.11/5062"), tail)
}

// defaultTail is the required tail of a kind, with values as Asterisk's own tests have them (tests/
// test_security_events.c 22.10.1).
func defaultTail(k Kind) string {
	switch k {
	case KindRequestNotSupported, KindRequestNotAllowed, KindRequestBadFormat:
		return "RequestType: CheeseBurger\r\n"
	case KindAuthMethodNotAllowed:
		return "AuthMethod: PlainText\r\n"
	case KindSuccessfulAuth:
		return "UsingPassword: 1\r\n"
	case KindUnexpectedAddress:
		return "ExpectedAddress: IPV4/UDP/192.168.1.2/2121\r\n"
	case KindChallengeResponseFailed:
		return "Challenge: 1795403290/3265a3337cc1e7557bec84da998354c3\r\n" +
			"Response: 71b0d1e675f23f6d16babf53ceff8d11\r\nExpectedResponse: \r\n"
	case KindChallengeSent:
		return "Challenge: \r\n"
	case KindInvalidTransport:
		return "AttemptedTransport: UDP\r\n"
	default:
		return ""
	}
}

// everyKind lists the fifteen kinds.
func everyKind() []Kind {
	var kinds []Kind
	for k := KindFailedACL; int(k) < NumKinds; k++ {
		kinds = append(kinds, k)
	}
	return kinds
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }
