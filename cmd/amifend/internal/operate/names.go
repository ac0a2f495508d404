package operate

import (
	"context"
	"net/netip"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// How long an answer waits for DNS: less for a table, which has other columns to show.
const (
	namesTime   = 500 * time.Millisecond
	explainTime = 2 * time.Second
)

// originOf returns the names of an address. It waits for DNS for at most a time.
func (s *Service) originOf(
	ctx context.Context, addr netip.Addr, wait time.Duration,
) *control.Origin {
	if s.Atlas == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	s.Atlas.Await(ctx, []netip.Addr{addr})
	return s.Atlas.Of(addr)
}

// nameBans adds names to bans. It costs a lookup of each ban in the files.
func (s *Service) nameBans(ctx context.Context, list []control.Ban) {
	if s.Atlas == nil {
		return
	}

	ctx, cancel := context.WithTimeout(ctx, namesTime)
	defer cancel()
	var hosts []netip.Addr
	for _, b := range list {
		if b.Prefix.IsSingleIP() {
			hosts = append(hosts, b.Prefix.Addr())
		}
	}
	s.Atlas.Await(ctx, hosts)
	for i := range list {
		list[i].Origin = s.Atlas.OfPrefix(list[i].Prefix)
	}
}

// nameSums adds names to sources.
func (s *Service) nameSums(ctx context.Context, sources []control.Sum) {
	if s.Atlas == nil {
		return
	}

	ctx, cancel := context.WithTimeout(ctx, namesTime)
	defer cancel()
	addrs := make([]netip.Addr, 0, len(sources))
	for i := range sources {
		if a, err := netip.ParseAddr(sources[i].Name); err == nil { // else all others
			addrs = append(addrs, a)
		}
	}
	s.Atlas.Await(ctx, addrs)
	for i := range sources {
		if a, err := netip.ParseAddr(sources[i].Name); err == nil {
			sources[i].Origin = s.Atlas.Of(a)
		}
	}
}

// geoWarnings returns which files of [geo] cannot be used.
func (s *Service) geoWarnings() (out []control.Warning) {
	if s.Atlas == nil {
		return nil
	}
	for _, p := range s.Atlas.Problems() {
		out = append(out, control.Warning{
			About: "geo", What: "names of addresses are missing, or old: " + bans.Printable(p.Path) +
				": " + bans.Printable(p.Text),
			Do: "fetch the file anew, readable for amifend; amifend looks again every minute",
		})
	}
	return out
}
