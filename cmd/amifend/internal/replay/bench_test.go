package replay

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/policy"
)

// traffic writes a recording of n events of many sources: phones, scanners and guessers.
func traffic(b *testing.B, n int, line func(i int) string) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "recording")
	var out strings.Builder
	for i := range n {
		out.WriteString(line(i))
	}
	if err := os.WriteFile(path, []byte(out.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

// BenchmarkReplay plays a million events, from disk to verdict.
func BenchmarkReplay(b *testing.B) {
	const events = 1_000_000
	remote := func(i int) string {
		return fmt.Sprintf("IPV4/UDP/10.%d.%d.%d/5060", i%3, i%251,
			i%199)
	}
	begin := time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC)
	for name, line := range map[string]func(i int) string{
		"capture": func(i int) string {
			if i%3 == 0 {
				return request(float64(i)/100, "SuccessfulAuth", "PJSIP", remote(i), "1001")
			}
			return request(float64(i)/100, "InvalidAccountID", "PJSIP", remote(i), fmt.Sprint(i))
		},
		"log": func(i int) string {
			return fmt.Sprintf("[%s] NOTICE[99] chan_sip.c: Registration from '<sip:%d@pbx>' "+
				"failed for '10.%d.%d.%d:5060' - Wrong password\n",
				begin.Add(time.Duration(i)*10*time.Millisecond).Format("2006-01-02 15:04:05.000"),
				i, i%3, i%251, i%199)
		},
	} {
		b.Run(name, func(b *testing.B) {
			path := traffic(b, events, line)
			o := Options{
				Config: &config.Config{Policy: policy.DefaultOptions()},
				Files:  []string{path}, Format: FormatJSON, Location: time.UTC,
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := Run(b.Context(), o, io.Discard); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/events, "ns/event")
		})
	}
}
