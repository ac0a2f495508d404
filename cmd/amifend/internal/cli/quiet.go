package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// ExitError is the exit code of a command that has printed its result. It is an error so that a
// command can return it.
type ExitError int

// Error returns the code in words.
func (e ExitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// nagiosState is a state of a Nagios plugin. Its value is the exit code.
type nagiosState int

// The states.
const (
	nagiosOK nagiosState = iota
	nagiosWarning
	nagiosCritical
	nagiosUnknown
)

// String returns the name of the state, as Nagios prints it.
func (n nagiosState) String() string {
	return [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[n]
}

// quiet prints the status in one line, as a Nagios plugin does.
func (c *Status) quiet(ctx context.Context) error {
	var s control.Status
	client, err := c.client()
	if err == nil {
		s, err = client.Status(ctx)
	}

	var code nagiosState
	var line string
	switch {
	case err == nil:
		code, line = nagios(s)
	case control.CodeOf(err) == control.CodeNotRunning:
		code, line = nagiosCritical, err.Error()
	default:
		code, line = nagiosUnknown, err.Error()
	}

	// A newline or a bar would end the text for Nagios.
	line = strings.NewReplacer("\n", " ", "|", "/").Replace(line)
	if err == nil {
		line += fmt.Sprintf(" | servers_up=%d bans=%d", up(s), s.Firewall.Bans)
	}
	if _, err := fmt.Printf("AMIFEND %s: %s\n", code, line); err != nil || code == nagiosOK {
		return err
	}
	return ExitError(code)
}

// nagios returns the state of a daemon that answers.
func nagios(s control.Status) (nagiosState, string) {
	banWord := "ban"
	if dryStatus(s) {
		banWord = "would-be ban"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %s up, %s", up(s), wording.Count(len(s.Servers), "server"),
		wording.Count(s.Firewall.Bans, banWord))
	for _, h := range s.Health {
		fmt.Fprintf(&b, "; %s: %s", h.About, h.What)
	}
	text := b.String()

	switch {
	case severe(s):
		return nagiosCritical, text
	case len(s.Health) > 0:
		return nagiosWarning, text
	default:
		return nagiosOK, text
	}
}

// severe reports whether attackers are not stopped: no server is connected, or the firewall fails.
func severe(s control.Status) bool {
	return up(s) == 0 && len(s.Servers) > 0 || s.Firewall.State == "failing"
}

// up returns the number of servers that are connected.
func up(s control.Status) int {
	return len(slices.DeleteFunc(slices.Clone(s.Servers), func(one control.ServerStatus) bool {
		return !one.Connected
	}))
}
