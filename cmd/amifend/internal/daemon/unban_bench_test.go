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

// mostMB is how much memory amifend may have with 262,144 bans, also while it is asked.
const mostMB = 350

// BenchmarkManyBans is an operator at work with 262,144 bans in the kernel and in the journal: how long
// each command takes, in milliseconds, and how much memory amifend has, in megabytes; it fails above
// mostMB. The last command is unban --all, after which a kill -9 and a restart must bring no ban back.
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
		b.ReportMetric(p.memory(b, "VmRSS"), "MB-at-first")
		p.forgetPeak(b)

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
		timed("bans-all", func() error {
			l, err := c.Bans(b.Context(), control.BanQuery{})
			if err == nil && len(l.Bans) != bans {
				err = fmt.Errorf("%d of %d", len(l.Bans), l.Total)
			}
			return err
		})
		timed("bans-dropped", func() error {
			_, err := c.Bans(b.Context(), control.BanQuery{Sort: "dropped", Limit: 10})
			return err
		})
		timed("bans-prefix", func() error {
			l, err := c.Bans(b.Context(), control.BanQuery{Within: netip.MustParsePrefix("10.1.0.0/24")})
			if err == nil && len(l.Bans) != 256 {
				err = fmt.Errorf("%d of %d", len(l.Bans), l.Total)
			}
			return err
		})
		timed("status", func() error {
			_, err := c.Status(b.Context())
			return err
		})
		timed("live", func() error { // a look of amifend top
			l, err := c.Live(b.Context(), control.MostLive)
			if err == nil && (l.Running != bans || len(l.Busy) > 0) {
				err = fmt.Errorf("%d bans, busy: %v", l.Running, l.Busy)
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
		peak := p.memory(b, "VmHWM")
		b.ReportMetric(peak, "MB-peak-asked")
		if peak > mostMB {
			b.Errorf("%.0f MB while it is asked, at most %d", peak, mostMB)
		}

		began := time.Now()
		timed("unban-all", unban(""))
		elements, err := s.table(b).Bans(b.Context())
		if err != nil || len(elements) != 0 {
			b.Errorf("%d bans are in the kernel, %v", len(elements), err)
		}
		b.ReportMetric(float64(time.Since(began).Milliseconds()), "packets-pass-ms")
		timed("unban-all-again", unban(""))
		time.Sleep(time.Second)
		b.ReportMetric(p.memory(b, "VmRSS"), "MB-after")

		p.kill(b)
		p = s.spawn(b)
		l := p.saidWithin(b, time.Minute, "amifend runs", "")
		if l.Text("adopted") != "0" || l.Text("restored") != "0" {
			b.Errorf("after a kill: %v", l)
		}
		p.kill(b)
	}
}

// forgetPeak has the kernel forget how much memory a process had at most.
func (p *process) forgetPeak(b *testing.B) {
	b.Helper()
	path := fmt.Sprintf("/proc/%d/clear_refs", p.Process.Pid)
	if err := os.WriteFile(path, []byte("5"), 0); err != nil {
		b.Fatal(err)
	}
}

// memory returns the resident memory of a process in megabytes: VmRSS now, VmHWM at most.
func (p *process) memory(b *testing.B, which string) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if kb, ok := strings.CutPrefix(line, which+":"); ok {
			n, err := strconv.Atoi(strings.Fields(kb)[0])
			if err != nil {
				b.Fatal(err)
			}
			return float64(n) / 1024
		}
	}
	b.Fatal("no " + which)
	return 0
}
