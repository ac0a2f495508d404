package daemon

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// manager plays the service manager, and notes what it is told.
type manager struct {
	mu   sync.Mutex
	said []string
}

func (m *manager) say(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.said = append(m.said, what)
}

func (m *manager) options(watchdog time.Duration) Options {
	return Options{
		Ready: func() { m.say("ready") }, Status: func(line string) { m.say(line) },
		Alive: func() { m.say("alive") }, Watchdog: watchdog,
	}
}

// heard returns what the manager was told since the last call.
func (m *manager) heard() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	said := m.said
	m.said = nil
	return said
}

func expect(t *testing.T, m *manager, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := m.heard(); !slices.Equal(got, want) {
		t.Errorf("after %v: told %q, want %q", time.Since(testBegan), got, want)
	}
}

// testBegan is when each bubble of synctest begins.
var testBegan = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// A quick start is ready once, when every part runs.
func TestStartIsReadyOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &manager{}
		s := newStartup(m.options(time.Minute))
		defer s.stop()

		there := s.await("nftables")
		expect(t, m)
		there()
		s.finish()
		expect(t, m, "ready")

		time.Sleep(time.Hour)
		expect(t, m)
	})
}

// A start that hangs is ready after ten seconds, names what it waits for, and feeds the watchdog
// for five minutes.
func TestLateStartIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &manager{}
		s := newStartup(m.options(time.Minute))
		defer s.stop()

		s.await("nftables")()
		kernel, journal := s.await("the table"), s.await("the journal")
		time.Sleep(startTime - 1)
		expect(t, m)

		time.Sleep(time.Nanosecond)
		expect(t, m, "starting: waits for the table, the journal", "ready", "alive")
		kernel()
		time.Sleep(15 * time.Second)
		expect(t, m, "starting: waits for the journal", "alive")

		// The journal answers at last: the daemon is not reported as ready again.
		journal()
		s.finish()
		expect(t, m)

		m, hangs := &manager{}, 0
		s = newStartup(m.options(time.Minute))
		defer s.stop()
		s.await("the table")
		time.Sleep(time.Hour)
		for _, what := range m.heard() {
			if what == "alive" {
				hangs++
			}
		}
		if want := int((startMost-startTime)/(15*time.Second)) + 2; hangs != want {
			t.Errorf("fed the watchdog %d times in a start that hangs, want %d", hangs, want)
		}
	})
}
