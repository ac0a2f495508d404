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
	// maxAccounts is how many accounts of a source are told apart, and maxNames how many of all
	// sources together.
	maxAccounts = 100
	maxNames    = 1 << 19

	// maxSources is how many sources are told apart. When there are more, those with the fewest
	// attempts are left out, and only counted.
	maxSources = 1 << 17
)

// source is what is known of one source.
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

// result is what a report writes.
type result struct {
	sources  []*source // most attempts first
	others   int       // sources that were left out for want of room
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
	proved   map[netip.Addr]struct{}       // logged in at some time
	prefixes map[netip.Prefix][]policy.Ban // bans of prefixes
	lengths  [129]bool                     // the lengths of prefixes, of IPv4 and of IPv6
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

// decision notes a ban: of a single source at once, of a prefix for the end, since it may cover
// many.
func (t *tally) decision(v policy.Verdict) {
	if v.Action != policy.ActionBan {
		return
	}
	ban := policy.Ban{
		Prefix: v.Prefix, Scope: v.Scope, From: v.At, Until: v.At + int64(v.Duration),
		Rule: v.Rule,
	}
	if v.Prefix.IsSingleIP() {
		if s := t.sources[v.Prefix.Addr()]; s != nil {
			s.note(&ban)
		}
		return
	}
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

// play takes one event.
func (t *tally) play(ev *recording.Event) {
	t.last = ev.At
	if ev.Kind == policy.KindSuccessfulAuth && !ev.Injected && (ev.Password || ev.Stream) &&
		len(t.proved) < maxSources {
		t.proved[ev.Source.Addr()] = struct{}{}
	}
	if t.evidence(ev) {
		t.requests.take(ev)
	}
	ban, leftOut := t.judge.Play(ev)
	if !leftOut {
		return
	}
	// What left it out without a ban of its own is the ban of its prefix, which a neighbour caused.
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
			t.shrink()
		}
		s = &source{addr: addr, first: a.at, last: a.at}
		t.sources[addr] = s
		if reason, ok := t.judge.Protected(addr); ok {
			s.protected = reason
		}
	}
	s.attempts++
	s.first, s.last = min(s.first, a.at), max(s.last, a.at)
	s.kinds[a.kind]++
	s.sip = s.sip || !a.ami

	switch {
	case slices.Contains(s.accounts, a.account):
	case len(s.accounts) < maxAccounts && (len(s.accounts) == 0 || t.names < maxNames):
		s.accounts = append(s.accounts, a.account)
		t.names++
	default:
		s.more = true
	}
}

// shrink leaves out the half of the sources that has the fewest attempts, of as many the older
// ones.
func (t *tally) shrink() {
	all := make([]*source, 0, len(t.sources))
	for _, s := range t.sources {
		all = append(all, s)
	}
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

// finish returns what was counted.
func (t *tally) finish() result {
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

// cover notes the bans of prefixes that cover a source and came when it was known.
func (t *tally) cover(s *source) {
	for bits, is := range t.lengths {
		if !is || bits > s.addr.BitLen() {
			continue
		}
		prefix, err := s.addr.Prefix(bits)
		if err != nil {
			continue
		}
		for i := range t.prefixes[prefix] {
			if ban := &t.prefixes[prefix][i]; ban.From >= s.first {
				s.note(ban)
			}
		}
	}
	if s.bans == 0 && s.ban.Rule != policy.RuleNone {
		s.bans = 1
	}
}
