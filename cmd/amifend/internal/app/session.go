package app

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
)

// session is one server's login, with what the daemon adds to it.
type session struct {
	*ami.Session
	name       string
	log        *slog.Logger
	translator translator
	watcher    *protect.Watcher
	feed       *control.Feed
	gauge      gauge
	rate       rate
}

// SessionConfig is the library's config for one server of ours.
func SessionConfig(s config.Server) ami.Config {
	out := ami.Config{Name: s.Name, Address: s.Address, Username: s.Username, Secret: s.Secret}
	if s.TLS != nil {
		out.TLS = &ami.TLS{
			CAFile: s.TLS.CAFile, ServerName: s.TLS.ServerName, Fingerprint: s.TLS.Fingerprint,
			InsecureSkipVerify: s.TLS.InsecureSkipVerify,
		}
	}
	return out
}

func (d *daemon) sessions(watcher *protect.Watcher) ([]*session, error) {
	var out []*session
	for _, server := range d.Config.Servers {
		s, err := d.session(server, watcher)
		if err != nil {
			return nil, fmt.Errorf("server %s: %w", server.Name, err)
		}
		s.translator.server = uint16(slices.Index(d.judge.servers, server.Name)) // mostServers at most
		out = append(out, s)
	}
	return out, nil
}

// session prepares a session. It connects to nothing.
func (d *daemon) session(server config.Server, watcher *protect.Watcher) (*session, error) {
	s := &session{
		name: server.Name, log: d.Log.With("server", server.Name), watcher: watcher, feed: &d.feed,
		translator: translator{hasher: d.hasher, clock: d.clock},
	}
	c := SessionConfig(server)
	c.OnChange = s.changed
	for _, w := range c.Warnings() {
		s.log.Warn(config.SessionWarning(w).String())
	}
	var err error
	s.Session, err = ami.NewSession(c)
	return s, err
}

// run hands on what the session hears. A full queue makes it wait, which the session counts; it never waits for longer
// than the judge needs, also at the end: the judge outlives the sessions, and what was heard counts.
func (s *session) run(ctx context.Context, in chan<- sighting) error {
	return s.Run(ctx, func(ev ami.Event) {
		Learn(s.watcher, s.name, ev)
		s.feed.Publish(s.name, &ev)
		if seen, ok := s.translator.sighting(ev); ok {
			s.gauge.set(&s.translator.lag)
			in <- seen
		}
	})
}

// Learn notes which addresses are the PBX's own and ours, as an event of a server tells.
func Learn(w *protect.Watcher, server string, ev ami.Event) {
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
