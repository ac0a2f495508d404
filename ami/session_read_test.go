package ami

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/ami/amitest"
)

func TestSessionSaysHowTheStreamEnded(t *testing.T) {
	event := amitest.SendEvents(amitest.NewPeer("198.51.100.7:5062").GuessAccount("1")...)
	packets := amitest.Packets(amitest.NewPeer("198.51.100.7:5062").GuessAccount("1")...)
	half := amitest.Send(packets[:200])

	for name, tc := range map[string]struct {
		steps []amitest.Step
		want  Problem
		text  string
	}{
		// Asterisk stopped, or closed a stream that was too far behind.
		"between two packets": {[]amitest.Step{event, amitest.Cut()}, ProblemLost, "read: "},
		"inside a packet": {
			[]amitest.Step{event, half, amitest.Cut()},
			ProblemTooSlow,
			"middle of a packet",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pbx, r := connectedSession(t)
				pbx.Play(tc.steps...)
				synctest.Wait()

				c := r.last()
				if c.Problem != tc.want || !strings.Contains(c.Err.Error(), tc.text) || !c.Lost {
					t.Errorf("told %+v, want %s", c, tc.want)
				}
				if got := r.session.Status().Gaps; got != 1 {
					t.Errorf("%d gaps", got)
				}
			})
		})
	}
}

func TestSessionCountsStallsAndBlamesThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pbx, r := connectedSession(t)
		release := r.holdUp()

		pbx.Emit(amitest.NewPeer("198.51.100.7:5062").Refresh("1")...)

		// Many Pings go unanswered, but only because emit holds up the reader.
		time.Sleep(2 * time.Minute)
		if s := r.session.Status(); s.Phase != PhaseConnected {
			t.Fatalf("a blocked emit lost the session: %+v", s)
		}

		release()
		time.Sleep(time.Second)
		s := r.session.Status()
		if s.Stalls != 1 || s.Stalled != 2*time.Minute || s.Phase != PhaseConnected {
			t.Errorf("status %+v, want one stall of 2 min", s)
		}

		// The loss right after the stall is blamed on it.
		pbx.Cut()
		synctest.Wait()
		if c := r.last(); c.Problem != ProblemTooSlow || !strings.Contains(c.Err.Error(), "2m0s") {
			t.Errorf("told %+v", c)
		}
	})
}

// TestSessionCutOffByRealBacklog lets a PBX on a real port run into a client that does not read.
func TestSessionCutOffByRealBacklog(t *testing.T) {
	pbx := listenPBX(t, amitest.Config{})
	r := startSession(t, pbx, nil)
	until(t, "connected", func() bool { return r.session.Status().Phase == PhaseConnected })
	release := r.holdUp()

	flood := amitest.NewPeer("198.51.100.7:5062")
	for pbx.Sessions() > 0 {
		pbx.Emit(flood.GuessAccount("1000")...)
	}
	release()
	until(t, "told", func() bool { return r.last().Lost })

	if c := r.last(); c.Problem != ProblemTooSlow {
		t.Errorf("told %+v", c)
	}
}

func TestSessionReleasesHeldEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pbx, r := connectedSession(t)

		// An event of chan_sip is not final before the next one begins, and none comes.
		pbx.Emit(amitest.Event{
			Kind: amitest.InvalidPassword, Service: "SIP", Account: "1000",
			Session: "0x7fa2b0009eb0", Remote: netip.MustParseAddrPort("198.51.100.11:5060"),
		})
		time.Sleep(HoldTime - time.Millisecond)

		if got := len(r.got()); got != 1 {
			t.Fatalf("%d events before HoldTime passed, want our own alone", got)
		}
		time.Sleep(2 * time.Millisecond)

		if got := r.got(); len(got) != 2 || got[1].Kind != KindInvalidPassword {
			t.Errorf("events %+v", got)
		}
	})
}

// TestSessionIgnoresEventsBeforeTheLogin has a server that reports attackers, and our own address,
// to someone who is not logged in.
func TestSessionIgnoresEventsBeforeTheLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		early := amitest.Event{
			Kind: amitest.SuccessfulAuth, Service: "AMI", Account: testUser,
			Session: "0x7fb2fc0018d0", Transport: "TCP",
			Remote: netip.MustParseAddrPort("192.0.2.77:4000"),
			Fields: []amitest.Field{
				{Name: "UsingPassword", Value: "0"},
				{Name: "SessionTV", Value: "2026-11-23T02:54:22.812+0000"},
			},
		}

		pbx := newPBX(t, amitest.Behaviour{
			NoLogin: true,
			Banner: "Asterisk Call Manager/11.0.0\r\n" + string(early.Bytes()) +
				string(amitest.Packets(amitest.NewPeer("198.51.100.7:5062").GuessAccount("1")...)),
		})

		// The packets were decoded, and still none became an event or our own address.
		r := startSession(t, pbx, nil)
		time.Sleep(20 * time.Second)
		s := r.session.Status()
		if len(r.got()) != 0 || s.Own.IsValid() || s.Problem != ProblemLoginTimeout ||
			s.Decoder.Packets == 0 {
			t.Errorf("events %+v, status %+v", r.got(), s)
		}
	})
}

func TestSessionDecodesEverySplit(t *testing.T) {
	peer := amitest.NewPeer("198.51.100.7:5062")
	data := amitest.Packets(append(peer.Crack("1000", 3), peer.GuessAccount("2000")...)...)
	for _, size := range []int{1, 7, 100, len(data)} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pbx, r := connectedSession(t)
				pbx.Play(amitest.Split(data, size, 3*time.Millisecond)...)
				time.Sleep(time.Minute)

				if got := r.got(); len(got) != 7 {
					t.Errorf("%d events, want 7", len(got))
				}
			})
		})
	}
}

// TestSessionFindsItsOwnAddress tells our login apart from another one with the same manager user.
func TestSessionFindsItsOwnAddress(t *testing.T) {
	other := amitest.Event{
		Kind: amitest.SuccessfulAuth, Service: "AMI", Account: testUser, Session: "0x7fb2fc0018d0",
		Transport: "TCP",
		Local:     netip.MustParseAddrPort("0.0.0.0:5038"),
		Remote:    netip.MustParseAddrPort("192.0.2.77:4000"),
		Fields: []amitest.Field{
			{Name: "UsingPassword", Value: "0"},
			{Name: "SessionTV", Value: "2026-11-23T02:54:22.812+0000"},
		},
	}

	nat := netip.MustParseAddrPort("203.0.113.1:61000")
	for name, tc := range map[string]struct {
		behaviour amitest.Behaviour
		want      netip.AddrPort // zero: our end of the connection
	}{
		"without NAT": {},
		"behind NAT":  {amitest.Behaviour{SeenAs: nat}, nat},
	} {
		t.Run(name, func(t *testing.T) {
			pbx := listenPBX(t, amitest.Config{Behaviour: tc.behaviour})
			local := make(chan netip.AddrPort, 1)
			r := startSession(t, pbx, func(c *Config) {
				c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					conn, err := pbx.Dial(ctx, network, address)
					if err == nil {
						local <- conn.LocalAddr().(*net.TCPAddr).AddrPort()
					}
					return conn, err
				}
			})

			until(t, "connected", func() bool { return r.session.Status().Phase == PhaseConnected })

			// Another program logs in as the same user. That is not our address.
			pbx.Emit(other)
			until(t, "two events", func() bool { return len(r.got()) == 2 })

			want := tc.want
			if ours := <-local; !want.IsValid() {
				want = ours
			}
			if got := r.session.Status().Own; got != want {
				t.Errorf("own address %s, want %s", got, want)
			}

			if got := r.got(); !got[0].Own || got[1].Own {
				t.Errorf("own marks %t %t, want true false", got[0].Own, got[1].Own)
			}
		})
	}
}

// TestLinkPrefersItsEndOfTheConnection has the other login of our user come first.
func TestLinkPrefersItsEndOfTheConnection(t *testing.T) {
	ours, other := netip.MustParseAddrPort("127.0.0.1:1"),
		netip.MustParseAddrPort("192.0.2.77:4000")
	l := link{local: ours, meter: &meter{}, started: time.Now()}
	if !l.isOwn(other) || l.isOwn(other) {
		t.Error("the first one is assumed, and no other")
	}
	if !l.isOwn(ours) || l.meter.ownAddress() != ours {
		t.Error("ours is not preferred")
	}

	if l.isOwn(other) || l.isOwn(ours) || l.meter.ownAddress() != ours {
		t.Error("another one came after the certain one")
	}
	late := link{local: ours, meter: &meter{}, started: time.Now().Add(-time.Minute)}
	if late.isOwn(other) {
		t.Error("a login a minute later is not ours")
	}
}
