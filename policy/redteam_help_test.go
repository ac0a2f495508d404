package policy

import (
	"bytes"
	"testing"
	"time"
)

// mustRestore exports a lab's engine, restores it as of now, and returns how long the attacker's ban still runs.
func mustRestore(t *testing.T, l *lab, now int64) time.Duration {
	var b bytes.Buffer
	if err := l.e.Export(&b); err != nil {
		t.Fatal(err)
	}
	e, err := Restore(l.e.opt, now, &b)
	if err != nil {
		t.Fatal(err)
	}
	ban, ok := e.Ban(hostAddr(attacker))
	if !ok {
		return 0
	}
	return time.Duration(ban.Until - now)
}
