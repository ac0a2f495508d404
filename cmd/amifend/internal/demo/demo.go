// Package demo shows amifend at work without a PBX: it plays two PBXs with phones and attackers,
// and runs the real daemon against them for a minute.
//
// The PBXs and their clients are played; the Manager Interfaces are those of package amitest. The
// daemon with its default policy, its nftables table, the clients' packets and the kernel that
// drops them are real. The packets carry a short form of SIP, over UDP and TLS, IPv4 and IPv6.
//
// All of it runs in private namespaces, see [sandbox], and does not touch the network and the
// firewall of the machine. Where the kernel allows no such namespaces, the demo reports why and
// plays without packets, on loopback, with a dry run of the daemon.
//
// The demo judges itself: Run fails when an attacker was not banned as expected, when anybody else
// was banned, when an expected alert is missing, or when there is another one.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// ErrFailed is returned when an actor was judged wrongly. The summary names it.
var ErrFailed = errors.New("somebody was judged wrongly")

// Bounds of Options.For. In a longer play the scores would decay too far.
const (
	Shortest = 6 * time.Second
	Longest  = 10 * time.Minute
)

// Options are the settings of a demo.
type Options struct {
	For time.Duration // length, from Shortest to Longest
	Out io.Writer     // receives the story
	Log string        // file for the daemon's log; "": none
	// Args are the arguments with which this program calls Run with the same options: it runs
	// itself again in a sandbox.
	Args []string
}

// Run plays the demo until its end or that of ctx, and prints the story. An early end is not a
// failure.
func Run(ctx context.Context, o Options) error {
	if o.For < Shortest || o.For > Longest {
		return fmt.Errorf("play the demo for %v: write a time from %v to %v", o.For, Shortest,
			Longest)
	}

	if isInside() {
		return runInside(ctx, o)
	}

	// Without a sandbox the demo is still worth showing, unless it was interrupted.
	err := runSandboxed(ctx, o)
	var cannot *noSandboxError
	if !errors.As(err, &cannot) || ctx.Err() != nil {
		return err
	}

	return play(ctx, o, func(context.Context, ...*pbx) stage { return dryStage(cannot) })
}

// runInside plays the demo in the network namespace that the outer process made.
func runInside(ctx context.Context, o Options) error {
	if err := checkInside(); err != nil {
		return tellOutside(err)
	}
	return play(ctx, o, privateStage)
}

// openLog opens the file for the daemon's log.
func openLog(name string) (io.WriteCloser, error) {
	if name == "" {
		return nopCloser{io.Discard}, nil
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	return f, nil
}

// nopCloser is a log without a file.
type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
