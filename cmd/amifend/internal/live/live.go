// Package live is the screen of `amifend top`: it asks the daemon once a second, and shows what
// happens now and in the last hour. Keys explain, unban and allow what is selected.
//
//	terminal ── keys, sizes ──→ model ── look, explain, unban, allow ──→ daemon
//	         ←── view ─────────       ←── answers ─────────────────────
//
// [model.Update] decides what a key, a size or an answer does, and asks nobody itself: what it wants
// to have asked is a command, which bubbletea runs on a goroutine of its own. The view is a function
// of the model. No text reaches the terminal but through [safe] and [fit].
package live

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	"golang.org/x/sys/unix"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// Daemon is what the screen asks. Its texts are for people, and may be of several lines.
type Daemon struct {
	Look    func(ctx context.Context, limit int) (control.Live, error)
	Explain func(ctx context.Context, addr netip.Addr) (string, error)
	Unban   func(ctx context.Context, prefix netip.Prefix) (string, error)
	// Allow exempts a prefix from bans; a time of 0 has no end.
	Allow func(ctx context.Context, prefix netip.Prefix, d time.Duration) (string, error)
}

// Options configure a screen.
type Options struct {
	In, Out *os.File // a terminal
	Colour  bool
	ASCII   bool // the terminal shows no UTF-8
	Zone    *time.Location
	Daemon  Daemon
}

// lastTime is how long a screen may take to end after its context. A terminal that takes no text,
// such as one after Ctrl-S, would keep it for ever.
const lastTime = 2 * time.Second

// Run shows the screen until the user or ctx ends it. It restores the terminal in any case.
func Run(ctx context.Context, o Options) error {
	before, err := unix.IoctlGetTermios(int(o.In.Fd()), unix.TCGETS)
	if err != nil {
		return fmt.Errorf("read the modes of the terminal: %w", err)
	}
	// The library restores them too, unless it hangs.
	defer func() { _ = unix.IoctlSetTermios(int(o.In.Fd()), unix.TCSETS, before) }()

	// Without colours the library still prints bold text, and so does every terminal.
	profile := colorprofile.ASCII
	if o.Colour {
		profile = colorprofile.ANSI
	}
	asking, stop := context.WithCancel(ctx)
	defer stop()
	keys := newKeyboard(o.In)
	defer keys.stop()
	p := tea.NewProgram(newModel(asking, o), tea.WithInput(keys), tea.WithOutput(o.Out),
		tea.WithColorProfile(profile), tea.WithoutSignalHandler())
	defer context.AfterFunc(ctx, p.Quit)()

	ended := make(chan error, 1)
	go func() {
		_, err := p.Run()
		ended <- err
	}()

	select {
	case err = <-ended:
	case <-ctx.Done():
		select {
		case err = <-ended:
		case <-time.After(lastTime):
			return errors.New("the terminal takes no text")
		}
	}
	if err != nil {
		return fmt.Errorf("show the screen: %w", err)
	}
	return nil
}
