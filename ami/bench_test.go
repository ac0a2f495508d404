package ami

import (
	"strings"
	"testing"
)

// benchmarkStreams are captures that hold nothing but what a busy PBX sends, without the truncated
// last packet.
func benchmarkStreams(t testing.TB) map[string]string {
	all := captures(t)
	flood := all["10_slow_consumer_truncated"]
	flood = flood[:strings.LastIndex(flood, "\r\n\r\n")+4]

	var every strings.Builder
	for _, k := range everyKind() {
		every.WriteString(asterisk{kind: k, account: "1001"}.String())
	}

	return map[string]string{
		"flood":     flood,
		"svcrack":   all["19_svcrack_range"],
		"chan_sip":  all["20_asterisk16_chan_sip"],
		"injection": all["03_crlf_injection_real"],
		"ipv6":      all["04_transports_addr_formats"],
		"every":     every.String(),
	}
}

// play feeds a stream in pieces of 16 KiB.
func play(d *Decoder, stream string, emit func(Event), respond func([]byte)) {
	for len(stream) > 0 {
		buffer := d.Buffer()
		n := copy(buffer[:min(len(buffer), 16<<10)], stream)
		d.Advance(n, emit, respond)
		stream = stream[n:]
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	for name, stream := range benchmarkStreams(t) {
		d := NewDecoder("")
		var events int
		emit, respond := func(Event) { events++ }, func([]byte) {}
		play(d, stream, emit, respond)

		if allocs := testing.AllocsPerRun(20, func() {
			play(d, stream, emit, respond)
		}); allocs != 0 {
			t.Errorf("%s: %v allocations a run of %d events", name, allocs, events/22)
		}
		if events == 0 {
			t.Errorf("%s: no event", name)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, stream := range benchmarkStreams(b) {
		b.Run(name, func(b *testing.B) {
			d := NewDecoder("")
			var events int
			emit, respond := func(Event) { events++ }, func([]byte) {}
			b.SetBytes(int64(len(stream)))
			b.ReportAllocs()

			for b.Loop() {
				play(d, stream, emit, respond)
			}
			b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(events), "ns/event")
		})
	}
}

func BenchmarkParseAddress(b *testing.B) {
	for _, text := range []string{
		"IPV4/UDP/198.51.100.11/46843",
		"IPV6/UDP/2001:db8:bad::abcd:1/5060",
	} {
		b.Run(text[:4], func(b *testing.B) {
			address := []byte(text)
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := parseAddress(address); !ok {
					b.Fatal("no address")
				}
			}
		})
	}
}
