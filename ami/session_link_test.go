package ami

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/ami/amitest"
)

// pingRefuser returns a Dial to a PBX that accepts the login and refuses each Ping. The refusal has
// the text that message makes of the key of the login.
func pingRefuser(message func(key string) string) dialFunc {
	return func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			say := func(text string) { _, _ = server.Write([]byte(text)) }
			say("Asterisk Call Manager/11.0.0\r\n")

			answerActions(server, func(action, id, key string) {
				if !answerLogin(say, action, id) { // it is a Ping
					say("Response: Error\r\nActionID: " + id + "\r\nMessage: " + message(key) +
						"\r\n\r\n")
				}
			})
		}()

		return client, nil
	}
}

// answerLogin answers the two actions of a login. It reports false for any other action.
func answerLogin(say func(text string), action, id string) bool {
	switch action {
	case "Challenge":
		say("Response: Success\r\nActionID: " + id + "\r\nChallenge: 1\r\n\r\n")
	case "Login":
		say("Response: Success\r\nActionID: " + id + "\r\n\r\n" +
			asterisk{kind: KindSuccessfulAuth, service: "AMI"}.String())
	default:
		return false
	}
	return true
}

func TestRefusedPingIsQuotedAndShowsNoSecret(t *testing.T) {
	for name, tc := range map[string]struct {
		message func(key string) string
		problem Problem
		text    string
	}{
		"escapes": {
			func(string) string { return "\x1b[2J\x1b]0;owned\a" }, ProblemUnknown,
			`the PBX answered "\x1b[2J\x1b]0;owned\x07"`,
		},
		// The other side repeats what it got from us.
		"secret": {
			func(string) string { return "hunter2 hunter2" }, ProblemUnknown,
			`"[redacted] [redacted]"`,
		},
		"key": {
			func(key string) string { return "<" + key + ">" }, ProblemUnknown,
			`"<[redacted]>"`,
		},
		"end": {
			func(string) string { return "Asterisk is shutting down" }, ProblemShuttingDown,
			`"Asterisk is shutting down"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := Config{
					Address: "pbx:5038", Username: "amifend", Secret: NewSecret("hunter2"),
					Dial: pingRefuser(tc.message),
				}

				_, err := Probe(t.Context(), c, 0, nil)
				if ProblemOf(err) != tc.problem || !strings.Contains(err.Error(), tc.text) {
					t.Errorf("got %s: %v, want %s: ... %s", ProblemOf(err), err, tc.problem,
						tc.text)
				}
			})
		})
	}
}

func countActions(pbx *amitest.PBX, name string) int {
	n := 0
	for _, a := range pbx.Actions() {
		if a.Name == name {
			n++
		}
	}
	return n
}

func TestSessionPingsAndStaysConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pbx := newPBX(t, amitest.Behaviour{})
		r := startSession(t, pbx, nil)
		time.Sleep(10*time.Minute + time.Second)

		if got := countActions(pbx, "Ping"); got != 40 {
			t.Errorf("%d Pings in ten minutes, want 40", got)
		}
		if s := r.session.Status(); s.Phase != PhaseConnected || s.Attempts != 1 || s.Gaps != 0 {
			t.Errorf("status %+v", s)
		}
	})
}

func TestSessionUnansweredPingIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pbx, r := connectedSession(t)

		// The Ping is on its way, and its answer has a millisecond left.
		pbx.Behave(func(b *amitest.Behaviour) { b.NoPong = true })
		time.Sleep(DefaultPingInterval + DefaultPingTimeout - time.Second - time.Millisecond)

		if len(r.told()) != 1 {
			t.Fatalf("lost before the answer's time was up: %+v", r.last())
		}

		// Our own event was held for HoldTime, so the session is that much younger.
		time.Sleep(HoldTime + 2*time.Millisecond)
		c := r.last()
		if c.Problem != ProblemSilent || !c.Lost || c.Phase != PhaseWaiting {
			t.Errorf("told %+v, want a loss by silence", c)
		}

		pbx.Behave(func(b *amitest.Behaviour) { b.NoPong = false })
		time.Sleep(2 * time.Second)
		if c := r.last(); c.Phase != PhaseConnected || c.Gap <= 0 || c.Gap > 2*time.Second {
			t.Errorf("told %+v, want connected again with the gap's length", c)
		}
		if got := pbx.Sessions(); got != 1 {
			t.Errorf("%d sessions at the PBX: the silent one was not closed", got)
		}
	})
}

func TestSessionLatePongBehindEventsIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pbx, r := connectedSession(t)

		// A backlog that takes 40 s to arrive: each Pong stands behind it.
		flood := amitest.NewPeer("198.51.100.7:5062")
		var steps []amitest.Step
		for range 40 {
			steps = append(steps, amitest.SendEvents(flood.GuessAccount("1")...),
				amitest.Pause(time.Second))
		}

		pbx.Play(steps...)
		time.Sleep(2 * time.Minute)
		if s := r.session.Status(); s.Phase != PhaseConnected || s.Gaps != 0 || s.Events != 81 {
			t.Errorf("status %+v", s)
		}
	})
}

func TestSessionWithoutPongButWithBytesIsLostInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pbx := newPBX(t, amitest.Behaviour{NoPong: true})
		r := startSession(t, pbx, nil)
		flood := amitest.NewPeer("198.51.100.7:5062")
		for range 100 {
			time.Sleep(time.Second)
			pbx.Emit(flood.Refresh("1")...)
		}

		if told := r.told(); len(told) < 2 || told[1].Problem != ProblemSilent {
			t.Errorf("told %+v", told)
		}
	})
}

// TestSessionReadsOnAfterACutThatAPingNoticed has the PBX go away while emit is held up: the Ping
// fails first, but the reader has events to hand out.
func TestSessionReadsOnAfterACutThatAPingNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pbx, r := connectedSession(t)
		release := r.holdUp()

		// emit blocks at the event, and the PBX ends meanwhile.
		peer := amitest.NewPeer("198.51.100.7:5062")
		pbx.Emit(peer.Refresh("1")...)
		synctest.Wait()
		pbx.Stop()
		time.Sleep(time.Minute)

		// The Ping has failed, but the loss waits for the reader.
		if told := r.told(); len(told) != 1 {
			t.Fatalf("told %+v while the reader is held up", told[1:])
		}
		release()
		time.Sleep(time.Second)

		if c := r.told()[1]; c.Problem != ProblemTooSlow || !c.Lost {
			t.Errorf("told %+v", c)
		}
	})
}

// TestSessionHearsAPongBehindATornPacket: the rest of it never comes, and no other event either.
func TestSessionHearsAPongBehindATornPacket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pbx, r := connectedSession(t)
		guess := amitest.Packets(amitest.NewPeer("198.51.100.7:5062").GuessAccount("1")...)
		head, _, _ := strings.Cut(string(guess), "SessionID: ")
		pbx.Play(amitest.Send([]byte(head + "\r\n")))
		time.Sleep(10 * time.Minute)

		if s := r.session.Status(); s.Phase != PhaseConnected || s.Gaps != 0 {
			t.Errorf("status %+v", s)
		}
	})
}
