package operate_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// A live screen sees who fails, who is banned, and what was counted.
func TestLive(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		o.attempts("203.0.113.5", 20)
		o.attempts("203.0.113.6", 1)
		l, err := o.Live(t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}

		if len(l.Sources) != 2 || l.Sources[0].Name != "203.0.113.5" || l.Sources[0].Failures != 20 ||
			!l.Sources[0].Banned || l.Sources[1].Banned {
			t.Errorf("sources %+v", l.Sources)
		}
		if len(l.Accounts) != 1 || l.Accounts[0].Failures != 21 || l.Accounts[0].Server != "pbx" {
			t.Errorf("accounts %+v", l.Accounts)
		}
		if l.Running != 1 || len(l.Bans) != 1 || l.Bans[0].Prefix.String() != "203.0.113.5/32" {
			t.Errorf("%d bans: %+v", l.Running, l.Bans)
		}
		if l.Counts.Attempts != 21 || l.Counts.Bans != 1 || l.Counts.Dropped == nil || len(l.Busy) != 0 ||
			l.Dry {
			t.Errorf("counts %+v, busy %q", l.Counts, l.Busy)
		}
	})
}

// Many screens are answered by one question of the owners a second.
func TestLiveIsAskedOnceASecond(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		first, err := o.Live(t.Context(), 20)
		if err != nil {
			t.Fatal(err)
		}
		o.attempts("203.0.113.5", 20)
		second, _ := o.Live(t.Context(), 10)
		time.Sleep(time.Second)
		third, _ := o.Live(t.Context(), 10)
		if !second.At.Equal(first.At) || len(second.Bans) != 0 || len(third.Bans) != 1 {
			t.Errorf("answers of %v, %v and %v", first.At, second.At, third.At)
		}
	})
}

// A list has no more than was asked for, and the newest of it.
func TestLiveIsCut(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		for i := range 40 {
			o.impose(t, fmt.Sprintf("10.1.%d.1/32", i), "all", time.Hour)
			time.Sleep(time.Second)
		}
		l, err := o.Live(t.Context(), 3)
		if err != nil || l.Running != 40 || len(l.Bans) != 3 || l.Bans[0].Prefix.String() != "10.1.39.1/32" {
			t.Errorf("%v: %d bans, %+v", err, l.Running, l.Bans)
		}
	})
}

// A kernel that hangs hides the bans, and nothing else.
func TestLiveWhileTheKernelHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t, 0)
		stop := o.start()
		synctest.Wait()
		o.kernel.Gate = make(chan struct{})
		o.attempts("203.0.113.5", 20)
		l, err := o.Live(t.Context(), 20)
		if err != nil || len(l.Sources) != 1 || fmt.Sprint(l.Busy) != "[firewall]" {
			t.Errorf("%v: sources %+v, busy %q", err, l.Sources, l.Busy)
		}
		close(o.kernel.Gate)
		synctest.Wait()
		stop()
	})
}

// The last hour is kept by the minute, and no more of it.
func TestLiveMinutes(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go o.WatchMinutes(ctx)
		synctest.Wait()

		time.Sleep(30 * time.Second)
		for i := range 100 {
			o.attempts(fmt.Sprintf("10.%d.0.1", i), 2)
			time.Sleep(time.Minute)
		}
		l, err := o.Live(t.Context(), 20)
		if err != nil || len(l.Minutes) != 61 {
			t.Fatalf("%v: %d minutes", err, len(l.Minutes))
		}
		for i, m := range l.Minutes[:60] {
			if m != (control.LiveCounts{Attempts: 2, Dropped: m.Dropped}) || m.Dropped == nil {
				t.Errorf("minute %d: %+v", i, m)
			}
		}
		cancel()
		synctest.Wait()
	})
}
