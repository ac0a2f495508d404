package metrics

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
)

// Limits of the clients. Prometheus needs one connection.
const (
	mostConns   = 16
	mostScrapes = 4
	mostHeader  = 8 << 10
	headerTime  = 2 * time.Second
	answerTime  = 10 * time.Second
	idleTime    = 30 * time.Second
	lastTime    = time.Second // for the answers that are under way when the server ends
	refusedTell = time.Minute // at least, between two logged refusals
)

// retryListen is the pause before an address that cannot be used is tried again.
const retryListen = 30 * time.Second

// Server serves /metrics at the address of the config.
type Server struct {
	log     *slog.Logger
	page    http.Handler
	config  config.Metrics // of the start
	next    *owner.Latest[config.Metrics]
	problem atomic.Pointer[string]
	refused atomic.Int64 // when a refusal was last logged, Unix seconds
}

// New returns a server. It does nothing before [Server.Run].
func New(c config.Metrics, log *slog.Logger, from Sources) *Server {
	r := prometheus.NewRegistry()
	r.MustRegister(
		&collector{asker: asker{from: from}, started: time.Now()},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)

	return &Server{
		log: log, config: c, next: owner.NewLatest[config.Metrics](),
		page: promhttp.HandlerFor(r, promhttp.HandlerOpts{
			MaxRequestsInFlight: mostScrapes, ErrorHandling: promhttp.ContinueOnError,
		}),
	}
}

// Change replaces the config. It does not wait.
func (s *Server) Change(c config.Metrics) { s.next.Set(c) }

// Problem returns why the metrics cannot be served; "": they can, or nobody wants them.
func (s *Server) Problem() string {
	if p := s.problem.Load(); p != nil {
		return *p
	}
	return ""
}

// Run serves until ctx ends. An address that cannot be used is logged, and tried again: banning goes
// on without it.
func (s *Server) Run(ctx context.Context) {
	c := s.config
	for ctx.Err() == nil {
		serving, stop := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.keepServing(serving, c)
		}()

		// The address must be free before the next server listens.
		select {
		case <-ctx.Done():
		case c = <-s.next.C():
		}
		stop()
		<-done
	}
}

// keepServing serves one config until ctx ends.
func (s *Server) keepServing(ctx context.Context, c config.Metrics) {
	defer s.problem.Store(nil)
	if c.Listen == "" {
		return
	}

	for ctx.Err() == nil {
		err := s.serve(ctx, c)
		if ctx.Err() != nil {
			return
		}

		// The same error is logged once, however often it is tried again.
		if err != nil && err.Error() != s.Problem() {
			text := err.Error()
			s.problem.Store(&text)
			s.log.Error("metrics cannot be served", "err", err, "retry", retryListen.String())
		}
		clock.Sleep(ctx, retryListen)
	}
}

// serve listens and answers until ctx ends.
func (s *Server) serve(ctx context.Context, c config.Metrics) error {
	var listening net.ListenConfig
	l, err := listening.Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen for [metrics]: %w", err)
	}
	defer l.Close()
	s.problem.Store(nil)
	s.log.Info("metrics are served", "address", l.Addr().String(), "tls", c.Certificate != nil,
		"password", !c.Password.IsZero())

	l = netutil.LimitListener(l, mostConns)
	if c.Certificate != nil {
		l = tls.NewListener(l, &tls.Config{
			MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{c.Certificate.TLS()},
			NextProtos: []string{"http/1.1"},
		})
	}

	server := &http.Server{
		Handler: s.handler(c), MaxHeaderBytes: mostHeader, ReadHeaderTimeout: headerTime,
		ReadTimeout: answerTime, WriteTimeout: answerTime, IdleTimeout: idleTime,
		// What strangers send must not fill the log.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}

	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTime)
	defer cancel()
	if server.Shutdown(ending) != nil {
		_ = server.Close() // whoever does not read the answer is cut off
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// handler answers GET /metrics, of who has the password.
func (s *Server) handler(c config.Metrics) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.page) // HEAD too

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Prometheus sends no body.
		r.Body = http.MaxBytesReader(w, r.Body, 0)

		if !c.Password.IsZero() {
			user, password, _ := r.BasicAuth()
			if user != c.Username || !c.Password.Equal(ami.NewSecret(password)) {
				s.refuse(w, r)
				return
			}
		}
		mux.ServeHTTP(w, r)
	})
}

// refuse answers a request without the password, and ends the connection: its place is for others.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request) {
	// A script may guess all day. One line a minute is enough.
	now, last := time.Now().Unix(), s.refused.Load()
	if now-last >= int64(refusedTell.Seconds()) && s.refused.CompareAndSwap(last, now) {
		s.log.Warn("metrics: a request without the right user and password was refused",
			"from", r.RemoteAddr)
	}

	w.Header().Set("WWW-Authenticate", `Basic realm="amifend"`)
	w.Header().Set("Connection", "close")
	http.Error(w, "the user and the password of [metrics] are needed", http.StatusUnauthorized)
}
