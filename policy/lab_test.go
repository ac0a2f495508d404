package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"pgregory.net/rapid"
)

const start = int64(1_795_403_000_000_000_000)

const (
	attacker = "203.0.113.5"
	phone    = "10.20.0.107" // registers as 1007
	office   = "198.51.100.44"
	unknown  = "<unknown>"
)

var hasher = NewHasher(FixedSeed)

// lab feeds an engine with events as a PBX would raise them, and keeps the verdicts.
type lab struct {
	t    rapid.TB
	e    *Engine
	now  int64
	got  []Verdict
	over []Verdict // conditions that ended, or gave way to a worse one
}

func newLab(t rapid.TB, change ...func(*Options)) *lab {
	t.Helper()
	o := fixedOptions()
	for _, f := range change {
		f(&o)
	}
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return &lab{t: t, e: e, now: start}
}

// fixedOptions returns the defaults with the seed of hasher.
func fixedOptions() Options {
	o := DefaultOptions()
	o.Seed = FixedSeed
	return o
}

// off switches rules off.
func off(rules ...Rule) func(*Options) {
	return func(o *Options) {
		for _, r := range rules {
			s, ok := o.Off.With(r)
			if !ok {
				panic("no rule to switch: " + r.String())
			}
			o.Off = s
		}
	}
}

// event is an observation in short; source has port 5060 unless another is written.
func event(kind Kind, service Service, source, account, session string) Observation {
	ap, err := netip.ParseAddrPort(source)
	if err != nil {
		ap = netip.AddrPortFrom(netip.MustParseAddr(source), 5060)
	}
	return Observation{
		Source: ap, Kind: kind, Service: service, Stream: service == ServiceAMI, Unknown: account == unknown,
		Session: hasher.Session([]byte(session)), Account: hasher.Label([]byte(account)),
	}
}

func overStream(o Observation) Observation { o.Stream = true; return o }

// wrong is a wrong password of a known account, over UDP.
func wrong(source, account string) Observation {
	return event(KindChallengeResponseFailed, ServicePJSIP, source, account, "w")
}

// success is a registration with a password, over UDP.
func success(source, account string) Observation {
	o := event(KindSuccessfulAuth, ServicePJSIP, source, account, "reg")
	o.Password = true
	return o
}

func registered(source string) Observation { return success(source, "1007") }

// forged is one packet that anybody could have sent in a source's name: an unknown account, over
// UDP.
func forged(source string) Observation {
	return event(KindInvalidAccountID, ServicePJSIP, source, "spoof", "forged")
}

// guesses is n requests for n unknown accounts, over UDP.
func guesses(n int, source string) []Observation {
	out := make([]Observation, n)
	for i := range out {
		out[i] = event(
			KindInvalidAccountID,
			ServicePJSIP,
			source,
			fmt.Sprint("guess", i),
			fmt.Sprint(i),
		)
	}
	return out
}

// repeat is n requests with the same content.
func repeat(n int, o Observation) []Observation {
	out := make([]Observation, n)
	for i := range out {
		out[i] = o
		out[i].Session += uint64(i)
	}
	return out
}

// all changes each observation.
func all(os []Observation, change func(Observation) Observation) []Observation {
	out := make([]Observation, len(os))
	for i := range os {
		out[i] = change(os[i])
	}
	return out
}

// feed observes a millisecond apart.
func (l *lab) feed(os ...Observation) { l.every(time.Millisecond, os...) }

// every observes at intervals.
func (l *lab) every(gap time.Duration, os ...Observation) {
	for _, o := range os {
		l.now += int64(gap)
		o.At = l.now
		l.take(l.e.Observe(o))
	}
}

func (l *lab) wait(d time.Duration) {
	l.now += int64(d)
	l.take(l.e.Advance(l.now))
}

func (l *lab) take(vs []Verdict) {
	for _, v := range vs {
		v.Evidence = append([]Evidence(nil), v.Evidence...)
		if v.Phase == PhaseEnd || v.Phase == PhaseYield {
			l.over = append(l.over, v)
			continue
		}
		l.got = append(l.got, v)
	}
}

// drop forgets the verdicts so far.
func (l *lab) drop() { l.got = nil }

// scan makes attempts over a stream until a verdict comes, at most ten.
func (l *lab) scan(source string) {
	n := len(l.got)
	for i := 0; len(l.got) == n && i < 10; i++ {
		l.feed(event(KindInvalidAccountID, ServiceAMI, source, "a", fmt.Sprint(i)))
	}
}

// attemptsUntil feeds the attempts of next, a gap apart, until a ban covers the source of the
// first, and returns how many it took: 0 if most of them did not suffice.
func (l *lab) attemptsUntil(most int, gap time.Duration, next func(i int) Observation) int {
	for i := range most {
		o := next(i)
		l.every(gap, o)
		if _, ok := l.e.Ban(o.Source.Addr()); ok {
			return i + 1
		}
	}
	return 0
}

// banned returns the only verdict so far, which must be a ban. The alert that names the users of a
// proved source comes with its ban.
func (l *lab) banned() Verdict {
	l.t.Helper()
	named := len(l.got) == 2 && l.got[0].Scope == ScopeStream && l.got[1].Scope == ScopeStream &&
		l.got[1].Rule == RuleProvedGuessing && l.got[1].Prefix == l.got[0].Prefix
	if len(l.got) != 1 && !named || l.got[0].Action != ActionBan {
		l.t.Fatalf("verdicts: got %v, want one ban", l.told())
	}
	return l.got[0]
}

// alerted returns the only verdict so far, which must be an alert of that kind.
func (l *lab) alerted(kind Rule) Verdict {
	l.t.Helper()
	if len(l.got) != 1 || l.got[0].Action != ActionAlert || l.got[0].Rule != kind {
		l.t.Fatalf("verdicts: got %v, want one alert %s", l.told(), kind)
	}
	return l.got[0]
}

func (l *lab) quiet() {
	l.t.Helper()
	if len(l.got) != 0 {
		l.t.Fatalf("verdicts: got %v, want none", l.told())
	}
}

// noBan wants no verdict but alerts.
func (l *lab) noBan() {
	l.t.Helper()
	for _, v := range l.got {
		if v.Action != ActionAlert {
			l.t.Fatalf("got %s, want no ban; all: %v", brief(v), l.told())
		}
	}
}

// wants compares all verdicts: action, prefix, scope and rule of each.
func (l *lab) wants(want ...string) {
	l.t.Helper()
	var got []string
	for _, v := range l.got {
		got = append(got, fmt.Sprintf("%v %v %v %v", v.Action, v.Prefix, v.Scope, v.Rule))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		l.t.Errorf("verdicts:\n got %q\nwant %q", got, want)
	}
}

// count returns how many of the verdicts are of that action and rule.
func (l *lab) count(action Action, rule Rule) int {
	n := 0
	for _, v := range l.got {
		if v.Action == action && v.Rule == rule {
			n++
		}
	}
	return n
}

// brief is what matters of a verdict.
func brief(v Verdict) string {
	s := fmt.Sprintf(
		"%v %v %v %v %v score %v attempts %d strike %d evidence %d",
		v.Action,
		v.Prefix,
		v.Scope,
		v.Duration,
		v.Rule,
		v.Score,
		v.Attempts,
		v.Strike,
		len(v.Evidence),
	)
	if a := v.Account.Bytes(); len(a) > 0 {
		s += fmt.Sprintf(" account %q", a)
	}
	return s
}

// told is what matters of the verdicts, twenty at most.
func (l *lab) told() []string {
	out := []string{}
	for _, v := range l.got[:min(len(l.got), 20)] {
		out = append(out, brief(v))
	}
	return out
}

// source returns what is remembered of a source.
func (l *lab) source(addr string) source {
	l.t.Helper()
	r := l.e.sources.Get(hostKey(netip.MustParseAddr(addr)).host())
	if r == 0 {
		l.t.Fatalf("%s is not remembered", addr)
	}
	return *l.e.sources.Val(r)
}

// proved reports whether a source is proved.
func (l *lab) proved(addr string) bool { return l.e.Explain(hostAddr(addr)).Proved }

func hostAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

func addrPort(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }

func (l *lab) isBanned(addr string) bool {
	_, ok := l.e.Ban(netip.MustParseAddr(addr))
	return ok
}
