package ami

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	goami "github.com/heltonmarx/goami/ami"
)

// pipeClient returns a client and what it wrote.
func pipeClient(t *testing.T) (*client, <-chan string) {
	t.Helper()
	near, server := net.Pipe()
	t.Cleanup(func() { _ = near.Close(); _ = server.Close() })
	written := make(chan string, 16)

	go func() {
		defer close(written)
		buffer := make([]byte, 4096)
		for {
			n, err := server.Read(buffer)
			if err != nil {
				return
			}
			written <- string(buffer[:n])
		}
	}()

	return newClient(near, time.Second), written
}

func TestClientGivesEveryResponseToItsAction(t *testing.T) {
	c, written := pipeClient(t)
	first, second, gone := c.request(), c.request(), c.request()
	gone.forget()

	results := make(chan error, 2)
	for _, r := range []*request{first, second} {
		go func() { results <- goami.Ping(t.Context(), r, r.id) }()
		if action := <-written; !strings.Contains(action, "ActionID: "+r.id+"\r\n") {
			t.Errorf("sent %q", action)
		}
	}

	// Late, forged and anonymous answers reach nobody.
	for _, packet := range []string{
		"Response: Success\r\nPing: Pong\r\n\r\n", // without ActionID
		"Response: Error\r\nActionID: " + gone.id + "\r\nMessage: late\r\n\r\n",
		"Response: Error\r\nActionID: guessed\r\nMessage: forged\r\n\r\n",
	} {
		if c.route([]byte(packet)) != nil {
			t.Errorf("%q was routed", packet)
		}
	}

	// The answers come in the other order.
	if r := c.route([]byte("Response: Success\r\nActionID: " + second.id +
		"\r\nPing: Pong\r\n\r\n")); r != second {
		t.Error("the second answer went astray")
	}
	if r := c.route([]byte("Response: Error\r\nActionID: " + first.id +
		"\r\nMessage: Permission denied\r\n\r\n")); r != first {
		t.Error("the first answer went astray")
	}

	one, two := <-results, <-results
	if (one == nil) == (two == nil) {
		t.Errorf("results %v and %v, want one error", one, two)
	}
}

func TestClientSendsTextAsItIs(t *testing.T) {
	c, written := pipeClient(t)
	r := c.request()
	const secret = "100%s%d%!: %n"
	go func() { _ = goami.Login(t.Context(), r, "u", secret, "security", r.id) }()
	if action := <-written; !strings.Contains(action, "\r\nSecret: "+secret+"\r\n") {
		t.Errorf("sent %q", action)
	}
	c.lost(io.EOF)
}

func TestClientRecvEnds(t *testing.T) {
	c, _ := pipeClient(t)
	r := c.request()
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)

	// The end of ctx ends the wait, and says nothing about the connection.
	if _, err := r.Recv(ctx); !errors.Is(err, cause) {
		t.Errorf("canceled: %v", err)
	}
	if !r.Connected() {
		t.Error("not connected before the loss")
	}

	// An answer that came before the loss counts; after it there is only the reason.
	c.route([]byte("Response: Error\r\nActionID: " + r.id + "\r\n\r\n"))
	c.lost(io.EOF)
	if answer, err := r.Recv(t.Context()); err != nil || answer == "" {
		t.Errorf("the answer before the loss: %q, %v", answer, err)
	}
	if _, err := r.Recv(t.Context()); !errors.Is(err, errConnectionLost) ||
		!errors.Is(err, io.EOF) {
		t.Errorf("after the loss: %v", err)
	}

	if r.Connected() {
		t.Error("connected after the loss")
	}
	if err := errors.Join(r.Close(t.Context()), r.Close(t.Context())); err != nil {
		t.Errorf("goami may close as often as it likes: %v", err)
	}
}

func TestClientDropsAnswersBeyondTheBound(t *testing.T) {
	c, _ := pipeClient(t)
	r := c.request()
	for range 10 * maxAnswers {
		c.route([]byte("Response: Success\r\nActionID: " + r.id + "\r\n\r\n"))
	}
	if got := len(r.answers); got != maxAnswers {
		t.Errorf("%d answers wait, want %d", got, maxAnswers)
	}
}

func TestClientWriteHasADeadline(t *testing.T) {
	near, far := net.Pipe() // nobody reads
	defer func() { _ = near.Close(); _ = far.Close() }()
	c := newClient(near, 10*time.Millisecond)
	if err := c.request().Send("Action: Ping\r\n\r\n"); !isTimeout(err) {
		t.Errorf("error %v, want a timeout", err)
	}
}

func TestField(t *testing.T) {
	packet := []byte("Response: Error\r\nActionID:7\r\nMessage: a: b\r\nX\r\n\r\n")
	for name, want := range map[string]string{
		"Response": "Error", "ActionID": "7",
		"Message": "a: b", "X": "", "Action": "",
	} {
		if got := string(field(packet, name)); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}
