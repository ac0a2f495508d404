package operate_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// While the kernel hangs, the status says so, and the judge goes on.
func TestStatusOfAFirewallThatHangs(t *testing.T) {
	k := newOffice(t, 0)
	k.kernel.Gate = make(chan struct{})
	stop := k.start()
	for i := range 7 {
		k.in <- k.attempt(fmt.Sprintf("203.0.113.6:%d", 5060+i))
	}

	eventually(t, "a ban", func() bool {
		st, err := k.Status(t.Context())
		return err == nil && st.Firewall.State == "busy"
	})
	st, err := k.Status(t.Context())
	if err != nil || len(st.Health) == 0 ||
		!strings.Contains(st.Health[0].What, "has not answered") || st.Engine.Observed != 7 {
		t.Errorf("%+v, %v", st, err)
	}

	hurry, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := k.Bans(hurry, control.BanQuery{}); control.CodeOf(err) != control.CodeBusy {
		t.Errorf("error %v", err)
	}

	close(k.kernel.Gate)
	eventually(t, "the firewall is well again", func() bool {
		st, err := k.Status(t.Context())
		return err == nil && st.Firewall.State == "ok"
	})
	stop()
}

// However many ask, and however little they wait for the answers, the judge judges all that comes.
func TestNoRequestStallsTheJudge(t *testing.T) {
	k := newOffice(t, 0)
	stop := k.start()
	var askers sync.WaitGroup

	asking, enough := context.WithCancel(t.Context())
	for range 8 {
		askers.Go(func() {
			for asking.Err() == nil {
				_, _ = k.Status(asking) // the answers do not matter
				_, _ = k.Bans(asking, control.BanQuery{})
				gone, cancel := context.WithCancel(asking)
				cancel()
				_, _ = k.Status(gone) // asks, and does not wait
			}
		})
	}

	const sources = 2000
	for i := range sources {
		for n := range 7 {
			k.in <- k.attempt(fmt.Sprintf("10.0.%d.%d:%d", i/250, i%250+1, 5060+n))
		}
	}

	eventually(t, "all are judged", func() bool {
		st, err := k.judge.Status(t.Context())
		return err == nil && st.Stats.Observed == 7*sources
	})
	enough()
	stop()
	askers.Wait()
}
