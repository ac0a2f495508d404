package daemon

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/amifend/amifend/firewall/firewalltest"
)

func TestMain(m *testing.M) {
	if c := os.Getenv(envDaemon); c != "" {
		os.Exit(runDaemon(c))
	}
	firewalltest.Main(leakCheck{m})
}

// leakCheck fails the run if a goroutine is left after the tests.
type leakCheck struct{ m *testing.M }

func (l leakCheck) Run() int {
	if code := l.m.Run(); code != 0 {
		return code
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, "goleak:", err)
		return 1
	}
	return 0
}
