// Package demo shows amifend at work where there is no PBX: it plays two PBXs with phones and
// attackers, and runs the real daemon against them for a minute.
//
// What is played: the PBXs (their Manager Interfaces are package amitest's) and their clients. What
// is real: the daemon with its default policy, its nftables table, the clients' packets (SIP, cut
// down to what matters, over UDP and TLS, IPv4 and IPv6), and that the kernel drops them. All of it
// happens in private namespaces, see [sandbox]; the machine's own network and firewall are not
// touched. Where the kernel allows no such namespaces, the demo says why and plays without packets,
// on loopback, with a dry run of the daemon.
//
// It judges itself: Run fails when an attacker was not banned as it should be or somebody else was,
// when an alert that was due did not come or another one did.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// ErrFailed says that somebody was judged wrong. The summary has told who.
var ErrFailed = errors.New("somebody was judged wrong")

// Bounds of Options.For. A longer play would give scores time to fade.
const (
	Shortest = 6 * time.Second
	Longest  = 10 * time.Minute
)

// Options say how the demo is played.
type Options struct {
	For time.Duration // how long; from Shortest to Longest
	Out io.Writer     // gets the story
	Log string        // file for the daemon's own log; "": none
	// arguments by which this program calls Run with the same options: it runs itself again, in a
	// sandbox
	Args []string
}

// Run plays the demo, to its end or until ctx ends, and prints the story as it goes. An end before
// the time is no failure.
func Run(ctx context.Context, o Options) error {
	if o.For < Shortest || o.For > Longest {
		return fmt.Errorf("play the demo for %v: write a time from %v to %v", o.For, Shortest,
			Longest)
	}

	if isInside() {
		return runInside(ctx, o)
	}

	err := runSandboxed(ctx, o)
	var cannot *noSandboxError
	if !errors.As(err, &cannot) || ctx.Err() != nil {
		return err
	}
	return play(ctx, o, func(context.Context, ...*pbx) stage { return dryStage(cannot) })
}

// runInside plays the demo in the network namespace that the one outside has made for us.
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

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
