package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync/atomic"
	"time"
)

// Limits of a request.
const (
	mostHeader = 8 << 10
	mostBody   = 1 << 20
	headerTime = time.Second      // for the header of a request: a client sends it at once
	readTime   = 10 * time.Second // for a whole request
	// answerTime is for the daemon to answer, and for a client to read a part of the answer.
	answerTime  = 10 * time.Second
	reloadTime  = 60 * time.Second
	lastTime    = time.Second // for the answers that are under way when the server ends
	mostAtOnce  = 1           // lists of bans at a time, for each right
	mostReads   = 48          // requests at a time that only read: the other places are for changes
	mostFollows = 16
	refusedTell = time.Minute // at least, between two logged refusals
)

// Reader answers what users may read. The caller owns the answers.
type Reader interface {
	Status(ctx context.Context) (Status, error)
	// Bans returns the bans that match a query, in its order and up to its limit.
	Bans(ctx context.Context, q BanQuery) (BanList, error)
	Allowed(ctx context.Context) ([]Allowed, error)
}

// Banner makes and lifts bans for an operator.
type Banner interface {
	Ban(ctx context.Context, by Peer, bans []NewBan) ([]BanResult, error)
	// Unban lifts all bans that lie within a prefix or cover it, and forgets their evidence. An
	// invalid prefix means all.
	Unban(ctx context.Context, by Peer, within netip.Prefix) (Lifted, error)
}

// Allower keeps the list of what operators allow.
type Allower interface {
	Allow(ctx context.Context, by Peer, a NewAllow) (Allowed, error)
	Disallow(ctx context.Context, by Peer, prefix netip.Prefix) (Allowed, error)
	DisallowName(ctx context.Context, by Peer, name string) (Allowed, error)
}

// Options hold what a Server needs. A nil interface or function is not served.
type Options struct {
	Socket     string // absolute
	ReadGroup  string
	AdminGroup string
	Log        *slog.Logger

	Read    Reader
	Ban     Banner
	Allow   Allower
	Deny    Denier
	Undo    Undoer
	Past    Reporter
	Silence Silencer
	Notify  Notifier
	Feeds   Feeder
	Explain func(ctx context.Context, addr netip.Addr) (Explanation, error)
	// Scores returns the scores of sources, in their order, for the events that are followed.
	Scores  func(ctx context.Context, addrs []netip.Addr) ([]Score, error)
	Live    func(ctx context.Context, limit int) (Live, error)
	Limited func(ctx context.Context) (LimitedList, error)
	Reload  func(ctx context.Context, by Peer) (Reloaded, error)
	Keep    func(ctx context.Context, by Peer) (Kept, error)
	// Enforce ends observing for a trial.
	Enforce func(ctx context.Context, by Peer, trial time.Duration) (Enforced, error)
	// Reconcile compares kernel, journal and engine, and repairs what differs.
	Reconcile func(ctx context.Context, by Peer) (Reconciled, error)
	// Acknowledge removes from the status what an operator has seen.
	Acknowledge func(ctx context.Context, by Peer) (Acknowledged, error)
	// Backup returns an open file that holds a copy of the journal. The server closes it.
	Backup func(ctx context.Context) (*os.File, error)
	Events *Feed
}

// Server serves the control socket.
type Server struct {
	Options
	listener *listener
	access   access
	listing  map[bool]chan struct{} // by whether the peer may change something
	reads    chan struct{}          // places of requests that only read
	refused  atomic.Int64           // when a refusal was last logged, Unix seconds
}

// Listen opens the socket. It logs a group that does not exist; nobody has its right then.
func Listen(o Options) (*Server, error) {
	s := &Server{
		Options: o, reads: make(chan struct{}, mostReads),
		listing: map[bool]chan struct{}{
			false: make(chan struct{}, mostAtOnce),
			true:  make(chan struct{}, mostAtOnce),
		},
	}
	for _, g := range []struct {
		key, name string
		to        **uint32
	}{{"read_group", o.ReadGroup, &s.access.read}, {"admin_group", o.AdminGroup, &s.access.admin}} {
		gid, err := lookupGroup(g.name)
		if err != nil {
			return nil, err
		}

		if gid == nil {
			o.Log.Info("control: a group does not exist, so nobody but root has its right", "key",
				"[control] "+g.key, "group", g.name,
				"do", "groupadd --system "+g.name)
		}

		// The pointer stays nil for a group that does not exist.
		*g.to = gid
	}

	// The socket opens for its owner alone, and for the group only when it is complete.
	var err error
	if s.listener, err = listen(o.Socket); err != nil {
		return nil, err
	}

	s.listener.may = s.access.mayChange
	if s.access.read == nil {
		return s, nil
	}

	if err := share(o.Socket, *s.access.read); err != nil {
		o.Log.Warn("control: only root can use the socket", "err", err,
			"do", "run amifend as root, or in that group: Group="+o.ReadGroup+
				" in its systemd unit")
	}

	return s, nil
}

// Serve answers requests until ctx ends, and then returns nil.
func (s *Server) Serve(ctx context.Context) error {
	h := &http.Server{
		Handler: s.routes(), ConnContext: withPeer,
		ReadHeaderTimeout: headerTime, IdleTimeout: readTime, MaxHeaderBytes: mostHeader,
		ConnState: func(c net.Conn, state http.ConnState) {
			if c, ok := c.(*conn); ok && state == http.StateIdle {
				c.listener.waits(c)
			}
		},
		ErrorLog: log.New(io.Discard, "", 0), // what a client does wrong is told to the client
	}

	h.BaseContext = func(net.Listener) context.Context { return ctx }

	// A request whose handler ends the daemon's run still gets its answer.
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTime)
		defer cancel()
		if h.Shutdown(last) != nil {
			h.Close()
		}
	})

	err := h.Serve(s.listener)
	if !stop() {
		<-ended
	}

	// Serve always returns an error; the end of ctx causes one that is not a failure.
	if ctx.Err() == nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the control socket: %w", err)
	}
	return nil
}

// Close closes a Server whose Serve was not called.
func (s *Server) Close() error { return s.listener.Close() }

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.table() {
		s.route(mux, r)
	}

	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w,
			Errorf(CodeUnknown, "the daemon knows no request %s %.100q", r.Method, r.URL.Path).
				Advise("the command and the daemon are of different versions: restart the daemon"))
	})

	return mux
}

// handler answers a request. Its result becomes the answer, unless it has written one itself.
type handler func(w http.ResponseWriter, r *http.Request, by Peer) (any, error)

// route registers a handler. The peer's right is checked before anything of the request is read.
func (s *Server) route(mux *http.ServeMux, route served) {
	if !route.has {
		return
	}

	// The right depends on the route alone, not on what is asked.
	may := s.access.mayRead
	if route.Change {
		may = s.access.mayChange
	}

	mux.HandleFunc(route.Method+" "+route.Path, func(w http.ResponseWriter, r *http.Request) {
		by, known := r.Context().Value(peerKey{}).(Peer)
		if !known || !may(by) {
			s.refuse(w, r, by)
			return
		}

		by.Says = saidName(r.Header.Get(headerOperator))

		control := http.NewResponseController(w)

		_ = control.SetWriteDeadline(time.Now().Add(answerTime + reloadTime)) // sockets have them
		var answer any
		err := receiveBody(w, r, control)

		// From here on the connection keeps its place, whoever else comes.
		if c, ok := r.Context().Value(connKey{}).(*conn); ok {
			c.listener.busy(c)
		}
		if err == nil && !route.Change {
			var leave func()
			if leave, err = s.enter(); err == nil {
				defer leave()
			}
		}
		if err == nil {
			err = route.checkQuery(r.URL.Query())
		}
		if err == nil {
			answer, err = route.answer(w, r, by)
		}

		switch {
		case err != nil:
			writeError(w, err)
		case answer != nil:
			writeJSON(w, http.StatusOK, answer)
		}
	})
}

// enter takes the place of a request that only reads. The other places are kept for changes: slow
// readers must not keep an operator from lifting a ban.
func (s *Server) enter() (leave func(), err error) {
	select {
	case s.reads <- struct{}{}:
		return func() { <-s.reads }, nil
	default:
		return nil, Errorf(CodeBusy, "%d requests are being answered", mostReads).
			Advise("end the programs that ask amifend all the time, or do not read its answers")
	}
}

// receiveBody reads the whole body, within readTime. After that a client may be silent for as long
// as it likes: it may follow events.
func receiveBody(w http.ResponseWriter, r *http.Request, control *http.ResponseController) error {
	_ = control.SetReadDeadline(time.Now().Add(readTime)) // unix sockets have deadlines
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBody))
	if err != nil {
		return Errorf(CodeBadRequest, "the request's body cannot be read: %.200s", err)
	}
	_ = control.SetReadDeadline(time.Time{}) // the same
	r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// refuse answers a request without right, and says who would have it.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, by Peer) {
	// A script without right may ask every second. One line a minute is enough.
	now, last := time.Now().Unix(), s.refused.Load()
	if now-last >= int64(refusedTell.Seconds()) && s.refused.CompareAndSwap(last, now) {
		s.Log.Warn("control: a request was refused: the user has no right", "request", r.Pattern,
			"uid", by.UID, "pid", by.PID)
	}

	group := s.AdminGroup
	if r.Method == http.MethodGet {
		group = s.ReadGroup
	}

	writeError(w,
		Errorf(CodeForbidden, "%s may not do that: it takes root or the group %s", by, group).
			Advise("use sudo, or join the group and log in again: usermod -aG %s NAME", group))
}

// changed logs an operator's request.
func (s *Server) changed(by Peer, what string, err error, attrs ...any) {
	who := []any{"request", what, "uid", by.UID, "pid", by.PID}
	if by.Says != "" {
		who = append(who, "says", by.Says)
	}

	attrs = append(who, attrs...)
	if err != nil {
		s.Log.Warn("control: a request failed", append(attrs, "err", err)...)
		return
	}

	s.Log.Info("control: done as requested", attrs...)
}
