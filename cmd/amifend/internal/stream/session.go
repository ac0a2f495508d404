package stream

import (
	"context"
	"log/slog"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/policy"
	"github.com/amifend/amifend/policy/nonce"
)

// Options configure the sessions of all servers.
type Options struct {
	Log     *slog.Logger
	Clock   clock.Clock
	Hasher  policy.Hasher
	Watcher *protect.Watcher
	Feed    Feed
	Witness Witness // nil: nobody can prove a sender over UDP
}

// Witness looks up the nonces of events over UDP, to prove their senders. Its methods must not wait.
type Witness interface {
	Watches(server uint16) bool
	Claim(o policy.Observation, n nonce.Nonce)
}

// Feed is where events are published for operators who follow them. Publish must not wait.
type Feed interface {
	Publish(server string, ev *ami.Event)
}

// Session is the login to one server, with what the daemon adds to it.
type Session struct {
	ami        *ami.Session
	name       string
	log        *slog.Logger
	translator *Translator
	watcher    *protect.Watcher
	feed       Feed
	witness    Witness // nil: there is none
	gauge      gauge
	rate       rate
	explained  explained
}

// Config returns the AMI library's config for one server of ours.
func Config(s config.Server) ami.Config {
	out := ami.Config{Name: s.Name, Address: s.Address, Username: s.Username, Secret: s.Secret}
	if s.TLS != nil {
		out.TLS = &ami.TLS{
			CAFile: s.TLS.CAFile, ServerName: s.TLS.ServerName, Fingerprint: s.TLS.Fingerprint,
			InsecureSkipVerify: s.TLS.InsecureSkipVerify,
		}
	}
	return out
}

// New prepares a session with a server, which the judge knows by that number. It connects to
// nothing. Warnings about the way to the server are logged.
func New(server config.Server, number uint16, o Options) (*Session, error) {
	s := &Session{
		name: server.Name, log: o.Log.With("server", server.Name), watcher: o.Watcher, feed: o.Feed,
		witness:    o.Witness,
		translator: NewTranslator(number, o.Hasher, o.Clock),
	}

	c := Config(server)
	c.OnChange = s.changed
	for _, w := range c.Warnings() {
		s.log.Warn(config.SessionWarning(w).String())
	}

	var err error
	s.ami, err = ami.NewSession(c)
	return s, err
}

// Run connects, again and again, and hands on what the session hears until ctx ends. A full channel
// makes it wait, which the session counts. That takes no longer than the judge needs, even at the
// end: the judge outlives the sessions, and every event counts.
func (s *Session) Run(ctx context.Context, out chan<- Sighting) error {
	return s.ami.Run(ctx, func(ev ami.Event) {
		Learn(s.watcher, s.name, ev)
		s.feed.Publish(s.name, &ev)
		s.explained.note(&ev)

		// A store for each event would make other CPUs fetch the line again.
		if ev.Service == ami.ServiceSIP && !s.gauge.chanSIP.Load() {
			s.gauge.chanSIP.Store(true)
		}

		if seen, ok := s.translator.Sighting(ev); ok {
			s.gauge.set(&s.translator.lag)
			n := s.confirmable(&seen, &ev)
			out <- seen
			if seen.Confirmable && (seen.Kind == policy.KindSuccessfulAuth || n != (nonce.Nonce{})) {
				s.witness.Claim(seen.Observation, n) // after the engine has it
			}
		}
	})
}

// confirmable notes whether the sender of an event may be proven later, and returns the nonce of a
// failure. An event without a nonce may belong to the same request as one with it.
func (s *Session) confirmable(seen *Sighting, ev *ami.Event) (n nonce.Nonce) {
	if s.witness == nil || ev.Service != ami.ServicePJSIP || ev.Transport != ami.TransportUDP ||
		ev.Taint != ami.Untainted || !s.witness.Watches(seen.Server) {
		return n
	}

	switch ev.Kind {
	case ami.KindInvalidAccountID, ami.KindFailedACL:
		seen.Confirmable = true
	case ami.KindSuccessfulAuth:
		seen.Confirmable = ev.UsingPassword
	case ami.KindChallengeResponseFailed:
		n, seen.Confirmable = nonce.Parse(ev.Challenge)
	default: // no attempt, or one without a nonce
	}
	return n
}

// Learn tells the watcher which addresses are the PBX's own and ours, as far as an event of a
// server shows.
func Learn(w *protect.Watcher, server string, ev ami.Event) {
	// An attacker must not be able to name an address that is then protected.
	if ev.Taint != ami.Untainted {
		return
	}

	if ev.Own {
		w.Learn(server, ev.Source.Addr(), protect.OwnAddress)
	}
	if local := ev.Local.Addr(); local.IsValid() {
		w.Learn(server, local, protect.LocalAddress)
	}
}

// changed logs the state of the session: up, lost, or what keeps it from working and what to do.
// The session calls it once for each change.
func (s *Session) changed(c ami.Change) {
	if c.Phase == ami.PhaseConnected {
		s.logUp(c)
		return
	}

	attrs := []any{
		slog.String("problem", c.Problem.String()), slog.Any("err", c.Err),
		slog.String("do", config.Advice(c.Problem)),
		slog.String("retry", c.Retry.Round(time.Millisecond).String()),
	}
	if c.Lost {
		s.log.Warn("AMI session is lost: events may be missed until it is back", attrs...)
		return
	}

	s.log.Warn("AMI session cannot be made", attrs...)
}

func (s *Session) logUp(c ami.Change) {
	attrs := []any{
		slog.String("asterisk_ami", c.Version), slog.String("login", string(c.Auth)),
		slog.Bool("tls", c.TLS.Enabled),
	}
	if c.TLS.Enabled {
		attrs = append(attrs, slog.Bool("certificate_verified", !c.TLS.Insecure))
	}

	if c.Gap > 0 {
		attrs = append(attrs, slog.String("gap", c.Gap.Round(time.Millisecond).String()),
			slog.Uint64("gaps", s.Status().Gaps))
	}

	s.log.Info("AMI session is up", attrs...)
}

// The methods below may be called from any goroutine.

// Name returns the server's name.
func (s *Session) Name() string { return s.name }

// Status returns the state of the login.
func (s *Session) Status() ami.Status { return s.ami.Status() }

// ChanSIP reports whether the server has raised events of chan_sip, which believes any address that
// a sender writes.
func (s *Session) ChanSIP() bool { return s.gauge.chanSIP.Load() }

// Lag returns how late the last event was.
func (s *Session) Lag() time.Duration { return time.Duration(s.gauge.lag.Load()) }

// ClockAhead returns how far the PBX's clock is ahead of ours; it is negative for one that is
// behind.
func (s *Session) ClockAhead() time.Duration { return time.Duration(s.gauge.ahead.Load()) }

// EventsPerSecond returns how many events came of late.
func (s *Session) EventsPerSecond() float64 { return s.rate.perSecond() }

// Distrusted reports whether most events could not be trusted in the last hour.
func (s *Session) Distrusted() bool { return lately(s.gauge.distrusted.Load()) }

// Stalled reports whether events had to wait for the judge in the last hour.
func (s *Session) Stalled() bool { return lately(s.gauge.stalled.Load()) }

func lately(at int64) bool { return at != 0 && time.Since(time.Unix(0, at)) < quiet }
