package daemon

import (
	"context"
	"log/slog"
	"net/netip"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/firewall/firewalltest"
)

// BenchmarkStart is a start with 100,000 bans until every part runs: a restart, where the kernel
// has them too, and a reboot, where only the journal has. After a reboot the enforcer fills the
// kernel while the rest runs already: until that is done is kernel-ms.
func BenchmarkStart(b *testing.B) {
	const bans = 100_000
	s := newBenchSite(b)
	fillJournal(b, s.config.State.Directory, bans)

	start := func(b *testing.B, filled bool) {
		up := make(chan struct{})
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan error, 1)
		c := s.config
		said := &logtest.Book{}

		// What is debugged, nobody could read so fast.
		log := slog.New(slog.NewJSONHandler(said, nil))
		go func() {
			done <- Run(ctx, Options{
				Config: &c, Log: log, NetNS: s.FD(), Ready: func() { close(up) },
			})
		}()

		began := time.Now()
		cpu := cpuTime(b)
		select {
		case <-up:
		case err := <-done:
			b.Fatal(err)
		}

		b.ReportMetric(float64(time.Since(began).Milliseconds()), "ready-ms")

		// Whatever else the machine does.
		b.ReportMetric(float64((cpuTime(b) - cpu).Milliseconds()), "ready-cpu-ms")
		if filled {
			for n := ""; n != strconv.Itoa(bans); { // a dump would keep the kernel busy
				b.StopTimer()
				time.Sleep(10 * time.Millisecond)
				b.StartTimer()
				if l := said.Said("firewall restored", ""); len(l) == 1 {
					n = l[0].Text("bans")
				}
			}

			b.ReportMetric(float64(time.Since(began).Milliseconds()), "kernel-ms")
		}

		b.StopTimer()
		cancel()
		if err := <-done; err != nil {
			b.Fatal(err)
		}

		key := map[bool]string{true: "restored", false: "adopted"}[filled]
		if l := said.Said("amifend runs", ""); len(l) != 1 || l[0].Text(key) != strconv.Itoa(bans) {
			b.Fatalf("not all were there: %v", l)
		}

		b.StartTimer()
	}

	b.Run("reboot", func(b *testing.B) {
		for range b.N {
			b.StopTimer()
			s.NS = firewalltest.New(b)
			b.StartTimer()
			start(b, true)
		}
	})

	b.Run("restart", func(b *testing.B) {
		s.NS = firewalltest.New(b)
		start(b, true)
		b.ResetTimer()
		for range b.N {
			start(b, false)
		}
	})
}

// cpuTime returns how long this process has kept processors busy, the kernel's part included.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func newBenchSite(b *testing.B) *site {
	b.Helper()
	s := newSite(b, 0)
	s.config.Firewall.MaxBans = firewall.DefaultMaxBans
	s.config.State = config.State{
		Directory: b.TempDir(), Retain: 90 * 24 * time.Hour, MaxSize: 1 << 30,
	}
	return s
}

// fillJournal writes a journal with so many bans that run.
func fillJournal(b *testing.B, dir string, bans int) {
	b.Helper()
	j := journal.New(
		journal.Options{
			Directory: dir, MaxWaiting: 2 * bans,
			Log: slog.New(slog.DiscardHandler),
		},
	)

	now := time.Now()
	for i := range bans {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		j.Ban(journal.Ban{
			Key: journal.Key{
				Prefix: netip.PrefixFrom(addr, 32),
				Scope:  sip,
			}, Rule: "score", Score: 3.2, Attempts: 4, Strike: 1,
			Evidence: `office: InvalidAccountID "100" "101" "102" "103" (forgeable)`, From: now,
			Until: now.Add(20 * time.Hour),
		})
	}

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for first := true; first || j.Health().Waiting > 0; first = false {
		j.Run(ctx) // writes for some seconds before it ends
	}
}
