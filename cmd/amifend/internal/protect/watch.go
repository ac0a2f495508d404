package protect

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const (
	// pollFiles is the time between two readings of the files that name DNS resolvers.
	pollFiles = 5 * time.Second
	// resyncKernel is the longest time between two readings of the kernel, if it reports no change.
	resyncKernel = time.Minute
	// minPause is the shortest time between two readings, because changes come in groups.
	minPause = 100 * time.Millisecond
	// retryPause is the pause after a reading or a subscription that failed.
	retryPause = time.Second
)

// groups holds the groups of rtnetlink(7) whose messages the Watcher receives.
var groups = []uint{
	unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH,
	unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE,
	unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV6_ROUTE,
	unix.RTNLGRP_NEXTHOP,
}

// Run follows the system until ctx ends, and then returns nil. It hands out each set that changed,
// see [Watcher.HandTo]. It logs errors and keeps the last good set.
func (w *Watcher) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return w.listen(ctx) })
	g.Go(func() error { return w.resolve(ctx) })
	g.Go(func() error { return w.follow(ctx) })
	return g.Wait()
}

// follow collects the set and hands it out whenever something may have changed.
func (w *Watcher) follow(ctx context.Context) error {
	poll := time.NewTicker(w.poll)
	defer poll.Stop()

	var asked time.Time // the last reading of the kernel

	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.kicked:
		case <-poll.C:
		}

		// The files are read each time. The kernel is read only when it reported a change, or when
		// the last reading is old.
		began := time.Now()
		fresh := w.stale.Swap(false) || began.Sub(asked) >= w.resync
		err := w.handOut(fresh)

		// The pause is ten times as long as the reading, so that a million routes do not keep a
		// core busy.
		pause := max(w.pause, 10*time.Since(began))
		if err != nil {
			w.config.Log.Error("cannot read what must not be banned, keeping the last list",
				"err", err)
			if fresh {
				w.stale.Store(true)
			}
			w.kick()
			pause = retryPause
		}

		if err == nil && fresh {
			asked = began
		}

		sleep(ctx, pause)
	}
}

// resolve looks up the names again and again: at the start, after each refresh, and when the lists
// changed.
func (w *Watcher) resolve(ctx context.Context) error {
	for ctx.Err() == nil {
		w.lookup(ctx)
		w.kick()
		t := time.NewTimer(w.refresh)

		select {
		case <-ctx.Done():
		case <-w.renamed:
		case <-t.C:
		}

		t.Stop()
	}

	return nil
}

// listen marks the last reading as stale when the kernel reports a change. It does not apply the
// messages: every change leads to a new reading of everything. That is simpler, and a lost message
// (ENOBUFS) does no harm.
func (w *Watcher) listen(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := w.subscribe(ctx); err != nil && ctx.Err() == nil {
			w.config.Log.Warn("lost the kernel's reports of addresses and routes, subscribing "+
				"again", "err", err)
			sleep(ctx, retryPause)
		}
	}
	return nil
}

// subscribe receives the kernel's messages until ctx ends or an error.
func (w *Watcher) subscribe(ctx context.Context) error {
	ns := netns.None()
	if w.config.NetNS != 0 {
		ns = netns.NsHandle(w.config.NetNS)
	}

	sock, err := nl.SubscribeAt(ns, netns.None(), unix.NETLINK_ROUTE, groups...)
	if err != nil {
		return fmt.Errorf("subscribe to rtnetlink: %w", err)
	}

	// Tests make the buffer small, so that messages are lost.
	if w.buffer != 0 {
		if err := sock.SetReceiveBufferSize(w.buffer, false); err != nil {
			sock.Close()
			return fmt.Errorf("set rtnetlink buffer: %w", err)
		}
	}

	// Receive takes no context, so the end of ctx closes the socket.
	stop := context.AfterFunc(ctx, sock.Close)
	defer func() {
		if stop() {
			sock.Close()
		}
	}()

	// Something may have changed before the subscription.
	w.changed()
	for {
		messages, from, err := sock.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			w.overflows.Add(1)
			w.changed()
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
		case err != nil:
			return fmt.Errorf("receive from rtnetlink: %w", err)
		case from.Pid == nl.PidKernel && matters(messages):
			w.changed()
		}
	}
}

// changed makes Run read the kernel again.
func (w *Watcher) changed() {
	w.stale.Store(true)
	w.kick()
}

// matters reports whether messages may change the set. Changes of neighbours that are not routers
// do not, and a busy network has them all the time.
func matters(messages []syscall.NetlinkMessage) bool {
	for _, m := range messages {
		if m.Header.Type != unix.RTM_NEWNEIGH && m.Header.Type != unix.RTM_DELNEIGH {
			return true
		}

		// struct ndmsg: family, two bytes of padding, ifindex, state, flags, type
		if len(m.Data) >= 12 && m.Data[0] == unix.AF_INET6 && m.Data[10]&netlink.NTF_ROUTER != 0 &&
			binary.NativeEndian.Uint32(m.Data[4:]) != 0 {
			return true
		}
	}

	return false
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
