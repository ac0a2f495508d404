package amitest

import (
	"bufio"
	"crypto/md5" // AMI's challenge is MD5
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// session is the connection of one client: run reads its actions, a second goroutine writes the
// queued steps.
type session struct {
	pbx       *PBX
	conn      net.Conn
	loggedIn  atomic.Bool
	id        string // SessionID: a pointer, in Asterisk
	challenge string

	mu     sync.Mutex
	queue  []Step
	queued int // bytes
	wake   chan struct{}
	closed chan struct{}
	once   sync.Once
}

func newSession(p *PBX, conn net.Conn) *session {
	return &session{
		pbx: p, conn: conn, id: fmt.Sprintf("0x7fb2%08x", rand.Uint32()), // not secret
		wake: make(chan struct{}, 1), closed: make(chan struct{}),
	}
}

func (s *session) close() {
	s.once.Do(func() {
		close(s.closed)
		_ = s.conn.Close()
	})
}

// run serves the connection until its end.
func (s *session) run() {
	var writer sync.WaitGroup
	defer writer.Wait()
	defer s.close()

	// What Asterisk does before the banner: close at authlimit, or hang.
	b := s.pbx.behaves()
	switch {
	case b.LockedOut:
		return
	case b.Mute:
		<-s.closed
		return
	}

	// Events are written while an action is read, as in Asterisk.
	writer.Go(s.write)
	s.say(orDefault(b.Banner, "Asterisk Call Manager/11.0.0\r\n"))
	if b.Deaf {
		<-s.closed
		return
	}

	lines := bufio.NewReader(s.conn)
	for {
		action, err := readAction(lines)
		if err != nil {
			return
		}
		s.pbx.record(action)

		// The last answer is written before the connection is cut.
		if !s.answer(action) {
			s.enqueue(Cut())
			<-s.closed
			return
		}
	}
}

// readAction reads one action: header lines up to an empty one.
func readAction(lines *bufio.Reader) (Action, error) {
	action := Action{Fields: make(map[string]string)}
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return Action{}, fmt.Errorf("read action: %w", err)
		}

		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			action.Time = time.Now()
			action.Name, action.ID = action.Fields["Action"], action.Fields["ActionID"]
			return action, nil
		}

		name, value, _ := strings.Cut(line, ":")
		action.Fields[name] = strings.TrimLeft(value, " ")
	}
}

// answer does one action, and reports whether the session goes on (main/manager.c,
// process_message).
func (s *session) answer(a Action) bool {
	b := s.pbx.behaves()
	isLogin := a.Name == "Login" || a.Name == "Challenge"
	switch {
	case b.ShuttingDown:
		s.refuse(a, "Asterisk is shutting down")
	case !s.loggedIn.Load() && !isLogin && a.Name != "Logoff":
		// Before the login Asterisk takes no other action.
		s.refuse(a, "Permission denied")
	case b.InUse && a.Name == "Login":
		s.wait(b.RefusalDelay)
		s.refuse(a, "Login Already In Use")
		return false
	case a.Name == "Challenge" && b.NoMD5:
		s.refuse(a, "Invalid/unknown command: Challenge. "+
			"Use Action: ListCommands to show available commands.")
	case a.Name == "Challenge":
		s.challenge = strconv.FormatUint(uint64(rand.Uint32()), 10) // not secret
		s.respond(a, Field{"Challenge", s.challenge})
	case a.Name == "Login":
		return b.NoLogin || s.login(a, b)
	case a.Name == "Ping":
		if !b.NoPong {
			s.respond(a, Field{"Ping", "Pong"},
				Field{"Timestamp", fmt.Sprintf("%.6f", float64(time.Now().UnixMicro())/1e6)})
		}
	case a.Name == "ListCommands":
		// main/manager.c, action_listcommands: a line for each action, in no order.
		lines := append([]string{"Response: Success", "ActionID: " + a.ID}, b.Commands...)
		s.say(strings.Join(lines, "\r\n") + "\r\n\r\n")
	case a.Name == "Logoff":
		s.say("Response: Goodbye\r\nActionID: " + a.ID +
			"\r\nMessage: Thanks for all the fish.\r\n\r\n")
		return false
	default:
		// The user has no write class, so Asterisk reports the attempt as a security event.
		s.refuse(a, "Permission denied")
		s.pbx.emit(s.event(RequestNotAllowed, s.pbx.config.Username,
			Field{"RequestType", "Action: " + a.Name}))
	}

	return true
}

// login checks the user and the secret or the key, and raises the security event that Asterisk
// does.
func (s *session) login(a Action, b Behaviour) bool {
	user, failure, fields := a.Fields["Username"], "", []Field(nil)
	sum := md5.Sum([]byte(s.challenge + s.pbx.config.Secret)) // AMI's challenge
	key := hex.EncodeToString(sum[:])
	switch {
	case user != s.pbx.config.Username:
		failure = InvalidAccountID
	case a.Fields["AuthType"] == "MD5" && (s.challenge == "" || a.Fields["Key"] != key):
		// Asterisk has not stored the name yet: see capture 05.
		user, failure = "", ChallengeResponseFailed
		fields = []Field{
			{"Challenge", s.challenge},
			{"Response", a.Fields["Key"]},
			{"ExpectedResponse", key},
		}
	case a.Fields["AuthType"] != "MD5" && a.Fields["Secret"] != s.pbx.config.Secret:
		failure = InvalidPassword
	}

	// Asterisk raises the event before it answers, and answers late: it sleeps first.
	if failure != "" || b.Refusal != "" {
		if failure != "" {
			s.pbx.emit(s.event(failure, user, fields...))
		}
		s.wait(b.RefusalDelay)
		s.refuse(a, orDefault(b.Refusal, "Authentication failed"))
		return false
	}

	s.respond(a, Field{"Message", "Authentication accepted"})
	s.loggedIn.Store(true)
	if a.Fields["Events"] != "off" {
		s.pbx.emit(s.event(SuccessfulAuth, user, Field{"UsingPassword", "0"}))
	}

	s.pbx.notify()
	return true
}

// event returns the packet of a security event about this session itself.
func (s *session) event(kind, account string, fields ...Field) []byte {
	transport, local := "TCP", "0.0.0.0:5038"
	if s.pbx.config.TLS != nil {
		transport, local = "TLS", "0.0.0.0:5039"
	}

	sessionTV := "1970-01-01T00:00:00.000+0000" // of a session that is not logged in
	if s.loggedIn.Load() {
		sessionTV = time.Now().UTC().Format(timeFormat)
	}

	return Event{
		Kind: kind, Service: "AMI", Account: account, Session: s.id, Transport: transport,
		Local: netip.MustParseAddrPort(local), Remote: s.remote(),
		Fields: append(fields, Field{"SessionTV", sessionTV}),
	}.Bytes()
}

func (s *session) remote() netip.AddrPort {
	if seen := s.pbx.behaves().SeenAs; seen.IsValid() {
		return seen
	}
	if a, ok := s.conn.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort()
	}
	return netip.MustParseAddrPort("127.0.0.1:40000")
}

func (s *session) respond(a Action, fields ...Field) {
	packet := appendLine(nil, "Response", "Success")
	packet = appendLine(packet, "ActionID", a.ID)
	for _, f := range fields {
		packet = appendLine(packet, f.Name, f.Value)
	}
	s.say(string(packet) + "\r\n")
}

func (s *session) refuse(a Action, message string) {
	s.say("Response: Error\r\nActionID: " + a.ID + "\r\nMessage: " + message + "\r\n\r\n")
}

func (s *session) say(text string) { s.enqueue(Send([]byte(text))) }

// wait sleeps, unless the connection ends.
func (s *session) wait(d time.Duration) {
	if d == 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-s.closed:
	}
}

// enqueue adds steps for the writer. A client too far behind is closed.
func (s *session) enqueue(steps ...Step) {
	s.mu.Lock()
	for _, step := range steps {
		s.queued += len(step.bytes)
		s.queue = append(s.queue, step)
	}

	tooFar := s.queued > QueueLimit
	s.mu.Unlock()
	if tooFar {
		s.close() // at once: the writer may be in the middle of a packet, as in Asterisk
		return
	}

	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// write does the queued steps until the connection ends.
func (s *session) write() {
	defer s.close()
	for {
		s.mu.Lock()
		steps := s.queue
		s.queue = nil
		s.mu.Unlock()

		for _, step := range steps {
			if step.cut {
				return
			}

			s.wait(step.pause)
			if len(step.bytes) > 0 {
				if _, err := s.conn.Write(step.bytes); err != nil {
					return
				}
			}

			// Only written bytes make room in the queue: a client that does not read is cut.
			s.mu.Lock()
			s.queued -= len(step.bytes)
			s.mu.Unlock()
		}

		select {
		case <-s.wake:
		case <-s.closed:
			return
		}
	}
}
