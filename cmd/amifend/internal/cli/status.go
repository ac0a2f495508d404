package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// Status is `amifend status`.
type Status struct {
	daemonFlags
}

// Help is the detailed help.
func (*Status) Help() string {
	return `Each server's session, what the engine counts, the firewall, bans that do nothing, and all that is not as it should
be, with what to do about it. The exit code is 0 when the daemon answered; scripts look at health in --json, which is empty
when all is well.`
}

// Run asks, and prints the answer.
func (c *Status) Run(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	s, err := client.Status(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s)
	}
	return writeStatus(os.Stdout, s, time.Now())
}

func writeStatus(w io.Writer, s control.Status, now time.Time) error {
	fmt.Fprintf(w, "amifend %s runs since %s (%s)\n", s.Version, s.Since.Local().Format(time.DateTime), rough(now.Sub(s.Since)))
	fmt.Fprintln(w, "\nservers")
	var lines []string
	for _, one := range s.Servers {
		lines = append(lines, serverLine(one, now))
	}
	if err := columns(w, lines); err != nil {
		return err
	}
	f := s.Firewall
	fmt.Fprintf(w, "\nfirewall\n  %s, %s: %s", f.Name, f.State, count(f.Bans, "ban"))
	for _, more := range []struct {
		n    int
		what string
	}{{f.Pending, "not in the kernel yet"}, {f.Waiting, "waiting for room"}} {
		if more.n > 0 {
			fmt.Fprintf(w, ", %d %s", more.n, more.what)
		}
	}
	fmt.Fprintf(w, "\n  never banned: %s (amifend allow --list)\n", count(s.Protected, "prefix"))
	if j := s.Journal; j != nil {
		state := "ok"
		if j.Problem != "" {
			state = "FAILING: " + j.Problem
		}
		fmt.Fprintf(w, "\njournal\n  %s, %.1f MB: %s\n", j.Path, float64(j.Size)/1e6, state)
	}
	e := s.Engine
	fmt.Fprintf(w, "\nsince the start\n  %d events judged, %d attempts counted; %d not counted: %d of protected sources, %d in the name of proved ones, %d of banned ones\n",
		e.Observed, e.Counted, e.Protected+e.Shielded+e.Covered, e.Protected, e.Shielded, e.Covered)
	return writeHealth(w, s)
}

func writeHealth(w io.Writer, s control.Status) error {
	if len(s.Health) == 0 {
		_, err := fmt.Fprintln(w, "\nall is well")
		return err
	}
	fmt.Fprintln(w, "\nneeds a look")
	for _, h := range s.Health {
		fmt.Fprintf(w, "  %s: %s\n", h.About, h.What)
		if h.Do != "" {
			fmt.Fprintf(w, "    do: %s\n", h.Do)
		}
	}
	_, err := fmt.Fprintf(w, "%s\n", count(len(s.Health), "warning"))
	return err
}

func serverLine(s control.ServerStatus, now time.Time) string {
	cells := []string{"  " + s.Name, "up " + rough(now.Sub(s.Since))}
	if !s.Connected {
		cells[1] = strings.ToUpper(s.Phase) + " " + rough(now.Sub(s.Since))
		next := ""
		if s.NextTry.After(now) {
			next = ", next try in " + rough(s.NextTry.Sub(now))
		}
		return strings.Join(append(cells, s.Problem+next), "\t")
	}
	link := "plain TCP"
	switch {
	case s.TLS != "" && s.Verified:
		link = s.TLS
	case s.TLS != "":
		link = s.TLS + ", not verified"
	}
	gaps := "no gaps"
	if s.Gaps > 0 {
		gaps = fmt.Sprintf("%s, the last %s", count(int(s.Gaps), "gap"), rough(seconds(s.LastGap)))
	}
	return strings.Join(append(cells,
		fmt.Sprintf("%.1f events/s", s.EventsRate),
		"lag "+seconds(s.Lag).Round(time.Millisecond).String(),
		fmt.Sprintf("clock %+.1fs", s.ClockError),
		gaps, link), "\t")
}
