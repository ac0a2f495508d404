package daemon

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/firewall"
)

// BenchmarkManyBans is an operator at work with 262,144 bans in the kernel and in the journal: how long
// each command takes, in milliseconds, and how much memory amifend has, in megabytes. The last one is
// unban --all, after which a kill -9 and a restart must bring no ban back.
func BenchmarkManyBans(b *testing.B) {
	const bans = firewall.DefaultMaxBans
	for range b.N {
		s := newSite(b, 1)
		s.config.Firewall.MaxBans = bans
		s.config.State = config.State{
			Directory: b.TempDir(), Retain: 90 * 24 * time.Hour, MaxSize: 1 << 30,
		}
		fillJournal(b, s.config.State.Directory, bans)
		c := s.withControl(b)
		p := s.spawn(b)
		p.saidWithin(b, time.Minute, "firewall restored", "")
		ready(b, c)
		b.ReportMetric(p.memory(b), "MB-at-first")

		timed := func(what string, f func() error) {
			began := time.Now()
			if err := f(); err != nil {
				b.Errorf("%s: %v", what, err)
			}
			b.ReportMetric(float64(time.Since(began).Milliseconds()), what+"-ms")
		}
		unban := func(prefix string) func() error {
			return func() error {
				var within netip.Prefix
				if prefix != "" {
					within = netip.MustParsePrefix(prefix)
				}
				l, err := c.Unban(b.Context(), within)
				if err == nil && l.Note != "" {
					err = fmt.Errorf("%+v", l.Note)
				}
				return err
			}
		}

		timed("bans-n-20", func() error {
			l, err := c.Bans(b.Context(), control.BanQuery{Limit: 20})
			if err == nil && (len(l.Bans) != 20 || l.Total != bans) {
				err = fmt.Errorf("%d of %d", len(l.Bans), l.Total)
			}
			return err
		})
		timed("explain", func() error {
			_, err := c.Explain(b.Context(), netip.MustParseAddr("10.1.2.3"))
			return err
		})
		timed("unban-address", unban("10.1.2.3/32"))
		timed("unban-prefix", unban("10.1.3.0/24"))
		timed("reconcile", func() error {
			_, err := c.Reconcile(b.Context())
			return err
		})
		b.ReportMetric(p.memory(b), "MB-asked")

		began := time.Now()
		timed("unban-all", unban(""))
		elements, err := s.table(b).Bans(b.Context())
		if err != nil || len(elements) != 0 {
			b.Errorf("%d bans are in the kernel, %v", len(elements), err)
		}
		b.ReportMetric(float64(time.Since(began).Milliseconds()), "packets-pass-ms")
		timed("unban-all-again", unban(""))
		time.Sleep(time.Second)
		b.ReportMetric(p.memory(b), "MB-after")

		p.kill(b)
		p = s.spawn(b)
		l := p.saidWithin(b, time.Minute, "amifend runs", "")
		if l.Text("adopted") != "0" || l.Text("restored") != "0" {
			b.Errorf("after a kill: %v", l)
		}
		p.kill(b)
	}
}

// memory returns the resident memory of a process in megabytes.
func (p *process) memory(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if kb, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.Atoi(strings.Fields(kb)[0])
			if err != nil {
				b.Fatal(err)
			}
			return float64(n) / 1024
		}
	}
	b.Fatal("no VmRSS")
	return 0
}
