package ami

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/amifend/amifend/ami/amitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testUser   = "amifend"
	testSecret = "p%s:w %d;=1" // all that a naive client mangles
)

// run is a Session under test, with its events and changes.
type run struct {
	t       *testing.T
	session *Session
	cancel  context.CancelFunc
	done    chan struct{}

	mu      sync.Mutex
	events  []Event
	changes []Change
	block   chan struct{} // emit waits for it, if not nil
}

// startSession runs a session against pbx until the test ends. change may alter the configuration.
func startSession(t *testing.T, pbx *amitest.PBX, change func(*Config)) *run {
	t.Helper()
	r := &run{t: t, done: make(chan struct{})}
	c := testConfig(pbx)

	// Run calls emit and OnChange from different goroutines.
	c.OnChange = func(c Change) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.changes = append(r.changes, c)
	}

	if change != nil {
		change(&c)
	}
	var err error
	if r.session, err = NewSession(c); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() {
		defer close(r.done)
		if err := r.session.Run(ctx, r.emit); err != nil {
			t.Errorf("Run returned %v", err)
		}
	}()

	t.Cleanup(r.stop)
	return r
}

// connectedSession returns a PBX and a session that has been logged in to it for a moment. It is
// for tests within synctest, where a second passes at once.
func connectedSession(t *testing.T) (*amitest.PBX, *run) {
	t.Helper()
	pbx := newPBX(t, amitest.Behaviour{})
	r := startSession(t, pbx, nil)
	time.Sleep(time.Second)
	return pbx, r
}

// holdUp makes emit wait at the next event until release is called.
func (r *run) holdUp() (release func()) {
	block := make(chan struct{})
	r.mu.Lock()
	defer r.mu.Unlock()

	r.block = block
	return func() { close(block) }
}

func testConfig(pbx *amitest.PBX) Config {
	address := pbx.Addr()
	if address == "" {
		address = "192.0.2.10:5038"
	}
	return Config{
		Name: "pbx1", Address: address, Username: testUser, Secret: NewSecret(testSecret),
		Dial: pbx.Dial,
	}
}

func (r *run) stop() {
	r.cancel()
	<-r.done
}

// emit keeps a copy of the event, since its fields are borrowed.
func (r *run) emit(e Event) {
	e.Account = slices.Clone(e.Account)
	e.Session = slices.Clone(e.Session)
	e.Detail = slices.Clone(e.Detail)

	r.mu.Lock()
	r.events = append(r.events, e)
	block := r.block
	r.mu.Unlock()

	if block != nil {
		<-block
	}
}

func (r *run) got() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

func (r *run) told() []Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.changes)
}

// last waits for nothing: it returns the last change.
func (r *run) last() Change {
	r.t.Helper()
	told := r.told()
	if len(told) == 0 {
		r.t.Fatal("OnChange was never called")
	}
	return told[len(told)-1]
}

// until waits for a condition in real time, five seconds at most.
func until(t *testing.T, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !met(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func newPBX(t *testing.T, b amitest.Behaviour) *amitest.PBX {
	t.Helper()
	pbx := amitest.New(amitest.Config{Username: testUser, Secret: testSecret, Behaviour: b})
	t.Cleanup(pbx.Close)
	return pbx
}

func listenPBX(t *testing.T, c amitest.Config) *amitest.PBX {
	t.Helper()
	c.Username, c.Secret = testUser, testSecret
	return amitest.Run(t, c)
}

func TestSessionLogsInByMD5AndEmitsEvents(t *testing.T) {
	pbx := listenPBX(t, amitest.Config{})
	r := startSession(t, pbx, nil)
	until(t, "connected", func() bool { return r.session.Status().Phase == PhaseConnected })
	pbx.Emit(amitest.NewPeer("198.51.100.7:5062").GuessAccount("1000")...)
	until(t, "three events", func() bool { return len(r.got()) == 3 })

	// First comes our own login, then the two events of the guess.
	events := r.got()
	own := events[0]
	if !own.Own || own.Kind != KindSuccessfulAuth || own.Service != ServiceAMI {
		t.Errorf("first event is %+v, want our own SuccessfulAuth", own)
	}

	guess := events[1]
	if guess.Kind != KindInvalidAccountID ||
		guess.Source != netip.MustParseAddrPort("198.51.100.7:5062") ||
		string(guess.Account) != "1000" || guess.Own {
		t.Errorf("second event is %+v", guess)
	}

	until(t, "counted", func() bool { return r.session.Status().Decoder.Packets == 5 })
	s := r.session.Status()
	if s.Version != "11.0.0" || s.Auth != AuthMD5 || s.Events != 3 || s.Problem != ProblemNone ||
		s.Own != own.Source {
		t.Errorf("status %+v", s)
	}

	// With MD5 the secret must stay here, and only one class of events may be asked for.
	for _, a := range pbx.Actions() {
		if a.Fields["Secret"] != "" {
			t.Error("the secret went over the wire")
		}
		if a.Name == "Login" && a.Fields["Events"] != "security" {
			t.Errorf("Events is %q", a.Fields["Events"])
		}
	}

	if c := r.last(); c.Phase != PhaseConnected || c.Server != "pbx1" || c.Own != own.Source ||
		c.Gap != 0 {
		t.Errorf("change %+v", c)
	}
}

func TestSessionPlainLoginWherePrivate(t *testing.T) {
	pbx := listenPBX(t, amitest.Config{Behaviour: amitest.Behaviour{NoMD5: true}})
	r := startSession(t, pbx, nil)
	until(t, "connected", func() bool { return r.session.Status().Phase == PhaseConnected })

	if got := r.session.Status().Auth; got != AuthPlain {
		t.Errorf("login by %s, want plain: the PBX does no MD5", got)
	}
	actions := pbx.Actions()
	if got := actions[len(actions)-1].Fields["Secret"]; got != testSecret {
		t.Errorf("the PBX got the secret %q, want %q", got, testSecret)
	}
}

// farConn is a connection whose other end looks like another host.
type farConn struct{ net.Conn }

func (farConn) RemoteAddr() net.Addr {
	return &net.TCPAddr{
		IP:   net.IPv4(192, 0, 2, 10),
		Port: 5038,
	}
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

func far(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		return farConn{conn}, err
	}
}

func TestSessionNeverSendsSecretInClearToAnotherHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pbx := newPBX(t, amitest.Behaviour{NoMD5: true})
		r := startSession(t, pbx, func(c *Config) { c.Dial = far(pbx.Dial) })
		time.Sleep(time.Minute)

		if got := r.session.Status().Problem; got != ProblemPlainForbidden {
			t.Errorf("problem %q, want %q", got, ProblemPlainForbidden)
		}

		for _, a := range pbx.Actions() {
			if a.Name != "Challenge" {
				t.Errorf("sent %s", a.Name)
			}
		}
	})
}

func TestSessionReturnsWhenContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pbx := newPBX(t, amitest.Behaviour{})
		r := startSession(t, pbx, nil)
		time.Sleep(time.Second)

		if got := r.session.Status().Phase; got != PhaseConnected {
			t.Fatalf("phase %s", got)
		}
		if err := r.session.Run(t.Context(), r.emit); err == nil {
			t.Error("a second Run was let in")
		}

		r.stop()
		if got := r.session.Status().Phase; got != PhaseStopped {
			t.Errorf("phase %s after the end", got)
		}
	})
}

func TestNewSessionRefusesWhatCannotWork(t *testing.T) {
	good := Config{Address: "127.0.0.1:5038", Username: "u", Secret: NewSecret("s")}
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no port":          {func(c *Config) { c.Address = "pbx" }, "address"},
		"port 0":           {func(c *Config) { c.Address = "pbx:0" }, "address"},
		"port too large":   {func(c *Config) { c.Address = "pbx:65536" }, "address"},
		"no host":          {func(c *Config) { c.Address = ":5038" }, "address"},
		"no username":      {func(c *Config) { c.Username = "" }, "username"},
		"line in username": {func(c *Config) { c.Username = "u\r\nAction: Command" }, "username"},
		"LF in secret":     {func(c *Config) { c.Secret = NewSecret("hid\nden") }, "secret"},
		"CR in secret":     {func(c *Config) { c.Secret = NewSecret("hid\rden") }, "secret"},
		"no secret":        {func(c *Config) { c.Secret = Secret{} }, "secret"},
		"long secret": {func(c *Config) {
			c.Secret = NewSecret(strings.Repeat("hidden", 200))
		}, "secret"},
		"negative timeout": {func(c *Config) { c.Timeouts.Ping = -1 }, "timeouts"},
		"no such CA": {func(c *Config) {
			c.TLS = &TLS{CAFile: "/nonexistent/ca.pem"}
		}, "CA file"},
		"CA without PEM": {func(c *Config) { c.TLS = &TLS{CAFile: empty} }, "CA file"},
		"short fingerprint": {func(c *Config) {
			c.TLS = &TLS{Fingerprint: "AA:BB"}
		}, "fingerprint"},
		"odd fingerprint": {func(c *Config) { c.TLS = &TLS{Fingerprint: "xyz"} }, "fingerprint"},
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			tc.change(&c)
			_, err := NewSession(c)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v, want one about %s", err, tc.want)
			}

			// Parts of a broken secret are secret too.
			if strings.Contains(err.Error(), "hid") || strings.Contains(err.Error(), "den") {
				t.Errorf("error %v shows the secret", err)
			}
		})
	}

	if _, err := NewSession(good); err != nil {
		t.Errorf("a good configuration: %v", err)
	}
}

func TestConfigWarnings(t *testing.T) {
	// Nobody is between us and this machine itself, and a pin replaces the CA.
	for name, tc := range map[string]struct {
		config Config
		want   string
	}{
		"loopback":      {Config{Address: "127.0.0.1:5038"}, ""},
		"loopback IPv6": {Config{Address: "[::1]:5038"}, ""},
		"localhost":     {Config{Address: "localhost:5038"}, ""},
		"another host":  {Config{Address: "192.0.2.10:5038"}, "without TLS"},
		"TLS":           {Config{Address: "192.0.2.10:5039", TLS: &TLS{}}, ""},
		"unverified TLS": {
			Config{Address: "192.0.2.10:5039", TLS: &TLS{InsecureSkipVerify: true}},
			"certificate is not checked",
		},
		"pinned all over": {Config{Address: "192.0.2.10:5039", TLS: &TLS{
			InsecureSkipVerify: true,
			Fingerprint:        "x",
		}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var got string
			for _, w := range tc.config.Warnings() {
				got += w.String() + "\n"
				if w.Option == "" || w.Risk == "" || w.Advice == "" {
					t.Errorf("incomplete: %+v", w)
				}
			}

			if (tc.want == "") != (got == "") || !strings.Contains(got, tc.want) {
				t.Errorf("warnings %q, want %q", got, tc.want)
			}
		})
	}
}

func TestProblemOf(t *testing.T) {
	if got := ProblemOf(nil); got != ProblemNone {
		t.Errorf("nil is %s", got)
	}
	if got := ProblemOf(errors.New("x")); got != ProblemUnknown {
		t.Errorf("another error is %s", got)
	}

	for p := ProblemUnresolved; p <= ProblemUnknown; p++ {
		if p.Advice() == "" || strings.Contains(p.Advice(), "\n") || p.String() == "" {
			t.Errorf("problem %d has no name or no one line of advice", p)
		}
	}
}

// A program without OnChange learns of a wrong secret from the log, and no secret is in it.
func TestSessionLogsWhereNobodyListens(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(before)

	synctest.Test(t, func(t *testing.T) {
		pbx := newPBX(t, amitest.Behaviour{})
		c := testConfig(pbx)
		c.Secret = NewSecret("quite-another")
		s, err := NewSession(c)
		if err != nil {
			t.Fatal(err)
		}

		// Several attempts fail alike, and are logged once.
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		if err := s.Run(ctx, func(Event) {}); err != nil {
			t.Error(err)
		}
	})

	got := log.String()
	if strings.Count(got, "AMI session is down") != 1 ||
		!strings.Contains(got, `problem="login refused"`) ||
		!strings.Contains(got, "manager.conf") || strings.Contains(got, "quite-another") {
		t.Errorf("logged %q, want one line on the refused login", got)
	}
}
