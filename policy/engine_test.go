package policy

import (
	"net/netip"
	"testing"
	"time"
)

const start = int64(1_795_403_000_000_000_000)

var hasher = NewHasher(0)

// lab feeds an engine with events as a PBX would raise them, and keeps the verdicts.
type lab struct {
	t   testing.TB
	e   *Engine
	now int64
	got []Verdict
}

func newLab(t testing.TB, change ...func(*Options)) *lab {
	t.Helper()
	o := DefaultOptions()
	for _, f := range change {
		f(&o)
	}
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return &lab{t: t, e: e, now: start}
}

// event is an observation in short; source has no port unless it is written.
func event(kind Kind, service Service, source, account, session string) Observation {
	ap, err := netip.ParseAddrPort(source)
	if err != nil {
		ap = netip.AddrPortFrom(netip.MustParseAddr(source), 5060)
	}
	return Observation{
		Source: ap, Kind: kind, Service: service, Stream: service == ServiceAMI, Unknown: account == "<unknown>",
		Session: hasher.Session([]byte(session)), Account: hasher.Label([]byte(account)),
	}
}

func overStream(o Observation) Observation { o.Stream = true; return o }

// feed observes a millisecond apart.
func (l *lab) feed(os ...Observation) {
	for _, o := range os {
		l.now += int64(time.Millisecond)
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
		l.got = append(l.got, v)
	}
}

// banned returns the only verdict so far, which must be a ban.
func (l *lab) banned() Verdict {
	l.t.Helper()
	if len(l.got) != 1 || l.got[0].Action != ActionBan {
		l.t.Fatalf("verdicts: got %+v, want one ban", l.got)
	}
	return l.got[0]
}

func (l *lab) quiet() {
	l.t.Helper()
	if len(l.got) != 0 {
		l.t.Fatalf("verdicts: got %+v, want none", l.got)
	}
}

func TestScannerIsBannedAtItsFourthAttempt(t *testing.T) {
	l := newLab(t)
	for i := range 4 {
		l.quiet()
		call := string(rune('a' + i))
		l.feed(event(KindInvalidAccountID, ServicePJSIP, "203.0.113.5", call, call))
		if i < 3 {
			l.feed(event(KindChallengeSent, ServicePJSIP, "203.0.113.5", "<unknown>", call))
		}
	}
	v := l.banned()
	if v.Attempts != 4 || v.Scope != ScopeSIP || v.Prefix != netip.MustParsePrefix("203.0.113.5/32") ||
		v.Rule != RuleScore || v.Duration != time.Hour || v.Strike != 1 || len(v.Evidence) != 4 {
		t.Errorf("got %+v", v)
	}
}
