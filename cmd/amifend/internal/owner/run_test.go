package owner_test

import (
	"context"
	"errors"
	"testing"

	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
)

// A part that fails is started again, and the others go on.
func TestLasting(t *testing.T) {
	said, log := logtest.New()
	ctx, cancel := context.WithCancel(t.Context())
	runs := 0
	owner.KeepRunning(ctx, log, "watch", func() error {
		if runs++; runs == 2 {
			cancel()
		}
		return errors.New("no buffer space")
	})

	if l := said.Count(t, 1, "watch ended: starting it again", "")[0]; runs != 2 ||
		l.Text("err") == "" {
		t.Errorf("%d runs, said %v", runs, l)
	}
}
