package asynclog

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
)

func TestSpool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		said, log := logtest.New()
		ready := make(chan struct{})
		s := New(logtest.Stuck{Handler: log.Handler(), Ready: ready})

		l := slog.New(s)
		for i := range mostLines + 101 {
			l.Info("line", "n", i)
			if i == 0 {
				// The goroutine holds this one: taken later, it would leave room for a later line.
				synctest.Wait()
			}
		}

		l.WithGroup("g").With("server", "pbx").Info("lost too")
		close(ready)
		synctest.Wait()
		l.With("server", "pbx").WithGroup("g").Info("grouped", "k", "v")
		s.Close()
		lines := said.Said("line", "")
		if len(lines) != mostLines+1 {
			t.Errorf("%d lines, want the one in hand and %d", len(lines), mostLines)
		}

		for i, l := range lines {
			if l["n"] != float64(i) {
				t.Fatalf("line %d is %v", i, l)
			}
		}

		// The hundred that had no room, and the one of the group.
		lost := said.Count(t, 1,
			"lines of this log are lost: they were not read fast enough", "")[0]
		if lost["lost"] != 101.0 {
			t.Errorf("lost %v, want 101", lost["lost"])
		}
		if g := said.Count(t, 1, "grouped", "")[0]; g.Text("server") != "pbx" ||
			g.Text("g") != "map[k:v]" {
			t.Errorf("said %v", g)
		}
	})
}

// The end does not wait for a log that nobody reads.
func TestSpoolEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, log := logtest.New()
		ready := make(chan struct{})
		defer close(ready)
		s := New(logtest.Stuck{Handler: log.Handler(), Ready: ready})
		slog.New(s).Info("line")
		began := time.Now()
		s.Close()
		if took := time.Since(began); took != endTime {
			t.Errorf("took %s", took)
		}
	})
}
