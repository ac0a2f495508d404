package app

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/firewall"
)

// desk is where the daemon is asked and told by its operators. It owns little: it asks the goroutines that own the data,
// each for a bounded part at a time.
type desk struct {
	*daemon
	watcher *protect.Watcher
	started time.Time
	fleet   *fleet
	config  atomic.Pointer[config.Config] // as it is in force

	opened    chan struct{} // closed when the control socket is open, or cannot be opened
	reloading sync.Mutex
	servers   []string // names of all servers since the start, by number

	allowances allowances
	nameKeeper nameKeeper

	pulse       pulse
	remembering chan struct{} // holds a token while the journal is asked for the past
	counting    sync.Mutex    // while the kernel is asked what the deny lists dropped

	mu       sync.Mutex
	counted  time.Time // when the kernel's counters were read
	counters map[key]firewall.Element
}

func newDesk(d *daemon, w *protect.Watcher) *desk {
	k := &desk{daemon: d, watcher: w, started: time.Now(), fleet: &fleet{daemon: d}, servers: d.judge.servers, remembering: make(chan struct{}, 1), opened: make(chan struct{})}
	k.config.Store(d.Config)
	return k
}

// record tells the journal what an operator did.
func (k *desk) record(by control.Peer, what, object, reason string) {
	if k.records.journal == nil {
		return
	}
	if reason != "" {
		reason = ami.Quote([]byte(reason))
	}
	k.records.journal.Operation(journal.Operation{At: time.Now(), UID: int(by.UID), Says: by.Says, What: what, Object: object, Reason: reason})
}

// diskTime is how long an operator waits for the disk.
const diskTime = 2 * time.Second

// written waits until the journal has written all that it was told, so that what a command decided outlasts a crash right after it.
// It is false if that does not come about in time; the status says why.
func (k *desk) written(ctx context.Context) bool {
	if k.records.journal == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, diskTime)
	defer cancel()
	return k.records.journal.Flush(ctx) == nil
}

// onDisk is written for what must not be undone by a crash, what the engine was told to forget included: on a full disk it takes the
// room that is reserved for that.
func (k *desk) onDisk(ctx context.Context) bool {
	if k.records.journal == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, diskTime)
	defer cancel()
	for saved := false; !saved; {
		j := k.judge
		var err error
		if saved, err = ask(ctx, j.asks, askJudge, func() bool { return j.saver.urge(j.engine, j.servers, j.clock.now()) }); err != nil {
			return false
		}
		if k.records.journal.Sync(ctx) != nil {
			return false
		}
	}
	return true
}

// retryControl is how long a control socket that could not be served is left alone.
const retryControl = 30 * time.Second

// run keeps what operators allow, and serves the control socket, until ctx ends. Without one the daemon goes on banning: it tells, and tries again.
func (k *desk) run(ctx context.Context) {
	var kept sync.WaitGroup
	defer kept.Wait()
	kept.Go(func() { k.keepAllowances(ctx) })
	kept.Go(func() { k.hangups(ctx) })
	kept.Go(func() { k.beat(ctx) })
	opened := sync.OnceFunc(func() { close(k.opened) })
	defer opened()
	c := k.Config.Control
	if c.Socket == "" {
		return
	}
	said := ""
	for ctx.Err() == nil {
		s, err := control.Listen(k.options())
		opened()
		if err == nil {
			said = ""
			k.Log.Info("control socket is open", "socket", c.Socket)
			err = s.Serve(ctx)
			s.Close()
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil && err.Error() != said {
			said = err.Error()
			k.Log.Error("control socket cannot be served: no command can ask this daemon", "err", err, "retry", retryControl.String())
		}
		sleep(ctx, retryControl)
	}
}

func (k *desk) options() control.Options {
	c := k.Config.Control
	o := control.Options{
		Socket: c.Socket, ReadGroup: c.ReadGroup, AdminGroup: c.AdminGroup, Log: k.Log,
		Read: k, Ban: k, Allow: k, Past: k, Explain: k.Explain, Keep: k.Keep, Reconcile: k.Reconcile, Events: &k.feed,
	}
	if k.Options.Reload != nil {
		o.Reload = k.Reload
	}
	return o
}
