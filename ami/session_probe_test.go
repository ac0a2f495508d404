package ami

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/ami/amitest"
)

func TestProbeReportsWhatItFound(t *testing.T) {
	pbx := listenPBX(t, amitest.Config{})
	report, err := Probe(t.Context(), testConfig(pbx), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if report.Version != "11.0.0" || report.Auth != AuthMD5 || !report.Own.IsValid() ||
		report.Took <= 0 || report.Latency <= 0 ||
		report.Events != 1 || report.Problem != ProblemNone {
		t.Errorf("report %+v", report)
	}

	until(t, "the session is gone", func() bool { return pbx.Sessions() == 0 })
}

func TestProbeListensOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pbx := newPBX(t, amitest.Behaviour{})
		go func() {
			time.Sleep(2 * time.Second)
			pbx.Emit(amitest.NewPeer("198.51.100.7:5062").GuessAccount("1")...)
		}()

		var kinds []Kind
		started := time.Now()
		report, err := Probe(t.Context(), testConfig(pbx), 5*time.Second, func(e Event) {
			kinds = append(kinds, e.Kind)
		})
		if err != nil || len(kinds) != 3 || report.Events != 3 ||
			time.Since(started) != 5*time.Second+HoldTime {
			t.Errorf("report %+v, %v, events %v after %s", report, err, kinds, time.Since(started))
		}
	})
}

func TestProbeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pbx := newPBX(t, amitest.Behaviour{NoPong: true})
		report, err := Probe(t.Context(), testConfig(pbx), time.Minute, nil)
		if ProblemOf(err) != ProblemSilent || report.Problem != ProblemSilent ||
			report.Version != "11.0.0" {
			t.Errorf("unanswered Ping: %v, report %+v", err, report)
		}

		// The PBX goes away while Probe listens.
		pbx.Behave(func(b *amitest.Behaviour) { b.NoPong = false })
		go func() {
			time.Sleep(time.Second)
			pbx.Cut()
		}()

		_, err = Probe(t.Context(), testConfig(pbx), time.Minute, nil)
		if ProblemOf(err) != ProblemLost {
			t.Errorf("cut while listening: %v", err)
		}

		// The caller gives up.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()

		if _, err := Probe(ctx, testConfig(pbx), time.Minute, nil); err == nil || ctx.Err() == nil {
			t.Errorf("end of ctx: %v", err)
		}
	})

	// Not an error of the PBX, and no connection is made.
	if _, err := Probe(t.Context(), Config{}, 0, nil); err == nil {
		t.Error("an empty configuration was let in")
	}
}

// TestProbeTellsStrangeEventsFromNone has a PBX whose SuccessfulAuth has another form than that of
// Asterisk.
func TestProbeTellsStrangeEventsFromNone(t *testing.T) {
	for name, tc := range map[string]struct {
		event string
		want  Problem
	}{
		// The user may not read the class.
		"none": {"", ProblemNoSecurity},
		"another event": {
			"Event: FullyBooted\r\nPrivilege: system,all\r\n\r\n",
			ProblemNoSecurity,
		},

		// The user may, but the events are not as Asterisk prints them.
		"another severity": {
			asterisk{kind: KindSuccessfulAuth, service: "AMI", severity: "Debug"}.String(),
			ProblemStrangeEvents,
		},
		"of no known order": {
			"Event: SuccessfulAuth\r\nEventTV: now\r\n\r\n",
			ProblemStrangeEvents,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// It accepts any login, and then sends its own idea of an event.
				dial := func(context.Context, string, string) (net.Conn, error) {
					client, server := net.Pipe()
					go func() {
						defer server.Close()
						say := func(text string) { _, _ = server.Write([]byte(text)) }
						say("Asterisk Call Manager/11.0.0\r\n")

						answerActions(server, func(action, id, _ string) {
							if action == "Challenge" {
								say("Response: Success\r\nActionID: " + id +
									"\r\nChallenge: 1\r\n\r\n")
							} else {
								say("Response: Success\r\nActionID: " + id + "\r\n\r\n" + tc.event)
							}
						})
					}()

					return client, nil
				}

				c := Config{
					Address: "pbx:5038", Username: "amifend", Secret: NewSecret("hunter2"),
					Dial: dial,
				}
				if _, err := Probe(t.Context(), c, 0, nil); ProblemOf(err) != tc.want {
					t.Errorf("got %s: %v, want %s", ProblemOf(err), err, tc.want)
				}
			})
		})
	}
}
