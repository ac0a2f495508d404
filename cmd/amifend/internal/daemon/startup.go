package daemon

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// startTime limits how long the service manager waits for a start.
const startTime = 10 * time.Second

// startMost limits how long the watchdog is fed for a late start. After that, the service manager
// may start the daemon anew.
const startMost = 5 * time.Minute

// startup reports to the service manager how far the start has come. A late start is reported as
// ready, and the status names what it still waits for. Otherwise the service manager would end it,
// and units that start after the daemon would wait.
type startup struct {
	options Options
	began   time.Time
	timer   *time.Timer

	mu       sync.Mutex
	waits    []string // the parts that are not there yet
	lacks    []string // the parts that the daemon goes on without
	ready    bool     // reported
	finished bool
}

// newStartup returns the report of a start that begins now. It must be stopped.
func newStartup(o Options) *startup {
	s := &startup{options: o, began: time.Now()}
	s.timer = time.AfterFunc(startTime, s.late)
	return s
}

// await notes that the start waits for a part, until the function that it returns is called.
func (s *startup) await(part string) (there func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waits = append(s.waits, part)

	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.waits = slices.DeleteFunc(s.waits, func(w string) bool { return w == part })
	}
}

// without notes that the daemon goes on without a part.
func (s *startup) without(part string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lacks = append(s.lacks, part)
}

// missing returns what the daemon went on without, for its status; "" if it has everything.
func (s *startup) missing() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lacks, ", ")
}

// late reports a start that is late as ready.
func (s *startup) late() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finished {
		return
	}

	s.options.Status("starting: waits for " + strings.Join(s.waits, ", "))
	if !s.ready {
		s.ready = true
		s.options.Ready()
	}

	// From now on the watchdog runs, and nobody else feeds it yet.
	s.options.Alive()
	if s.options.Watchdog > 0 && time.Since(s.began) < startMost {
		s.timer.Reset(s.options.Watchdog / watchdogShare)
	}
}

// finish reports that every part runs.
func (s *startup) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.finished = true
	if !s.ready {
		s.ready = true
		s.options.Ready()
	}
}

// stop ends the report.
func (s *startup) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finished = true
	s.timer.Stop()
}
