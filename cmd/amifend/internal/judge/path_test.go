package judge

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce/enforcetest"
	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

const (
	all = firewall.ScopeAll
	sip = firewall.ScopeSIP
	tcp = firewall.ScopeStream
)

// path is the way of an event from the bytes of a stream to the verdict, without the goroutines
// between.
type path struct {
	*Judge
	decoder    *ami.Decoder
	translator *stream.Translator
	emit       func(ami.Event)
	respond    func([]byte)
	events     int
	in         chan stream.Sighting
}

// newJudge returns a judge that allows 198.51.100.0/24, and the channel that it reads from.
func newJudge(
	t testing.TB, log *slog.Logger, change ...func(*Options),
) (*Judge, chan stream.Sighting) {
	t.Helper()
	in := make(chan stream.Sighting, 8192)
	o := Options{
		Policy: policy.DefaultOptions(), Servers: []string{"pbx"},
		Ports: firewall.Ports{SIP: firewall.DefaultSIPPorts(), WS: firewall.DefaultWSPorts()},
		Protected: policy.NewProtected([]policy.ProtectedEntry{
			{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Reason: "allowlist"},
		}, nil),
		Events: in, Mail: bans.NewMail(), Clock: clock.New(), Log: log,
	}

	for _, f := range change {
		f(&o)
	}

	j, err := New(o)
	if err != nil {
		t.Fatal(err)
	}

	return j, in
}

func newPath(t testing.TB, log *slog.Logger, change ...func(*policy.Options)) *path {
	t.Helper()
	j, in := newJudge(t, log, func(o *Options) {
		for _, f := range change {
			f(&o.Policy)
		}
	})

	p := &path{
		Judge: j, in: in, decoder: ami.NewDecoder("amifend"),
		translator: stream.NewTranslator(0, j.Hasher(), j.clock),
	}
	p.emit = func(ev ami.Event) {
		if s, ok := p.translator.Sighting(ev); ok {
			p.observe(&s)
			p.events++
		}
	}

	p.respond = func([]byte) {}
	p.play([]byte("Asterisk Call Manager/11.0.0\r\n"))
	return p
}

func (p *path) play(text []byte) {
	for len(text) > 0 {
		b := p.decoder.Buffer()
		n := copy(b[:min(len(b), 16<<10)], text)
		p.decoder.Advance(n, p.emit, p.respond)
		text = text[n:]
	}
}

// attempt is a guess at an account over TCP.
func attempt(c clock.Clock, addr string, account policy.Label) stream.Sighting {
	now := c.Now()
	return stream.Sighting{
		Observation: policy.Observation{
			At: now, Source: netip.MustParseAddrPort(addr), LocalPort: 5060,
			Kind: policy.KindInvalidPassword, Service: policy.ServicePJSIP, Stream: true,
			Account: account,
		},
		Made: now,
	}
}

// court is a judge and an enforcer on a fake kernel.
type court struct {
	*Judge
	in       chan stream.Sighting
	enforcer *enforce.Enforcer
	kernel   *enforcetest.Kernel
	said     *logtest.Book
}

// newCourt returns one whose goroutines do not run.
func newCourt(t *testing.T, change ...func(*Options)) *court {
	said, log := logtest.New()
	c := &court{kernel: enforcetest.NewKernel(), said: said}
	var log2 *slog.Logger
	c.Judge, c.in = newJudge(t, log, append(change, func(o *Options) { log2 = o.Log })...)
	c.enforcer = enforce.New(enforce.Options{
		Table: c.kernel, Clock: c.clock, Log: log2, Mail: c.mail,
	})
	return c
}

// run runs both until the function that it returns is called.
func (c *court) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var judge, enforcer sync.WaitGroup
	judge.Go(c.Run)
	enforcer.Go(func() { c.enforcer.Run(ctx) })
	return func() {
		close(c.in)
		judge.Wait()
		cancel()
		enforcer.Wait()
	}
}

// inCourt runs a test with a judge and an enforcer that run. Time is synctest's.
func inCourt(t *testing.T, test func(t *testing.T, c *court), change ...func(*Options)) {
	synctest.Test(t, func(t *testing.T) {
		c := newCourt(t, change...)
		defer c.run()()
		synctest.Wait()
		test(t, c)
	})
}

// call has f called by the judge.
func (c *court) call(t *testing.T, f func()) {
	t.Helper()
	if _, err := owner.Do(t.Context(), c.calls, func() bool { f(); return true }); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

func (c *court) wantKernel(t *testing.T, elements ...string) {
	t.Helper()
	if got := c.kernel.Has(); !slices.Equal(got, elements) {
		t.Errorf("the kernel has %q, want %q", got, elements)
	}
}
