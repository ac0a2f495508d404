package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/envelope"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// Events is `amifend events`.
type Events struct {
	daemonFlags
	Follow bool       `short:"f" hidden:"" help:"Does nothing: events are always followed."`
	Within *sourceArg `arg:"" optional:"" name:"prefix" help:"${eventsWithinHelp}"`
	Server string     `complete:"servers" placeholder:"NAME" help:"Only events of this server."`
	Count  int        `short:"c" placeholder:"COUNT" help:"End after COUNT events."`
	Kind   []string   `complete:"events" placeholder:"EVENT" help:"${eventsKindHelp}"`
}

// Validate is called by kong.
func (c *Events) Validate() error {
	for _, kind := range c.Kind {
		if err := chosen("--kind", kind, "event", eventNames()); err != nil {
			return err
		}
	}
	return nil
}

// Run follows the events.
func (c *Events) Run(ctx context.Context, on screen.Screen) error {
	client, err := c.client()
	if err != nil {
		return err
	}

	if err := knownServer(ctx, client, c.Server); err != nil {
		return err
	}

	// The daemon filters, so a flood elsewhere does not cross the socket.
	filter := control.EventFilter{Server: c.Server, Kinds: c.Kind}
	if c.Within != nil {
		filter.Within = c.Within.Prefix
	}

	events, err := client.Events(ctx, filter)
	if err != nil {
		return err
	}

	// Without a word, a quiet PBX looks like a command that hangs.
	if w := terminal(os.Stderr); w != nil {
		fmt.Fprintf(w, "listening to %s; Ctrl-C ends\n", c.heard(ctx, client))
	}

	n := 0
	for ev, err := range events {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("follow the events: %w", err)
		}

		// Each event is written at once: a person is watching.
		if c.JSON {
			err = envelope.New(ev).WriteLine(os.Stdout)
		} else {
			_, err = fmt.Println(on.Wrap(eventLine(ev)))
		}

		if err != nil {
			return fmt.Errorf("write an event: %w", err)
		}

		if n++; n == c.Count {
			return nil
		}
	}

	// The user did not end it, so a script must see an error.
	if ctx.Err() == nil {
		return fmt.Errorf("the daemon has ended")
	}

	return nil
}

// heard returns what the command listens to.
func (c *Events) heard(ctx context.Context, client *control.Client) string {
	if c.Server != "" {
		return "server " + c.Server
	}
	s, err := client.Status(ctx)
	if err != nil {
		return "all servers"
	}
	return wording.Count(len(s.Servers), "server")
}

// eventLine returns an event in one line.
func eventLine(ev control.Event) string {
	if ev.Lost > 0 {
		return fmt.Sprintf("(%d more events, left out)", ev.Lost)
	}

	line := fmt.Sprintf("%s %s %s %s %s %s account %s call %s",
		ev.Time.Local().Format("15:04:05.000 MST"), ev.Server, ev.Source,
		ev.Kind, ev.Service, ev.Transport, ev.Account, ev.Session)
	if ev.Score != nil {
		line += fmt.Sprintf(", score %.1f of %g", ev.Score.Score, ev.Score.Limit)
	}
	if ev.Taint != "" {
		line += " (injected text: " + ev.Taint + ")"
	}
	return line
}
