package ami

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
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
				switch action {
				case "Challenge":
					say("Response: Success\r\nActionID: " + id + "\r\nChallenge: 1\r\n\r\n")
				case "Login":
					say("Response: Success\r\nActionID: " + id + "\r\n\r\n" +
						asterisk{kind: KindSuccessfulAuth, service: "AMI"}.String())
				default: // a Ping
					say("Response: Error\r\nActionID: " + id + "\r\nMessage: " + message(key) +
						"\r\n\r\n")
				}
			})
		}()

		return client, nil
	}
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
