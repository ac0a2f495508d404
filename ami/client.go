package ami

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	goami "github.com/heltonmarx/goami/ami"
)

// client sends goami's actions over one connection and routes every response to its action. The
// next packet after an action is not always its answer: it may be an event, or the late answer to
// an action that timed out.
//
// It writes and never reads. The reader of the connection hands it all packets but the security
// events.
type client struct {
	conn    net.Conn
	timeout time.Duration // of one write
	// key answers the challenge and must never be printed. Only the session's goroutine uses it.
	key string

	write   sync.Mutex // one action at a time on the wire
	mu      sync.Mutex // guards waiting
	waiting map[string]*request

	done chan struct{} // closed by lost
	err  error         // why, valid once done is closed
}

func newClient(conn net.Conn, timeout time.Duration) *client {
	return &client{
		conn: conn, timeout: timeout, waiting: make(map[string]*request),
		done: make(chan struct{}),
	}
}

// request is one action and its answers. It implements goami.Client for one call of goami.
type request struct {
	client  *client
	id      string
	answers chan string
	last    string // the answer that Recv returned last, "" if none came yet
}

var _ goami.Client = (*request)(nil)

// maxAnswers bounds the packets of one action that wait for goami. Each of our actions has one
// answer.
const maxAnswers = 16

// request registers a new action. The caller gives its id to goami as the ActionID, and ends it by
// forget.
//
// The id is random and not counted up: whoever can print text into an event must not be able to
// guess it and forge the answer.
func (c *client) request() *request {
	r := &request{client: c, id: rand.Text(), answers: make(chan string, maxAnswers)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting[r.id] = r
	return r
}

// forget ends the action: a late answer is dropped.
func (r *request) forget() {
	r.client.mu.Lock()
	defer r.client.mu.Unlock()
	delete(r.client.waiting, r.id)
}

// route hands a whole packet to the action that it answers, and returns that action, or nil if none
// waits for it. It never blocks: it drops packets beyond maxAnswers.
func (c *client) route(packet []byte) *request {
	id := field(packet, "ActionID")
	if len(id) == 0 {
		return nil
	}
	c.mu.Lock()
	r := c.waiting[string(id)]
	c.mu.Unlock()

	if r == nil {
		return nil
	}

	// goami looks for this end of an answer.
	answer := string(bytes.TrimRight(packet, "\r\n")) + "\r\n\r\n"

	// The reader calls this, so a request that does not take its answers must not block it.
	select {
	case r.answers <- answer:
	default:
	}
	return r
}

// lost ends all requests that wait, because the connection ended with err. It must be called once.
func (c *client) lost(err error) {
	c.err = err
	close(c.done)
}

// Connected reports whether the connection still stands.
func (r *request) Connected() bool {
	select {
	case <-r.client.done:
		return false
	default:
		return true
	}
}

// Close does nothing: the connection belongs to the session, not to goami.
func (r *request) Close(context.Context) error { return nil }

// Send writes one action as it is. (goami's own socket uses the action as a format string, which
// breaks a secret with a `%`.)
func (r *request) Send(message string) error {
	c := r.client
	c.write.Lock()
	defer c.write.Unlock()

	if err := c.conn.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return fmt.Errorf("set write deadline: %w", err)
	}
	if _, err := c.conn.Write([]byte(message)); err != nil {
		return fmt.Errorf("send action: %w", err)
	}

	return nil
}

// Recv waits for the next packet that answers this action.
func (r *request) Recv(ctx context.Context) (string, error) {
	answer, err := r.receive(ctx)
	r.last = answer
	return answer, err
}

// refusal returns the Message of the last answer, and reports whether that answer was a refusal.
// goami has the message only inside the text of an error.
func (r *request) refusal() (message string, refused bool) {
	answer := []byte(r.last)
	if r.last == "" || string(field(answer, "Response")) == "Success" {
		return "", false
	}
	return string(field(answer, "Message")), true
}

func (r *request) receive(ctx context.Context) (string, error) {
	// An answer that came before the end of the connection counts, so look for one first.
	select {
	case answer := <-r.answers:
		return answer, nil
	default:
	}

	select {
	case answer := <-r.answers:
		return answer, nil
	case <-r.client.done:
		// Both may be ready, and select chooses at random.
		select {
		case answer := <-r.answers:
			return answer, nil
		default:
			return "", errors.Join(errConnectionLost, r.client.err)
		}
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// errConnectionLost marks a request that ended with its connection.
var errConnectionLost = errors.New("connection lost")

// field returns the value of the first line `name: value` of a packet, or nil if there is none.
func field(packet []byte, name string) []byte {
	for line := range bytes.SplitSeq(packet, []byte("\r\n")) {
		if len(line) > len(name) && string(line[:len(name)]) == name && line[len(name)] == ':' {
			return bytes.TrimPrefix(line[len(name)+1:], []byte(" "))
		}
	}
	return nil
}
