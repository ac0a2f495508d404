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
	"sync/atomic"
	"time"
)

// Limits of a request.
const (
	mostHeader = 8 << 10
	mostBody   = 1 << 20
	readTime   = 10 * time.Second // for a whole request
	// for the daemon to answer, and for a client to read a part of the answer
	answerTime  = 10 * time.Second
	reloadTime  = 60 * time.Second
	mostAtOnce  = 1 // requests that list bans, of those who may change something, and of the others
	mostFollows = 16
	refusedTell = time.Minute // how often refusals are logged
)

// Reader answers what may be asked. The answers are the caller's.
type Reader interface {
	Status(ctx context.Context) (Status, error)
	Bans(ctx context.Context) ([]Ban, error)
	Allowed(ctx context.Context) ([]Allowed, error)
}

// Banner bans and lifts for an operator.
type Banner interface {
	Ban(ctx context.Context, by Peer, bans []NewBan) ([]BanResult, error)
	// Unban lifts all bans that lie within a prefix or cover it, an invalid one means all, and
	// forgets why.
	Unban(ctx context.Context, by Peer, within netip.Prefix) (Lifted, error)
}

// Allower keeps what operators allow.
type Allower interface {
	Allow(ctx context.Context, by Peer, a NewAllow) (Allowed, error)
	Disallow(ctx context.Context, by Peer, prefix netip.Prefix) (Allowed, error)
	DisallowName(ctx context.Context, by Peer, name string) (Allowed, error)
}

// Options are what a Server needs. What is nil is not served.
type Options struct {
	Socket     string // where, absolute
	ReadGroup  string
	AdminGroup string
	Log        *slog.Logger

	Read    Reader
	Ban     Banner
	Allow   Allower
	Past    Reporter
	Explain func(ctx context.Context, addr netip.Addr) (Explanation, error)
	Reload  func(ctx context.Context, by Peer) (Reloaded, error)
	Keep    func(ctx context.Context, by Peer) (Kept, error)
	// Reconcile compares kernel, journal and engine, and repairs what differs.
	Reconcile func(ctx context.Context, by Peer) (Reconciled, error)
	Events    *Feed
}

// Server serves the control socket.
type Server struct {
	Options
	listener *listener
	access   access
	listing  map[bool]chan struct{} // of those who may change something, and of those who may not
	refused  atomic.Int64           // when a refusal was last logged, Unix seconds
}

// Listen opens the socket. A group that does not exist is logged, and has no right.
func Listen(o Options) (*Server, error) {
	s := &Server{
		Options: o,
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

		*g.to = gid
	}

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

// Serve answers until ctx ends, and returns nil then.
func (s *Server) Serve(ctx context.Context) error {
	h := &http.Server{
		Handler: s.routes(), ConnContext: withPeer,
		ReadHeaderTimeout: readTime, IdleTimeout: readTime, MaxHeaderBytes: mostHeader,
		ErrorLog: log.New(io.Discard, "", 0), // what a client does wrong is told to the client
	}

	h.BaseContext = func(net.Listener) context.Context { return ctx }
	stop := context.AfterFunc(ctx, func() { h.Close() })
	defer stop()

	err := h.Serve(s.listener)
	if ctx.Err() != nil || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve the control socket: %w", err)
}

// Close closes a Server that does not serve.
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

// handler answers a request. What it returns becomes the answer, unless it has written one itself.
type handler func(w http.ResponseWriter, r *http.Request, by Peer) (any, error)

// route makes sure of the caller's right before anything of the request is looked at.
func (s *Server) route(mux *http.ServeMux, route served) {
	if !route.has {
		return
	}

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

		control := http.NewResponseController(w)

		// unix sockets have deadlines
		_ = control.SetWriteDeadline(time.Now().Add(answerTime + reloadTime))
		var answer any
		err := receiveBody(w, r, control)
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

// receiveBody reads a body whole, within a time. From then on a client may be silent for as long as
// it likes.
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

// refuse says who would have the right.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, by Peer) {
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

// changed logs what an operator did.
func (s *Server) changed(by Peer, what string, err error, attrs ...any) {
	attrs = append([]any{"request", what, "uid", by.UID, "pid", by.PID}, attrs...)
	if err != nil {
		s.Log.Warn("control: a request failed", append(attrs, "err", err)...)
		return
	}
	s.Log.Info("control: done as requested", attrs...)
}
