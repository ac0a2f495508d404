package sensor

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
	"github.com/amifend/amifend/policy/refusals"
)

// recorder is a table that records what is watched.
type recorder struct {
	support firewall.SensorSupport
	watched []netip.Addr
	ended   bool
}

func (r *recorder) Sensor() firewall.SensorSupport { return r.support }

func (r *recorder) Refused(context.Context, func(firewall.Refusals)) error { return nil }

func (r *recorder) WatchAnswers(_ context.Context, a netip.Addr) error {
	r.watched = append(r.watched, a)
	return nil
}

func (r *recorder) EndSensor(context.Context) error { r.ended = true; return nil }

// newSensor returns a sensor with sessions of these servers, which connect to nothing.
func newSensor(
	t *testing.T, table Table, out chan<- stream.Sighting, servers ...protect.Server,
) (*Sensor, []*stream.Session) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	w := protect.New(protect.Config{Servers: servers})
	if _, err := w.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}

	var sessions []*stream.Session
	for i, s := range servers {
		one, err := stream.New(config.Server{
			Name: s.Name, Address: s.Host + ":5038", Host: s.Host, Username: "amifend", Secret: ami.NewSecret("x"),
		}, uint16(i), stream.Options{Log: log, Clock: clock.New(), Watcher: w, Feed: &control.Feed{}})
		if err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, one)
	}
	return New(Options{
		Table: table, Sessions: func() []*stream.Session { return sessions }, Watcher: w,
		Hasher: policy.NewHasher(policy.FixedSeed), Out: out, Clock: clock.New(), Log: log,
		Alerts: alerts.New(alerts.Options{Log: log}),
	}), sessions
}

// answer is an answer of 192.0.2.1 to 198.51.100.9.
func answer(status int, method, callID string) *firewall.Answer {
	return &firewall.Answer{
		From: netip.MustParseAddrPort("192.0.2.1:5060"), To: netip.MustParseAddrPort("198.51.100.9:4000"),
		Status: status, CallID: []byte(callID), Account: []byte("1001"), Method: []byte(method),
	}
}

func TestEvidence(t *testing.T) {
	for name, tt := range map[string]struct {
		answer   *firewall.Answer
		seen     bool
		accepted bool
	}{
		"a refusal":                {answer(401, "REGISTER", "\xffx"), true, false},
		"a call":                   {answer(407, "INVITE", "\xffx"), true, false},
		"a registration":           {answer(200, "REGISTER", "\xffx"), true, true},
		"an accepted call":         {answer(200, "INVITE", "\xffx"), true, true},
		"the end of a call":        {answer(200, "BYE", "\xffx"), false, false},
		"an ordinary one":          {answer(401, "REGISTER", "x"), false, false},
		"an ordinary success":      {answer(200, "REGISTER", "x"), false, false},
		"a Call-ID in valid UTF-8": {answer(401, "REGISTER", "é"), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			out := make(chan stream.Sighting, 1)
			table := &recorder{support: firewall.SensorSupport{Counts: true, Logs: true}}
			s, sessions := newSensor(t, table, out, protect.Server{Name: "far", Host: "203.0.113.1"},
				protect.Server{Name: "pbx", Host: "192.0.2.1"})
			s.locate(sessions)

			// A second one finds the queue full, and does not wait.
			s.answer(t.Context(), tt.answer)
			s.answer(t.Context(), tt.answer)
			st := s.Status()
			if !tt.seen {
				if len(out) != 0 || st.Evidence != 0 {
					t.Errorf("%d sightings, %+v", len(out), st)
				}
				return
			}
			o := (<-out).Observation
			if o.Kind != policy.KindUnseenRequest || o.Server != 1 || o.Accepted != tt.accepted ||
				o.Source != tt.answer.To || string(o.Account.Bytes()) != "1001" || o.Stream {
				t.Errorf("%+v", o)
			}
			if st.Evidence != 2 || st.Lost != 1 || len(table.watched) != 2 {
				t.Errorf("%+v, watched %v", st, table.watched)
			}
		})
	}
}

// An answer of somebody who is no PBX of the config is nothing.
func TestAnswersOfOthers(t *testing.T) {
	out := make(chan stream.Sighting, 1)
	s, sessions := newSensor(t, &recorder{support: firewall.SensorSupport{Counts: true}}, out,
		protect.Server{Name: "pbx", Host: "203.0.113.1"})
	s.answer(t.Context(), answer(401, "REGISTER", "\xff")) // before anybody is known
	s.locate(sessions)
	s.answer(t.Context(), answer(401, "REGISTER", "\xff"))
	if len(out) != 0 {
		t.Errorf("%+v", <-out)
	}
}

func TestLocate(t *testing.T) {
	s, sessions := newSensor(t, &recorder{}, nil,
		protect.Server{Name: "far", Host: "203.0.113.1", Addresses: []netip.Addr{netip.MustParseAddr("2001:db8::1")}},
		protect.Server{Name: "twin", Host: "203.0.113.1"}, protect.Server{Name: "here", Host: "127.0.0.1"})
	s.locate(sessions)

	if p, ok := s.places.of(netip.MustParseAddr("::ffff:203.0.113.1")); !ok || !p.shared {
		t.Errorf("the address of two: %+v, %t", p, ok)
	}
	if p, ok := s.places.of(netip.MustParseAddr("2001:db8::1")); !ok || p.shared || p.number != 0 {
		t.Errorf("an address of the config: %+v, %t", p, ok)
	}
	for _, a := range s.Watcher.Own() {
		if p, ok := s.places.of(a); !ok || p.shared || p.number != 2 {
			t.Errorf("own address %s: %+v, %t", a, p, ok)
		}
	}
	if _, ok := s.places.of(netip.MustParseAddr("198.51.100.1")); ok {
		t.Error("somebody else's address is a PBX's")
	}
}

// A sensor that may not judge says why, and ends with its rules taken out.
func TestOff(t *testing.T) {
	s := New(Options{
		Off: "because", Alerts: alerts.New(alerts.Options{Log: slog.New(slog.DiscardHandler)}),
		Log: slog.New(slog.DiscardHandler),
	})
	s.Run(t.Context()) // it returns at once
	if st := s.Status(); st.On || st.Problem != "because" {
		t.Errorf("%+v", st)
	}

	table := &recorder{support: firewall.SensorSupport{Counts: true}}
	s, _ = newSensor(t, table, nil, protect.Server{Name: "pbx", Host: "192.0.2.1"})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	for range 500 {
		if st := s.Status(); len(st.Servers) == 1 {
			if one := st.Servers[0]; one.Judging || !strings.Contains(one.Problem, "session is down") {
				t.Errorf("%+v", one)
			}
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if st := s.Status(); len(st.Servers) != 1 {
		t.Errorf("%+v", st)
	}
	cancel()
	<-done
	if !table.ended {
		t.Error("the rules stay in the kernel")
	}
}

// Whatever keeps a look from a conclusion begins the sums anew: refusals were counted, and their events
// are thrown away, so that going on would accuse phones.
func TestNoConclusionBeginsAnew(t *testing.T) {
	phone := refusals.Key{Addr: netip.MustParseAddr("192.0.2.9")}
	up := ami.Status{Phase: ami.PhaseConnected}
	for name, tt := range map[string]struct {
		change func(p *pbx)
		unread error
	}{
		"the kernel's counters were read in part":   {func(*pbx) {}, firewall.ErrGone},
		"another PBX answers from the same address": {func(p *pbx) { p.shared = true }, nil},
		"no address is known":                       {func(p *pbx) { p.placed = false }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, sessions := newSensor(t, &recorder{}, nil, protect.Server{Name: "pbx", Host: "192.0.2.1"})
			p := &pbx{session: sessions[0], judge: refusals.New(), begun: true, placed: true}
			p.session.TakeExplained() // begins to count
			p.conclude(1, up, nil)
			if !p.begun || p.silent != nil {
				t.Fatalf("%+v", p)
			}

			p.judge.Refused(phone, 50)
			tt.change(p)
			p.conclude(2, up, tt.unread)
			if p.begun || p.why == "" || len(p.silent) != 0 {
				t.Errorf("%+v", p)
			}
		})
	}
}

func TestAlertText(t *testing.T) {
	a := alert("pbx", []refusals.Silent{
		{Key: refusals.Key{Addr: netip.MustParseAddr("192.0.2.9"), Stream: true}, Refused: 9, Unseen: 7}, {},
	})
	want := "server pbx refused 9 requests over TCP from 192.0.2.9 or in its name, and raised no event of 7 of " +
		"them: somebody hides requests from Asterisk's log; and 1 more addresses"
	if a.Text != want || a.Source != "192.0.2.9" || a.Server != "pbx" {
		t.Errorf("%+v", a)
	}
}

func (r *recorder) OpenChallenges(firewall.ChallengeVisitor) (*firewall.ChallengeLog, error) {
	return nil, firewall.ErrUnsupported
}
