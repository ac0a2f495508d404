// Package sensor watches what the PBXs answer, as the kernel sees it: for requests of which Asterisk
// raises no event, and for the digest nonces that prove who sent a request over UDP.
//
//	kernel ── NFLOG: answers ────────→ Sensor   a sample of the refusals, and all to watched addresses
//	kernel ── Refused: counters ─────→ Sensor   read each two seconds
//	kernel ── ChallengeLog ──────────→ Sensor   every refusal over UDP, with its nonces
//	stream ── TakeExplained ─────────→ Sensor   how many events named whom
//	stream ── Claim ─────────────────→ Sensor   events over UDP whose nonces are looked up
//	Sensor ── Sighting ──────────────→ judge    evidence, and events whose sender is certain; dropped
//	                                            and counted when the queue is full
//	Sensor ── WatchAnswers ──────────→ kernel   log all answers to an address
//	Sensor ── Raise ─────────────────→ alerts   unseen_requests: refusals that no event explains;
//	                                            answers_led_astray: they went elsewhere
//	status, metrics ←── Status ── Sensor        copied under a mutex
//
// Nobody waits for the sensor, and it waits for the kernel only. It has connections of its own to the
// table, so it makes no ban wait.
package sensor

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// Table is the part of the kernel's table that the sensor needs.
type Table interface {
	Sensor() firewall.SensorSupport
	Refused(ctx context.Context, visit func(firewall.Refusals)) error
	WatchAnswers(ctx context.Context, addr netip.Addr) error
	EndSensor(ctx context.Context) error
	OpenChallenges(v firewall.ChallengeVisitor) (*firewall.ChallengeLog, error)
}

// Options configure a [Sensor].
type Options struct {
	Table    Table // nil: there is no sensor, and Off says why
	Off      string
	Group    uint16 // of NFLOG
	NetNS    int    // descriptor of the network namespace; 0: that of the calling thread
	Sessions func() []*stream.Session
	Watcher  *protect.Watcher
	Hasher   policy.Hasher
	Seed     uint64                 // of the hashes of nonces
	Witness  *Witness               // what the sessions hand in
	Out      chan<- stream.Sighting // to the judge
	Alerts   *alerts.Book
	Clock    clock.Clock
	Log      *slog.Logger
}

// Status describes the sensor.
type Status struct {
	On       bool
	Problem  string // why it is off, or what it cannot do; "": nothing
	Logs     bool   // answers are read, which gives evidence
	Evidence uint64 // requests that no event told, by the answers that were read
	Accepted uint64 // those of them that were accepted: somebody knows the password
	Lost     uint64 // how often answers were not read in time, or the engine had no room
	Servers  []ServerStatus

	Nonces       bool   // nonces are read, which proves senders over UDP
	NonceProblem string // why not; "": they are, or the kernel cannot log
	Proven       uint64 // events over UDP whose sender was proven
	Astray       uint64 // answers that went elsewhere than their request came from, or may have
	Gaps         uint64 // how often answers may have been missed

	proofs map[string]string // why events of a server cannot be proven, by its name
}

// ServerStatus describes the sensor for one PBX.
type ServerStatus struct {
	Name    string
	Judging bool
	Problem string // why it does not judge; "": it does
	Refused uint64 // requests that the PBX refused, since the sensor began
	Silent  int    // addresses with refusals that no event explains, now

	Proves       bool   // events over UDP can be proven
	ProofProblem string // why they cannot; "": they can
}

// Sensor is the goroutines that watch the answers.
type Sensor struct {
	Options
	places *places

	mu     sync.Mutex
	status Status
}

// New returns a sensor. It does nothing before [Sensor.Run].
func New(o Options) *Sensor {
	s := &Sensor{Options: o, places: newPlaces()}
	if o.Table == nil {
		s.status.Problem = o.Off
		return s
	}

	support := o.Table.Sensor()
	s.status.On = support.Counts
	if support.Err != nil {
		s.status.Problem = support.Err.Error()
	}
	return s
}

// Status returns the state of the sensor. It does not wait.
func (s *Sensor) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.status
	st.Servers = slices.Clone(st.Servers)
	for i := range st.Servers {
		one := &st.Servers[i]
		why, known := st.proofs[one.Name]
		if !known || !st.Nonces {
			why = "nonces are not read"
		}
		one.Proves, one.ProofProblem = why == "", why
	}
	st.proofs = nil
	return st
}

func (s *Sensor) change(f func(*Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.status)
}

// endTime limits how long the end waits for the kernel.
const endTime = time.Second

// Run watches until ctx ends. Then it takes its rules out of the kernel: nobody reads what they count.
func (s *Sensor) Run(ctx context.Context) {
	if st := s.Status(); !st.On {
		s.Log.Info("the kernel sensor is off: requests that Asterisk does not report are not seen",
			"why", st.Problem)
		s.resolve(nil)
		return
	} else if st.Problem != "" {
		s.Log.Warn("the kernel sensor works in part", "why", st.Problem)
	}

	var parts sync.WaitGroup
	keep := func(what string, run func(context.Context) error) {
		parts.Go(func() {
			owner.KeepRunning(ctx, s.Log, "kernel sensor: "+what, func() error { return run(ctx) })
		})
	}
	logs := s.Table.Sensor().Logs
	if logs {
		keep("reader of answers", s.read)
	}
	if logs && s.Witness != nil {
		keep("reader of nonces", s.prove)
	}
	parts.Go(func() { s.compare(ctx) })
	parts.Wait()

	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	if err := s.Table.EndSensor(end); err != nil {
		s.Log.Warn("the rules of the kernel sensor stay in the table", "err", err,
			"do", "nothing: they drop nothing, and the next start takes them over")
	}
}

// read reads answers until ctx ends.
func (s *Sensor) read(ctx context.Context) error {
	log, err := firewall.OpenAnswers(s.NetNS, s.Group)
	if err != nil {
		s.change(func(st *Status) { st.Logs, st.Problem = false, err.Error() })
		// Asked again each second it would fill the log.
		s.Log.Warn("the kernel sensor reads no answers, and only counts them", "err", err,
			"do", "choose another [sensor] nflog_group")
		clock.Sleep(ctx, time.Minute)
		return err
	}
	defer log.Close()
	s.change(func(st *Status) { st.Logs, st.Problem = true, "" })

	var lost uint64
	return log.Run(ctx, func(a *firewall.Answer) {
		if n := log.Lost(); n > lost {
			s.change(func(st *Status) { st.Lost += n - lost })
			lost = n
		}
		s.answer(ctx, a)
	})
}

// answer hands over an answer to a request of which Asterisk raised no event.
func (s *Sensor) answer(ctx context.Context, a *firewall.Answer) {
	if !a.Unseen() {
		return
	}
	place, ok := s.places.of(a.From.Addr())
	if !ok {
		return
	}

	// All that goes to that address is read from now on: the right password may come next.
	if err := s.Table.WatchAnswers(ctx, a.To.Addr()); err != nil && ctx.Err() == nil {
		s.Log.Debug("the kernel sensor cannot watch an address", "err", err)
	}
	method := string(a.Method)
	seen := stream.Sighting{Observation: policy.Observation{
		At: s.Clock.Now(), Source: a.Sender(), Server: place.number, LocalPort: a.From.Port(),
		Kind: policy.KindUnseenRequest, Service: policy.ServicePJSIP, Stream: a.Stream,
		Accepted: a.Status == 200 && (method == "REGISTER" || method == "INVITE"),
		Session:  s.Hasher.Session(a.CallID), Account: s.Hasher.Label(a.Account),
	}}
	seen.Made = seen.At
	// chan_sip lets the sender choose where it answers. Over TCP the kernel names the peer.
	if place.session.ChanSIP() && !a.Stream {
		seen.Service = policy.ServiceSIP
	}
	if a.Status == 200 && !seen.Accepted {
		return // of another request: nothing was guessed, and nothing refused
	}

	s.change(func(st *Status) {
		st.Evidence++
		if seen.Accepted {
			st.Accepted++
		}
	})
	select {
	case s.Out <- seen:
	default: // the engine must not wait, and neither must the kernel's answers
		s.change(func(st *Status) { st.Lost++ })
	}
}

// key is that of the condition of a server.
func key(server string) string { return alerts.Key(alerts.UnseenRequests, server) }

// resolve ends the conditions of servers that are not among those.
func (s *Sensor) resolve(servers []string) {
	for _, kind := range []string{alerts.UnseenRequests, alerts.AnswersLedAstray} {
		for _, k := range s.Alerts.Keys(kind) {
			known := slices.ContainsFunc(servers, func(name string) bool {
				own := alerts.Key(kind, name)
				return k == own || strings.HasPrefix(k, own+"\t")
			})
			if !known {
				s.Alerts.Resolve(k, alerts.Span{})
			}
		}
	}
}

// connected reports whether a session hears events now.
func connected(s ami.Status) bool { return s.Phase == ami.PhaseConnected }
