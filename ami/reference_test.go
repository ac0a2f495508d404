package ami

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// This is a second decoder, to compare with the real one. It is slow and simple, has the whole
// stream at once, and shares no code with the other. It was written from Asterisk's
// main/security_events.c and from captures. It only knows the packets that Asterisk prints when
// nobody injects anything.

// A grammar is what Asterisk prints for one kind after RemoteAddress. A question mark is at the end
// of what may be left out.
var grammars = map[string][]string{
	"FailedACL":               {"Module?", "ACLName?", "SessionTV?"},
	"InvalidAccountID":        {"Module?", "SessionTV?"},
	"SessionLimit":            {"Module?", "SessionTV?"},
	"MemoryLimit":             {"Module?", "SessionTV?"},
	"LoadAverageLimit":        {"Module?", "SessionTV?"},
	"RequestNotSupported":     {"RequestType", "Module?", "SessionTV?"},
	"RequestNotAllowed":       {"RequestType", "Module?", "SessionTV?", "RequestParams?"},
	"AuthMethodNotAllowed":    {"AuthMethod", "Module?", "SessionTV?"},
	"RequestBadFormat":        {"RequestType", "Module?", "SessionTV?", "AccountID?", "RequestParams?"},
	"SuccessfulAuth":          {"UsingPassword", "Module?", "SessionTV?"},
	"UnexpectedAddress":       {"ExpectedAddress", "Module?", "SessionTV?"},
	"ChallengeResponseFailed": {"Challenge", "Response", "ExpectedResponse", "Module?", "SessionTV?"},
	"InvalidPassword":         {"Module?", "SessionTV?", "Challenge?", "ReceivedChallenge?", "ReceivedHash?"},
	"ChallengeSent":           {"Challenge", "Module?", "SessionTV?"},
	"InvalidTransport":        {"AttemptedTransport", "Module?", "SessionTV?"},
}

// detailOf names the header that becomes Event.Detail.
var detailOf = map[string]string{
	"FailedACL": "ACLName", "RequestNotSupported": "RequestType", "RequestNotAllowed": "RequestType",
	"AuthMethodNotAllowed": "AuthMethod", "RequestBadFormat": "RequestType",
	"UnexpectedAddress": "ExpectedAddress", "ChallengeSent": "Challenge",
	"InvalidTransport": "AttemptedTransport",
}

// names are all headers that Asterisk knows. No header of a later version has one of these names.
var names = regexp.MustCompile(`^(Event|Privilege|EventTV|Severity|Service|EventVersion|AccountID|` +
	`SessionID|LocalAddress|RemoteAddress|Module|ACLName|SessionTV|RequestType|RequestParams|` +
	`AuthMethod|UsingPassword|ExpectedAddress|Challenge|Response|ExpectedResponse|` +
	`ReceivedChallenge|ReceivedHash|AttemptedTransport)$`)

// referencePacket parses one packet without its empty line. It returns "" for anything that is not
// a security event exactly as Asterisk prints it, and else what render prints.
func referencePacket(packet string) string {
	lines, ok := headersOf(packet)
	if !ok || len(lines) < 9 || lines[0][0] != "Event" || grammars[lines[0][1]] == nil {
		return ""
	}

	// Asterisk may add headers of its own between Privilege and EventTV.
	kind, rest := lines[0][1], lines[1:]
	if rest[0] != [2]string{"Privilege", "security,all"} {
		return ""
	}
	rest = rest[1:]
	for len(rest) > 0 && unknownHeader(rest[0]) {
		rest = rest[1:]
	}

	head := []string{
		"EventTV", "Severity", "Service", "EventVersion", "AccountID", "SessionID", "LocalAddress",
		"RemoteAddress",
	}
	if kind == "RequestBadFormat" {
		head = slices.DeleteFunc(head, func(name string) bool { return name == "AccountID" })
	}
	values := map[string]string{}
	for _, name := range head {
		if len(rest) == 0 || rest[0][0] != name {
			return ""
		}
		values[name], rest = rest[0][1], rest[1:]
	}

	// The tail, and after it headers of a later version.
	for _, name := range grammars[kind] {
		bare, optional := strings.CutSuffix(name, "?")
		if len(rest) > 0 && rest[0][0] == bare {
			values[bare], rest = rest[0][1], rest[1:]
		} else if !optional {
			return ""
		}
	}
	for _, l := range rest {
		if !unknownHeader(l) {
			return ""
		}
	}
	return renderReference(kind, values)
}

// headersOf splits a packet into keys and values.
func headersOf(packet string) (lines [][2]string, ok bool) {
	for line := range strings.SplitSeq(packet, "\r\n") {
		key, value, ok := strings.Cut(line, ":")
		if !ok || key == "" || !strings.HasPrefix(value, " ") {
			return nil, false
		}
		lines = append(lines, [2]string{key, value[1:]})
	}
	return lines, true
}

func unknownHeader(l [2]string) bool { return !names.MatchString(l[0]) && l[1] != "" }

var (
	stampForm   = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:(\d\d)\.\d{3}[+-](0\d|1[0-5])[0-5]\d$`)
	pointerForm = regexp.MustCompile(`^0x[0-9a-fA-F]{4,16}$`)
	versionForm = regexp.MustCompile(`^(0|[1-9]\d?)$`)
	addressForm = regexp.MustCompile(`(?s)^IPV(4|6)/(UDP|TCP|TLS|WS|WSS)/([^/]*)/(0|[1-9]\d{0,4})$`)
)

// renderReference checks the values that Asterisk makes itself, and prints the event.
func renderReference(kind string, v map[string]string) string {
	severity := "Error"
	if kind == "SuccessfulAuth" || kind == "ChallengeSent" {
		severity = "Informational"
	}
	at, ok := referenceTime(v["EventTV"])
	if !ok || v["Severity"] != severity || !versionForm.MatchString(v["EventVersion"]) {
		return ""
	}

	service := v["Service"]
	if service != "PJSIP" && !pointerForm.MatchString(v["SessionID"]) {
		return ""
	}
	if service != "PJSIP" && service != "SIP" && service != "AMI" {
		service = "unknown"
	}
	_, local, ok := referenceAddress(v["LocalAddress"])
	if !ok {
		// The host of PJSIP's LocalAddress may be no address.
		m := addressForm.FindStringSubmatch(v["LocalAddress"])
		if service != "PJSIP" || m == nil || !isPort(m[4]) {
			return ""
		}
	}
	transport, source, ok := referenceAddress(v["RemoteAddress"])
	if !ok {
		return ""
	}

	if tv, has := v["SessionTV"]; has {
		if _, ok := referenceTime(tv); !ok {
			return ""
		}
	}
	if u, has := v["UsingPassword"]; has && u != "0" && u != "1" {
		return ""
	}

	var b strings.Builder
	fmt.Fprintf(&b, "event %s %s %s %s local=%s at=%s account=%s session=%s", kind, service, transport,
		source, local, at.Format(time.RFC3339Nano), Quote([]byte(v["AccountID"])),
		Quote([]byte(v["SessionID"])))
	if detail := v[detailOf[kind]]; detail != "" {
		fmt.Fprintf(&b, " detail=%s", Quote([]byte(detail)))
	}
	if v["UsingPassword"] == "1" {
		b.WriteString(" using-password")
	}
	if kind == "InvalidPassword" && service == "SIP" && v["Challenge"] != "" &&
		v["Challenge"] == v["ReceivedChallenge"] {
		b.WriteString(" round-trip")
	}
	return b.String()
}

// referenceTime parses a stamp. A leap second, which Go does not parse, is one more than the 59th.
func referenceTime(s string) (time.Time, bool) {
	m := stampForm.FindStringSubmatch(s)
	if m == nil {
		return time.Time{}, false
	}

	leap := time.Duration(0)
	if m[1] == "60" {
		leap, s = time.Second, s[:17]+"59"+s[19:]
	}
	at, err := time.Parse("2006-01-02T15:04:05.000-0700", s)
	year, _ := strconv.Atoi(s[:4])
	return at.Add(leap).UTC(), err == nil && year >= 1969 && year <= 2261
}

func isPort(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n <= 65535
}

// referenceAddress parses an address, and returns the transport's name.
func referenceAddress(s string) (transport string, out netip.AddrPort, ok bool) {
	m := addressForm.FindStringSubmatch(s)
	if m == nil || !isPort(m[4]) {
		return "", netip.AddrPort{}, false
	}

	addr, err := netip.ParseAddr(m[3])
	port, _ := strconv.Atoi(m[4])
	if err != nil || addr.Zone() != "" || addr.Is4() != (m[1] == "4") {
		return "", netip.AddrPort{}, false
	}
	return m[2], netip.AddrPortFrom(addr.Unmap(), uint16(port)), true
}

// compareWithReference checks a decoder that got a whole stream and was released:
//   - Each untainted event is one that the reference finds, in the same order.
//   - An event that only such events surround, three before it and two after it, comes out.
//
// Values beyond MaxValue are left to other tests.
func compareWithReference(t rapid.TB, stream string, p *player) {
	t.Helper()
	body := stream
	if !strings.HasPrefix(body, "Event: ") && !strings.HasPrefix(body, "Response: ") {
		_, body, _ = strings.Cut(body, "\r\n") // the banner
	}

	// An empty line ends a packet, and alone it is one without lines.
	var expected []string // "" for what is no event
	var packet []string
	lines := strings.Split(body, "\r\n")
	for _, line := range lines[:len(lines)-1] {
		if line != "" {
			packet = append(packet, line)
			continue
		}
		whole := strings.Join(packet, "\r\n")
		if len(whole) > MaxValue {
			return
		}
		expected = append(expected, referencePacket(whole))
		packet = nil
	}
	if len(packet) > 0 || lines[len(lines)-1] != "" {
		expected = append(expected, "") // the stream ends within a packet
	}

	var got []string
	for _, e := range p.events {
		if e.Taint == Untainted {
			got = append(got, render(e))
		}
	}

	next := 0
	for i, want := range expected {
		if want == "" {
			continue
		}
		around := expected[max(0, i-3):min(len(expected), i+3)]
		switch {
		case next < len(got) && got[next] == want:
			next++
		case !slices.Contains(around, ""):
			t.Errorf("packet %d did not come out:\n%s\nnext is:\n%s", i, want, nth(got, next))
			return
		}
	}
	if next < len(got) {
		t.Errorf("no packet of the stream is this event:\n%s", got[next])
	}
}

func nth(list []string, n int) string {
	if n < len(list) {
		return list[n]
	}
	return "nothing"
}

// Both decoders read the captures of real Asterisk in the same way.
func TestReferenceReadsCaptures(t *testing.T) {
	events := 0
	for name, stream := range captures(t) {
		p := replay(stream)
		compareWithReference(t, stream, p)
		if t.Failed() {
			t.Fatal(name)
		}
		events += len(p.events)
	}
	if events < 1000 {
		t.Errorf("only %d events were compared", events)
	}
}

// Both decoders read damaged and forged streams in the same way: real events of which pieces are
// cut, doubled, moved and replaced by text that imitates other events.
func TestReferenceReadsDamagedStreams(t *testing.T) {
	pieces := []string{
		"\r\n", "\r\n\r\n", "\n", "\r", ": ", " ", "Event: SuccessfulAuth\r\n", "AccountID: a\r\n",
		"RemoteAddress: IPV4/UDP/203.0.113.9/5060\r\n", "SessionID: 0x1234\r\n", "UsingPassword: 1\r\n",
		"Response: Success\r\n\r\n", "IPV6/WSS/2001:db8::1/0", "X-New: 1\r\n", "Severity: Error\r\n",
		"Challenge: \r\nResponse: \r\nExpectedResponse: \r\n\r\n", "\x00", "é", "Module: m\r\n",
	}
	rapid.Check(t, func(t *rapid.T) {
		var stream strings.Builder
		if rapid.Bool().Draw(t, "banner") {
			stream.WriteString("Asterisk Call Manager/11.0.0\r\n")
		}
		for range rapid.IntRange(1, 12).Draw(t, "packets") {
			kind := Kind(rapid.IntRange(1, NumKinds-1).Draw(t, "kind"))
			packet := asterisk{
				kind: kind, account: rapid.SampledFrom([]string{"1001", "", "<unknown>"}).Draw(t, "account"),
				service: rapid.SampledFrom([]string{"", "", "SIP", "AMI", "IAX2"}).Draw(t, "service"),
			}.String()

			// Most packets stay as they are, so that some events have only such ones around them.
			if rapid.IntRange(0, 4).Draw(t, "damage") == 0 {
				at := rapid.IntRange(0, len(packet)).Draw(t, "at")
				to := min(len(packet), at+rapid.IntRange(0, 40).Draw(t, "cut"))
				packet = packet[:at] + rapid.SampledFrom(pieces).Draw(t, "piece") + packet[to:]
			}
			stream.WriteString(packet)
		}

		s := stream.String()
		compareWithReference(t, s, replay(s))
	})
}
