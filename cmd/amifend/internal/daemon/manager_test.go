package daemon

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
)

// A service manager is told when the daemon is ready, how many PBXs it is logged in to, and that
// it is alive.
func TestServiceManager(t *testing.T) {
	s := newSite(t, 1)
	book, log := logtest.New()
	m := &manager{}
	o := m.options(40 * time.Millisecond)
	o.Config, o.Log, o.NetNS = &s.config, log, s.FD()

	ctx, cancel := context.WithCancel(t.Context())
	r := &running{Book: book, cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- Run(ctx, o) }()
	t.Cleanup(func() { r.stop(t) })

	var said []string
	has := func(line string) bool {
		said = append(said, m.heard()...)
		return strings.Contains("\n"+strings.Join(said, "\n")+"\n", "\n"+line+"\n")
	}
	eventually(t, "it is ready", func() bool { return has("ready") })
	eventually(t, "its status", func() bool { return has("logged in to 1 of 1 PBXs") })

	// An idle judge works once a second, so the watchdog must be fed again and again.
	for range 3 {
		said = nil
		eventually(t, "it is alive", func() bool { return has("alive") })
	}
}

// A judge that hangs does not feed the watchdog.
func TestWatchdogBites(t *testing.T) {
	_, log := logtest.New()
	shared, j, _, _ := parts(t, log, nil)
	m := &manager{}
	shared.options = m.options(20 * time.Millisecond)

	// Its goroutine never runs, so it makes no turn.
	d := &daemon{shared: shared, judge: j}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	d.feedWatchdog(ctx)
	if got := m.heard(); len(got) != 1 {
		t.Errorf("fed %d times, want 1, at the beginning", len(got))
	}
}
