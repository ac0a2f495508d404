package journal

import (
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/amifend/amifend/firewall"
)

// fill tells of n bans that last an hour.
func fill(j *Journal, n int) {
	now := time.Now()
	for i := range n {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		j.Ban(Ban{
			Key: Key{netip.PrefixFrom(addr, 32), firewall.ScopeSIP}, Rule: "score", Score: 3.2,
			Attempts: 4, Strike: 1,
			Evidence: `office: InvalidAccountID "100" "101" "102" "103" (forgeable)`, From: now,
			Until: now.Add(time.Hour),
		})
	}
}

// BenchmarkStart is what a start needs of the journal: open it, and read 100,000 bans.
func BenchmarkStart(b *testing.B) {
	dir := b.TempDir()
	r := start(b, options(dir))
	fill(r.Journal, 100_000)
	r.stop()

	for b.Loop() {
		r := start(b, options(dir))
		if s := r.snapshot(b); len(s.Open) != 100_000 {
			b.Fatalf("%d bans", len(s.Open))
		}
		r.stop()
	}
}

// BenchmarkCommit is a commit of many bans, the disk included.
func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{1, 100, groupMost} {
		b.Run(time.Duration(n).String()[:len(time.Duration(n).String())-2], func(b *testing.B) {
			s, err := openStore(filepath.Join(b.TempDir(), File), Clock{}.OrReal())
			if err != nil {
				b.Fatal(err)
			}
			defer s.close()

			pages, next := 0, 0
			for b.Loop() {
				j := New(options(b.TempDir()))
				now := time.Now()
				for range n {
					next++
					h := uint32(next) * 2654435761 // addresses in no order, as attackers have them
					addr := netip.AddrFrom4([4]byte{
						byte(h >> 24), byte(h >> 16), byte(h >> 8),
						byte(h),
					})

					j.Ban(Ban{
						Key: Key{netip.PrefixFrom(addr, 32), firewall.ScopeSIP}, Rule: "score",
						Score: 3.2, Attempts: 4, Strike: 1,
						Evidence: `office: InvalidAccountID "100" "101" "102" "103" (forgeable)`,
						From:     now, Until: now.Add(time.Hour),
					})
				}

				j.collect()
				if _, err := s.commit(j.backlog.batch(n, false)); err != nil {
					b.Fatal(err)
				}

				pages += s.pages()
			}

			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(next), "µs/ban")
			b.ReportMetric(float64(pages)*4096/float64(next), "B/ban")
		})
	}
}

// BenchmarkBacklog is how long 240,000 bans of addresses in no order wait until all are on the disk,
// in seconds, and how much is written for each.
func BenchmarkBacklog(b *testing.B) {
	const many = 240_000
	for range b.N {
		o := options(b.TempDir())
		o.MaxWaiting = 2 * many
		r := start(b, o)
		if err := r.Sync(b.Context()); err != nil {
			b.Fatal(err)
		}

		now := time.Now()
		for i := range many {
			h := uint32(i) * 2654435761
			addr := netip.AddrFrom4([4]byte{byte(h >> 24), byte(h >> 16), byte(h >> 8), byte(h)})
			r.Ban(Ban{
				Key: Key{netip.PrefixFrom(addr, 32), firewall.ScopeSIP}, Rule: "score", Score: 3.2,
				Attempts: 4, Strike: 1,
				Evidence: `office: InvalidAccountID "100" "101" "102" "103" (forgeable)`, From: now,
				Until: now.Add(time.Hour),
			})
		}

		// The first look may come before the journal has taken them.
		for first := true; first || r.Health().Waiting > 0; first = false {
			time.Sleep(100 * time.Millisecond)
		}
		b.ReportMetric(time.Since(now).Seconds(), "s")
		r.stop()
	}
}
