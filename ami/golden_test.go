package ami

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew; read them afterwards")

// TestGolden compares the events of each capture with a transcript that was read by eye against
// captures/INDEX.md.
func TestGolden(t *testing.T) {
	for name, capture := range captures(t) {
		t.Run(name, func(t *testing.T) {
			// A stream that ends with a held event shows it after a release.
			p := newPlayer(ownName(capture))
			p.feed(capture, len(capture))
			if p.Held() {
				p.out.WriteString("release\n")
				p.release()
			}

			banner, _ := p.Banner()
			got := "banner " + Quote(banner) + "\n" + p.out.String() + renderStats(p.Stats())
			golden := filepath.Join("testdata", "golden", name+".txt")

			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}

			if diff := cmp.Diff(strings.Split(string(want), "\n"),
				strings.Split(got, "\n")); diff != "" {
				t.Errorf("transcript differs (-want +got):\n%s", diff)
			}
		})
	}
}

// ownName is the manager user that recorded a capture: the account of its first AccountID.
func ownName(capture string) string {
	_, rest, _ := strings.Cut(capture, "AccountID: ")
	name, _, _ := strings.Cut(rest, "\r\n")
	return name
}

// TestCapturesAgainstPlainParser compares the decoder with a parser by the book on captures without
// an injection: packets split at empty lines, headers in a map.
func TestCapturesAgainstPlainParser(t *testing.T) {
	for name, capture := range captures(t) {
		if name == "03_crlf_injection_real" || name == "05_ami_service_events" ||
			name == "20_asterisk16_chan_sip" {
			continue
		}

		// The last piece is the end of the stream, not a packet.
		var want, got []string
		packets := strings.Split(capture, "\r\n\r\n")
		for _, packet := range packets[:len(packets)-1] {
			fields := make(map[string]string)
			for line := range strings.SplitSeq(packet, "\r\n") {
				key, value, _ := strings.Cut(line, ": ")
				fields[key] = value
			}

			if fields["Privilege"] == privilege {
				want = append(want, strings.Join([]string{
					fields["Event"], fields["Service"],
					fields["AccountID"], fields["SessionID"], fields["RemoteAddress"],
				}, " "))
			}
		}

		// Print the decoded address as Asterisk does, to compare texts.
		for _, e := range replay(capture).events {
			family := "IPV4"
			if e.Source.Addr().Is6() {
				family = "IPV6"
			}
			address := fmt.Sprintf("%s/%s/%s/%d", family, e.Transport, e.Source.Addr(),
				e.Source.Port())

			got = append(got, strings.Join([]string{
				e.Kind.String(), e.Service.String(),
				string(e.Account), string(e.Session), address,
			}, " "))
		}

		if diff := cmp.Diff(want, got); diff != "" || len(got) == 0 {
			t.Errorf("%s: events differ (-plain +decoder):\n%s", name, diff)
		}
	}
}
