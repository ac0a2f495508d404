package app

import (
	"net/netip"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/policy"
)

// How the tally counts.
const (
	tallyEvery = int64(time.Minute)
	tallyNames = 8192 // sources, and as many accounts, in that time; what is beyond is counted together
)

// tally counts events by source and by account for the journal. The judge owns it; counting allocates nothing once a name
// is known.
type tally struct {
	records records
	servers []string
	weights policy.Weights
	until   int64 // when it hands on what it has
	sums    *sums
}

// sums is what was counted in a minute.
type sums struct {
	hour     time.Time
	servers  []string
	sources  map[sourceName]events
	accounts map[accountName]events
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

type events struct{ failures, logins uint64 }

func (e events) add(more events) events {
	return events{e.failures + more.failures, e.logins + more.logins}
}

func newTally(r records, servers []string, weights policy.Weights) *tally {
	t := &tally{records: r, servers: servers, weights: weights}
	t.begin()
	return t
}

func (t *tally) begin() {
	t.sums = &sums{servers: t.servers, sources: make(map[sourceName]events), accounts: make(map[accountName]events)}
}

// count counts s if it is a failed attempt or a login of somebody else.
func (t *tally) count(s *sighting) {
	var e events
	switch {
	case t.weights[s.Kind] != 0 || s.Injected:
		e.failures = 1
	case s.Kind == policy.KindSuccessfulAuth && !s.own:
		e.logins = 1
	default:
		return
	}
	src := sourceName{s.Server, s.Source.Addr()}
	if _, ok := t.sums.sources[src]; !ok && len(t.sums.sources) >= tallyNames {
		src.addr = netip.Addr{}
	}
	t.sums.sources[src] = t.sums.sources[src].add(e)
	acc := accountName{server: s.Server, label: s.Account}
	if _, ok := t.sums.accounts[acc]; !ok && len(t.sums.accounts) >= tallyNames {
		acc = accountName{server: s.Server, others: true}
	}
	t.sums.accounts[acc] = t.sums.accounts[acc].add(e)
}

// flush hands on what was counted, once a minute.
func (t *tally) flush(now int64) {
	if now < t.until {
		return
	}
	t.handOn(now)
}

// handOn hands on what was counted until now.
func (t *tally) handOn(now int64) {
	t.until = now + tallyEvery
	if len(t.sums.sources) == 0 || t.records.journal == nil {
		return
	}
	t.sums.hour = t.records.clock.wallTime(now).UTC().Truncate(time.Hour)
	t.records.count(t.sums.totals)
	t.begin()
}

// totals is what was counted as the journal has it. Another goroutine calls it.
func (s *sums) totals() []journal.Total {
	out := make([]journal.Total, 0, len(s.sources)+len(s.accounts))
	for k, e := range s.sources {
		name := journal.Others
		if k.addr.IsValid() {
			name = k.addr.String()
		}
		out = append(out, journal.Total{Hour: s.hour, Server: s.servers[k.server], Name: name, Failures: e.failures, Logins: e.logins})
	}
	for k, e := range s.accounts {
		name := journal.Others
		if !k.others {
			name = ami.Quote(k.label.Bytes())
		}
		out = append(out, journal.Total{Hour: s.hour, Server: s.servers[k.server], Name: name, Account: true, Failures: e.failures, Logins: e.logins})
	}
	return out
}
