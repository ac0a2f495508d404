package ami

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/amifend/amifend/ami/amitest"
)

// stream is a connection whose other side repeats data until it was read n times; it costs no
// system call, so that the session alone is measured.
type stream struct {
	net.Conn
	data []byte
	at   int
	left int
}

func (s *stream) Read(b []byte) (int, error) {
	if s.left == 0 {
		return 0, net.ErrClosed
	}
	n := copy(b, s.data[s.at:])
	if s.at += n; s.at == len(s.data) {
		s.at, s.left = 0, s.left-1
	}
	return n, nil
}

func (*stream) SetReadDeadline(time.Time) error { return nil }
func (*stream) Close() error                    { return nil }
func (*stream) LocalAddr() net.Addr             { return nil }

// benchLink is a link that is logged in and reads data n times.
func benchLink(data []byte, n int, emit func(Event)) *link {
	config := &Config{Username: testUser, Timeouts: Timeouts{}.withDefaults()}
	conn := &stream{data: data, left: n}
	return &link{
		config: config, conn: conn, client: newClient(conn, time.Second),
		decoder: NewDecoder(testUser), meter: &meter{},
		emit: emit, started: time.Now(), verified: make(chan struct{}), done: make(chan struct{}),
		reader: reader{loggedIn: true},
	}
}

func benchData() []byte {
	var events []amitest.Event
	attacker, phone := amitest.NewPeer("198.51.100.7:5062"), amitest.NewPeer("10.20.0.101:5060")
	for range 25 {
		events = append(events, attacker.GuessAccount("1000")...)
		events = append(events, phone.Register("1001")...)
	}
	return amitest.Packets(events...)
}

// BenchmarkRead measures a session from the bytes of a connection to emit; events/s is what one
// session can take.
func BenchmarkRead(b *testing.B) {
	data := benchData()
	const inData = 100
	events := 0
	b.ReportAllocs()
	b.SetBytes(int64(len(data)) / inData)
	l := benchLink(data, b.N/inData+1, func(Event) { events++ })
	b.ResetTimer()

	_ = l.read()
	b.StopTimer()
	if events != (b.N/inData+1)*inData {
		b.Fatalf("%d events", events)
	}

	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
}

// TestReadAllocatesNothingPerEvent reads 10 and 210 times the same events: the difference must cost
// nothing.
func TestReadAllocatesNothingPerEvent(t *testing.T) {
	data := benchData()
	cost := func(n int) float64 {
		return testing.AllocsPerRun(3, func() { _ = benchLink(data, n, func(Event) {}).read() })
	}
	if few, many := cost(10), cost(210); many-few >= 100 { // 20,000 events; the buffer may grow
		t.Errorf("%.0f allocations for 1,000 events, %.0f for 21,000", few, many)
	}
}

// BenchmarkSession is the same over a real connection on loopback, the PBX's writing included.
func BenchmarkSession(b *testing.B) {
	pbx, err := amitest.Listen("127.0.0.1:0", amitest.Config{
		Username: testUser,
		Secret:   testSecret,
	})
	if err != nil {
		b.Fatal(err)
	}
	defer pbx.Close()

	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()

	s, err := NewSession(testConfig(pbx))
	if err != nil {
		b.Fatal(err)
	}
	got, done := make(chan struct{}), make(chan error)
	events := 0

	go func() {
		done <- s.Run(ctx, func(Event) {
			if events++; events == b.N+1 { // our own SuccessfulAuth is the first
				close(got)
			}
		})
	}()

	if err := pbx.WaitSessions(ctx, 1); err != nil {
		b.Fatal(err)
	}
	packet := amitest.Packets(amitest.NewPeer("198.51.100.7:5062").GuessAccount("1000")[0])
	b.SetBytes(int64(len(packet)))
	b.ResetTimer()

	const ahead = 5000 // below QueueLimit
	for sent := range b.N {
		for uint64(sent) > s.Status().Events+ahead {
			time.Sleep(time.Millisecond)
		}
		pbx.Write(packet)
	}

	<-got
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	cancel()

	if err := <-done; err != nil {
		b.Fatal(err)
	}
}
