package judge

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
	"github.com/amifend/amifend/policy"
)

// How events are counted for the journal.
const (
	hourlyEvery = int64(time.Minute)
	// Sources, and as many accounts, in that time; the others are counted together.
	hourlyNames = 8192
)

// hourly counts failures and logins by source and by account. The journal adds them up by the hour.
// It allocates nothing for a name that is known.
type hourly struct {
	recorder bans.Recorder
	weights  policy.Weights
	until    int64 // when it hands over what it has
	sums     *sums
	hottest  hottest
	attempts atomic.Uint64 // failures since the start; read by anybody
}

// sums holds the counts of one minute.
type sums struct {
	hour     time.Time
	servers  []string
	sources  map[sourceName]counts
	accounts map[accountName]counts
}

type sourceName struct {
	server uint16
	addr   netip.Addr // the zero Addr: all others
}

type accountName struct {
	server uint16
	others bool
	label  policy.Label
}

// counts are what was counted of a source or an account. The last two are of an account only.
type counts struct {
	failures, logins uint64
	networks         uint64
	ways             journal.Ways
}

func (c counts) add(more counts) counts {
	return counts{
		c.failures + more.failures, c.logins + more.logins,
		c.networks | more.networks, c.ways | more.ways,
	}
}

func newHourly(r bans.Recorder, weights policy.Weights) *hourly {
	h := &hourly{recorder: r, weights: weights}
	h.begin()
	return h
}

func (h *hourly) begin() {
	h.sums = &sums{sources: make(map[sourceName]counts), accounts: make(map[accountName]counts)}
}

// count counts s if it is a failed attempt, or a login that is not amifend's own.
func (h *hourly) count(s *stream.Sighting) {
	var c counts
	switch {
	case h.weights[s.Kind] != 0 || s.Injected:
		c.failures = 1
		h.attempts.Add(1)
	case s.Kind == policy.KindSuccessfulAuth && !s.Own:
		c.logins = 1
	default: // events that say nothing about an attempt are not counted
		return
	}

	// Memory is bounded whatever comes in: names beyond the limit are counted together.
	src := sourceName{s.Server, s.Source.Addr()}
	if _, ok := h.sums.sources[src]; !ok && len(h.sums.sources) >= hourlyNames {
		src.addr = netip.Addr{}
	}
	h.sums.sources[src] = h.sums.sources[src].add(c)

	// How phones log in matters for their accounts, see [journal.Logins].
	c.ways, c.networks = wayOf(s)
	acc := accountName{server: s.Server, label: s.Account}
	if _, ok := h.sums.accounts[acc]; !ok && len(h.sums.accounts) >= hourlyNames {
		acc = accountName{server: s.Server, others: true}
	}
	h.sums.accounts[acc] = h.sums.accounts[acc].add(c)
}

// wayOf returns how a phone logged in, and the bit of its network; 0 if nobody did. Only logins that
// the policy believes count, see [policy.Chooser].
func wayOf(s *stream.Sighting) (w journal.Ways, network uint64) {
	switch s.Service {
	case policy.ServiceSIP:
		w = journal.ChanSIP
	case policy.ServicePJSIP:
	default:
		return 0, 0
	}

	believed := s.Kind == policy.KindSuccessfulAuth && !s.Unknown && !s.Injected &&
		(s.Password || s.Chooser().Proven())
	if !believed {
		return w, 0
	}
	switch s.Transport {
	case ami.TransportUDP:
		w |= journal.ByUDP
	case ami.TransportTCP, ami.TransportWS:
		w |= journal.ByTCP
	case ami.TransportTLS, ami.TransportWSS:
		w |= journal.ByTLS
	default:
		return w, 0
	}
	return w, journal.NetworkBit(s.Source.Addr())
}

// flush hands over what was counted, once a minute.
func (h *hourly) flush(now int64, servers []string) {
	if now >= h.until {
		h.handOver(now, servers)
	}
}

// handOver hands over what was counted until now.
func (h *hourly) handOver(now int64, servers []string) {
	h.until = now + hourlyEvery

	if len(h.sums.sources) == 0 {
		return
	}
	h.hottest.add(h.sums, now)

	// The journal's goroutine gets these sums, so counting goes on with new ones.
	if h.recorder.Writes() {
		h.sums.hour = h.recorder.WallTime(now).UTC().Truncate(time.Hour)
		h.sums.servers = servers
		h.recorder.Count(h.sums.totals)
	}
	h.begin()
}

// totals returns what was counted as the journal has it. The journal's goroutine calls it, when
// nobody else has s any more.
func (s *sums) totals() []journal.Total {
	out := make([]journal.Total, 0, len(s.sources)+len(s.accounts))

	// The zero Addr stands for the sources that had no room.
	for k, c := range s.sources {
		name := journal.Others
		if k.addr.IsValid() {
			name = k.addr.String()
		}
		out = append(out, journal.Total{
			Hour: s.hour, Server: s.servers[k.server], Name: name, Failures: c.failures,
			Logins: c.logins,
		})
	}

	// An account's name is the attacker's text, so it is quoted.
	for k, c := range s.accounts {
		name := journal.Others
		if !k.others {
			name = ami.Quote(k.label.Bytes())
		}
		out = append(out, journal.Total{
			Hour: s.hour, Server: s.servers[k.server], Name: name, Account: true,
			Failures: c.failures, Logins: c.logins, Ways: c.ways, Networks: c.networks,
		})
	}

	return out
}

// HandOverCounts hands to the journal what was counted until now.
func (j *Judge) HandOverCounts(ctx context.Context) error {
	_, err := owner.Do(ctx, j.calls, func() struct{} {
		j.hourly.handOver(j.clock.Now(), j.servers)
		return struct{}{}
	})
	return err
}
