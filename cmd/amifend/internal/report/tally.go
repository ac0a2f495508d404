package report

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/recording"
	"github.com/amifend/amifend/cmd/amifend/internal/replay"
	"github.com/amifend/amifend/policy"
)

const (
	// maxAccounts is the largest number of accounts that are kept for a source, and maxNames that
	// for all sources together.
	maxAccounts = 100
	maxNames    = 1 << 19

	// maxSources is the largest number of sources that are kept. If there are more, those with the
	// fewest attempts are only counted.
	maxSources = 1 << 17
)

// source holds the attempts and bans of one source.
type source struct {
	addr        netip.Addr
	attempts    int
	first, last int64
	accounts    []policy.Label // the first maxAccounts
	more        bool           // there are more
	kinds       [policy.KindCount]int
	ban         policy.Ban
	bans        int
	protected   string // why it is never banned
	loggedIn    bool
	sip         bool // it made SIP requests
}

// result is the content of a report.
type result struct {
	sources  []*source // most attempts first
	others   int       // sources that were left out because there were too many
	attempts int       // of all
}

// tally counts attempts by source.
type tally struct {
	judge    *replay.Player // decides as the daemon
	requests requests
	weights  policy.Weights
	unknown  float64 // the weight of a ChallengeResponseFailed on `<unknown>`
	ami      bool    // failures at the Manager Interface count

	sources  map[netip.Addr]*source
	names    int                           // accounts of all sources
	proved   map[netip.Addr]struct{}       // sources that logged in at some time
	prefixes map[netip.Prefix][]policy.Ban // bans of prefixes
	lengths  [129]bool                     // which lengths the keys of prefixes have
	result   result
	last     int64
}

func newTally(c *config.Config) (*tally, error) {
	t := &tally{
		weights: c.Policy.Weights, unknown: c.Policy.UnknownWeight,
		ami:     !c.Policy.Off.Has(policy.RuleAMIGuessing),
		sources: make(map[netip.Addr]*source), proved: make(map[netip.Addr]struct{}),
		prefixes: make(map[netip.Prefix][]policy.Ban),
	}

	t.requests = newRequests(t.attempt)
	var err error
	t.judge, err = replay.NewPlayer(c, t.decision)
	return t, err
}

// decision notes a ban. A ban of a single source is noted at once. A ban of a prefix is kept until
// the end, because it may cover many sources.
func (t *tally) decision(v policy.Verdict) {
	if v.Action != policy.ActionBan {
		return
	}
	ban := policy.Ban{
		Prefix: v.Prefix, Scope: v.Scope, From: v.At, Until: v.At + int64(v.Duration),
		Rule: v.Rule,
	}

	// A source without attempts has no line in the report.
	if v.Prefix.IsSingleIP() {
		if s := t.sources[v.Prefix.Addr()]; s != nil {
			s.note(&ban)
		}
		return
	}

	// The number of prefixes is bounded like that of sources.
	if prefix := v.Prefix.Masked(); len(t.prefixes) < maxSources {
		t.prefixes[prefix] = append(t.prefixes[prefix], ban)
		t.lengths[prefix.Bits()] = true
	}
}

// note notes a ban that covers a source.
func (s *source) note(ban *policy.Ban) {
	s.bans++
	if s.bans == 1 || ban.Scope > s.ban.Scope {
		s.ban = *ban
	}
}

// play counts and judges one event.
func (t *tally) play(ev *recording.Event) {
	t.last = ev.At

	// A proof is noted even if the source has not failed yet, because a failure may follow.
	if ev.Kind == policy.KindSuccessfulAuth && !ev.Injected && (ev.Password || ev.Stream) &&
		len(t.proved) < maxSources {
		t.proved[ev.Source.Addr()] = struct{}{}
	}

	// Attempts behind a ban count too, so the event is counted before it is judged.
	if t.evidence(ev) {
		t.requests.take(ev)
	}
	ban, leftOut := t.judge.Play(ev)
	if !leftOut {
		return
	}

	// If the source has no ban of its own, a neighbour caused the ban of their prefix.
	if s := t.sources[ev.Source.Addr()]; s != nil && s.bans == 0 && s.ban.Rule == policy.RuleNone {
		s.ban = ban
	}
}

// evidence reports whether an event may be an attempt, or a part of one.
func (t *tally) evidence(ev *recording.Event) bool {
	switch {
	case ev.Service == policy.ServiceAMI && !t.ami:
		return false
	case ev.Injected:
		return t.weights[policy.KindInjection] > 0
	case ev.Kind == policy.KindSuccessfulAuth:
		// The engine believes a success only with a password or over a connection.
		return ev.Service == policy.ServicePJSIP && (ev.Password || ev.Stream)
	case ev.Kind == policy.KindChallengeSent:
		return ev.Unknown && ev.Service == policy.ServicePJSIP
	case ev.Kind == policy.KindChallengeResponseFailed && ev.Unknown:
		return t.unknown > 0
	}

	return t.weights[ev.Kind] > 0
}

// attempt adds an attempt to its source.
func (t *tally) attempt(addr netip.Addr, a failure) {
	t.result.attempts++
	s := t.sources[addr]
	if s == nil {
		if len(t.sources) >= maxSources {
			// Half of the sources go at once, so that sorting is rare.
			t.shrink()
		}
		s = &source{addr: addr, first: a.at, last: a.at}
		t.sources[addr] = s
		if reason, ok := t.judge.Protected(addr); ok {
			s.protected = reason
		}
	}

	s.attempts++
	s.first = min(s.first, a.at)
	s.last = max(s.last, a.at)
	s.kinds[a.kind]++
	s.sip = s.sip || !a.ami

	// A guesser tries thousands of accounts: the first hundred are enough to see what it does.
	switch {
	case slices.Contains(s.accounts, a.account):
	case len(s.accounts) < maxAccounts && (len(s.accounts) == 0 || t.names < maxNames):
		s.accounts = append(s.accounts, a.account)
		t.names++
	default:
		s.more = true
	}
}

// shrink leaves out the half of the sources with the fewest attempts. Among equals the older ones
// go.
func (t *tally) shrink() {
	all := make([]*source, 0, len(t.sources))
	for _, s := range t.sources {
		all = append(all, s)
	}

	// The address decides a tie, so that two runs leave out the same ones.
	slices.SortFunc(all, func(a, b *source) int {
		return cmp.Or(cmp.Compare(a.attempts, b.attempts), cmp.Compare(a.last, b.last),
			a.addr.Compare(b.addr))
	})

	for _, s := range all[:len(all)/2] {
		t.names -= len(s.accounts)
		delete(t.sources, s.addr)
		t.result.others++
	}
}

// finish ends the count and returns the result.
func (t *tally) finish() result {
	// What is still held counts, then the engine decides on the last events.
	t.requests.finish()
	t.judge.Finish(t.last)
	out := make([]*source, 0, len(t.sources))

	for addr, s := range t.sources {
		_, s.loggedIn = t.proved[addr]
		t.cover(s)
		out = append(out, s)
	}

	slices.SortFunc(out, func(a, b *source) int {
		return cmp.Or(cmp.Compare(b.attempts, a.attempts), a.addr.Compare(b.addr))
	})
	t.result.sources = out
	return t.result
}

// cover notes the bans of prefixes that cover a source and came after its first attempt.
func (t *tally) cover(s *source) {
	for bits, is := range t.lengths {
		if !is || bits > s.addr.BitLen() {
			continue
		}

		// One look-up for each length in use is faster than a search through all bans.
		prefix, err := s.addr.Prefix(bits)
		if err != nil {
			continue
		}

		for i := range t.prefixes[prefix] {
			// A ban that began before the source's first attempt was caused by another source.
			if ban := &t.prefixes[prefix][i]; ban.From >= s.first {
				s.note(ban)
			}
		}
	}

	// play has noted a ban of the prefix that began before the source's first attempt.
	if s.bans == 0 && s.ban.Rule != policy.RuleNone {
		s.bans = 1
	}
}
