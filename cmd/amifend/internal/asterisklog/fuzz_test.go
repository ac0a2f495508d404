package asterisklog

import (
	"net/netip"
	"strings"
	"testing"
)

// FuzzAccount: whatever the sender of a request puts into an account of PJSIP (36 bytes) or
// chan_sip (215), or into the To header of a registration, only the addresses that Asterisk printed
// itself are sources.
func FuzzAccount(f *testing.F) {
	for _, s := range []string{"1001", "x" + forged, "x" + forged + "\"\n", "x\n" + notice + lie +
		"\n", "\n<22\n", "x' failed for '9.9.9.9' - Wrong password", `x",Event="FailedACL`} {
		f.Add(s)
	}

	known := map[string]bool{"198.51.100.7": true, "198.51.100.8": true, "198.51.100.9": true}
	f.Fuzz(func(t *testing.T, text string) {
		// As long as Asterisk lets each field be.
		short := text[:min(len(text), 36)]
		long := text[:min(len(text), 215)]
		line := strings.ReplaceAll(text, "\n", " ")
		events, _ := read(t,
			sip("a")+sip(long)+pjsip(short)+sip(long)+registration(line)+pjsip("b"), Options{})
		for _, e := range events {
			if !known[sourceOf(e)] {
				t.Errorf("%s is a source", sourceOf(e))
			}
		}

		// Alone, too: no event in front or behind that could put it in doubt.
		alone, _ := read(t, registration(line), Options{})
		for _, e := range alone {
			if sourceOf(e) != "198.51.100.9" {
				t.Errorf("%s is a source of a registration", sourceOf(e))
			}
		}
	})
}

// FuzzReader: no file makes the reader crash, stall, or emit an event without a source; splitting
// changes nothing.
func FuzzReader(f *testing.F) {
	f.Add(sip("x") + pjsip("y") + registration("z") + call("1"))
	f.Add("[Nov 23 02:49:24] NOTICE[9]: chan_sip.c:29062 handle_request_register: " + lie + "\n")
	f.Fuzz(func(t *testing.T, log string) {
		r := NewReader(strings.NewReader(log), Options{})
		for lines := 0; ; lines++ {
			err := r.Read(func(ev Event) {
				if ev.Source == (netip.AddrPort{}) {
					t.Error("an event without a source")
				}
			})
			if err != nil {
				return
			}

			// Each call reads a byte at least.
			if lines > len(log) {
				t.Fatal("the reader does not end")
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	for name, log := range map[string]string{
		"security":     strings.Repeat(pjsip("1001")+sip("1002"), 500),
		"registration": strings.Repeat(registration("<sip:1001@pbx>"), 1000),
		"other": strings.Repeat("[2026-11-23 02:49:24] VERBOSE[99] pbx.c: Executing "+
			"[s@default:1] NoOp\n", 1000),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(log)))
			b.ReportAllocs()
			for b.Loop() {
				r := NewReader(strings.NewReader(log), Options{})
				for r.Read(func(Event) {}) == nil {
				}
			}

			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/line")
		})
	}
}
