package judge

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
)

// What is remembered of the last hour, for a live screen.
const (
	hottestSpan  = int64(time.Hour)
	hottestNames = 64 // sources, and as many accounts, of each minute
)

// Hottest has the sources and accounts that failed most in the last hour. It is made of the most
// failing ones of each minute, 64 of each: a name that was never among them is missing, and one
// that was among them at times has too small a count.
type Hottest struct {
	Sources  []Hot
	Accounts []Hot
	Over     bool // a trial is over, so nobody is banned
}

// Hot counts the events of a source or an account.
type Hot struct {
	Addr     netip.Addr // of a source
	Account  string     // as [ami.Quote] prints it
	Server   string     // of an account
	Servers  int        // how many servers reported the source
	Failures uint64
	Logins   uint64
	Lately   uint64 // failures of the last minute, or up to two
	Last     int64  // by the daemon's clock: the end of the last minute with a failure
}

// hottest remembers the last hour, a block for each minute.
type hottest struct {
	blocks []*hotBlock // the oldest first; a block does not change any more
}

// hotBlock has what failed most in a minute.
type hotBlock struct {
	began    int64 // by the daemon's clock
	until    int64
	sources  []hotSource
	accounts []hotAccount
}

type hotSource struct {
	sourceName
	counts
}

type hotAccount struct {
	accountName
	counts
}

// add remembers what was counted until now.
func (h *hottest) add(s *sums, now int64) {
	h.blocks = slices.DeleteFunc(h.blocks, func(b *hotBlock) bool {
		return b.until < now-hottestSpan
	})
	b := newHotBlock(s, now)

	// Reports have the counts handed over within a minute too. Such parts are put together, so that
	// the number of blocks is bounded however often somebody asks.
	if n := len(h.blocks); n > 0 && now-h.blocks[n-1].began < hourlyEvery {
		h.blocks[n-1] = h.blocks[n-1].join(b)
		return
	}
	h.blocks = append(h.blocks, b)
}

// newHotBlock returns what failed most of some sums.
func newHotBlock(s *sums, now int64) *hotBlock {
	b := &hotBlock{began: now, until: now}
	for k, c := range s.sources {
		if k.addr.IsValid() && c.failures > 0 {
			b.sources = keepHot(b.sources, hotSource{k, c})
		}
	}
	for k, c := range s.accounts {
		if !k.others && c.failures > 0 {
			b.accounts = keepHot(b.accounts, hotAccount{k, c})
		}
	}
	return b
}

// failed returns how many attempts failed. All that counts has it by embedding.
func (c counts) failed() uint64 { return c.failures }

// keepHot inserts a value into a list of those that failed most, and cuts the list.
func keepHot[T interface{ failed() uint64 }](list []T, v T) []T {
	n := len(list)
	if n == hottestNames && v.failed() <= list[n-1].failed() {
		return list // almost all of them, in a flood
	}

	at, _ := slices.BinarySearchFunc(list, v.failed(), func(t T, failed uint64) int {
		return cmp.Compare(failed, t.failed())
	})
	if n == hottestNames {
		list = list[:n-1]
	}
	return slices.Insert(list, at, v)
}

// join returns a block with the counts of two.
func (b *hotBlock) join(more *hotBlock) *hotBlock {
	all := &sums{sources: make(map[sourceName]counts), accounts: make(map[accountName]counts)}
	for _, part := range []*hotBlock{b, more} {
		for _, s := range part.sources {
			all.sources[s.sourceName] = all.sources[s.sourceName].add(s.counts)
		}
		for _, a := range part.accounts {
			all.accounts[a.accountName] = all.accounts[a.accountName].add(a.counts)
		}
	}
	joined := newHotBlock(all, more.until)
	joined.began = b.began
	return joined
}

// Hottest returns who failed most in the last hour, at most some of each. The judge only looks at
// the minute that goes on; the rest is work of the caller's goroutine.
func (j *Judge) Hottest(ctx context.Context, most int) (Hottest, error) {
	type part struct {
		blocks  []*hotBlock
		servers []string
		now     int64
		over    bool
	}
	p, err := owner.Do(ctx, j.calls, func() part {
		now := j.clock.Now()
		return part{
			blocks:  append(slices.Clone(j.hourly.hottest.blocks), newHotBlock(j.hourly.sums, now)),
			servers: j.servers, now: now, over: j.trial.ends != 0 && j.trial.over(now),
		}
	})
	if err != nil {
		return Hottest{}, err
	}

	out := hottestOf(p.blocks, p.servers, p.now, most)
	out.Over = p.over
	return out, nil
}

// hottestOf adds blocks up.
func hottestOf(blocks []*hotBlock, servers []string, now int64, most int) (out Hottest) {
	sources := make(map[netip.Addr]*Hot)
	accounts := make(map[accountName]*Hot)
	reporters := make(map[sourceName]bool)
	for _, b := range blocks {
		if b.until < now-hottestSpan {
			continue
		}

		// A source may attack several servers, and an account is one of a server.
		for _, s := range b.sources {
			h := sources[s.addr]
			if h == nil {
				h = &Hot{Addr: s.addr}
				sources[s.addr] = h
			}
			h.count(s.counts, b.until, now)
			if !reporters[s.sourceName] {
				reporters[s.sourceName] = true
				h.Servers++
			}
		}
		for _, a := range b.accounts {
			h := accounts[a.accountName]
			if h == nil {
				h = &Hot{Account: ami.Quote(a.label.Bytes()), Server: servers[a.server], Servers: 1}
				accounts[a.accountName] = h
			}
			h.count(a.counts, b.until, now)
		}
	}

	for _, h := range sources {
		out.Sources = append(out.Sources, *h)
	}
	for _, h := range accounts {
		out.Accounts = append(out.Accounts, *h)
	}
	out.Sources, out.Accounts = hotFirst(out.Sources, most), hotFirst(out.Accounts, most)
	return out
}

// count adds the counts of a block that ended at until.
func (h *Hot) count(c counts, until, now int64) {
	h.Failures += c.failures
	h.Logins += c.logins
	h.Last = max(h.Last, until)
	if now-until < hourlyEvery {
		h.Lately += c.failures
	}
}

// hotFirst puts those first that failed most, and cuts the list.
func hotFirst(list []Hot, most int) []Hot {
	slices.SortFunc(list, func(a, b Hot) int {
		return cmp.Or(cmp.Compare(b.Failures, a.Failures), a.Addr.Compare(b.Addr),
			cmp.Compare(a.Account, b.Account), cmp.Compare(a.Server, b.Server))
	})
	return list[:min(len(list), most)]
}
