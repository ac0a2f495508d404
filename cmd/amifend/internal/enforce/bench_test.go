package enforce

import (
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce/enforcetest"
)

// BenchmarkOrders measures a batch of orders without the kernel's part. It must not depend on how
// many bans there are already.
func BenchmarkOrders(b *testing.B) {
	for _, held := range []int{0, 100_000} {
		b.Run(fmt.Sprintf("held=%d", held), func(b *testing.B) {
			e := New(Options{
				Table: Dry{}, Clock: clock.New(), Log: slog.New(slog.DiscardHandler),
				Mail: bans.NewMail(),
			})
			ban := func(i int) bans.Ban {
				addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
				return enforcetest.Ban(e.clock, netip.PrefixFrom(addr, 32).String(), sip, time.Hour)
			}
			for i := range held {
				b := ban(i)
				e.ledger.ban(&b)
			}

			for e.ledger.sending > 0 {
				e.work(b.Context())
			}

			orders := make([]bans.Ban, 1000)
			for i := range orders {
				orders[i] = ban(1<<20 + i)
			}

			b.ReportAllocs()
			for b.Loop() {
				for _, o := range orders {
					e.mail.Orders.Put(o.Prefix, bans.OrderOf(&o))
				}
				e.work(b.Context())
				e.mail.Acks.Take()
			}
		})
	}
}
