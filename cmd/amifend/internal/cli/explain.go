package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/explain"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// Explain is `amifend explain`.
type Explain struct {
	daemonFlags
	Whom sourceArg `arg:"" complete:"banned" name:"address" help:"${explainHelp}"`
}

// Help returns the detailed help.
func (*Explain) Help() string {
	return `Shows the evidence for and against an address: its score, latest attempts, accounts,
proofs and strikes. Shows the rule that banned it, and what would ban or free it. docs/decisions.md
and policy/README.md explain the rules. All times have the same zone.

score and long_memory fade; at their limits (3 and 6, unless the config says otherwise) the address is
banned. A strike is an earlier ban: each makes the next one longer. Proven evidence came over a
connection; over UDP a spoofer can choose the address.

    amifend explain 203.0.113.5
    amifend explain 203.0.113.0/24       which of its addresses are banned, and its own score`
}

// Run asks the daemon, and prints the answer.
func (c *Explain) Run(ctx context.Context, on screen.Screen) error {
	client, err := c.client()
	if err != nil {
		return err
	}

	if !c.Whom.IsSingleIP() {
		return c.network(ctx, client, on)
	}

	addr := c.Whom.Addr()
	x, err := client.Explain(ctx, addr)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(x)
	}

	// Red is for a ban that is in force.
	style := screen.Bold
	if slices.ContainsFunc(x.Bans, func(b control.Ban) bool {
		return b.State == control.StateInKernel
	}) {
		style = screen.Bad
	}
	text := explanationText(x, addr.String(), zone(client.Zone), time.Now())
	_, err = fmt.Print(on.Wrap(on.First(style, text)))
	return err
}

// explanationText returns an explanation for people. zone must be the one that the client sent,
// since the daemon's part of the text has its times in it.
func explanationText(
	x control.Explanation, addr string, zone *time.Location, now time.Time,
) string {
	var b strings.Builder
	b.WriteString(x.Text)
	for _, ban := range x.Bans {
		b.WriteString(kernelLine(ban, now))
	}

	// The advice follows the bans in force, so that nobody has to read on for it.
	if len(x.Bans) > 0 {
		b.WriteString(explain.Item("undo", fmt.Sprintf(
			"amifend unban %s; to let it in for good: amifend allow %[1]s", addr)) + "\n")
	}

	// The history comes last, because the present matters more.
	for i, p := range x.Past {
		if i == 0 {
			b.WriteString("  history:\n")
		}
		b.WriteString(pastLine(p, zone))
	}

	for i, a := range x.Alerts {
		if i == 0 {
			b.WriteString("  alerts:\n")
		}
		b.WriteString(alertText(a, "    ", zone))
	}

	return b.String()
}

// pastLine returns the line of a ban in the past.
func pastLine(p control.PastBan, zone *time.Location) string {
	verb := "banned"
	if p.Observed {
		verb = "would have been banned"
	}

	lifted := ""
	if !p.Lifted.IsZero() {
		lifted = ", lifted by " + p.By + " (" + p.Why + ") after " + rough(p.Lifted.Sub(p.From))
	}

	evidence := ""
	if p.Evidence != "" { // a ban that was found in the kernel has none
		evidence = ": " + p.Evidence
	}

	return fmt.Sprintf("    %s  %s %s %s for %s by %s%s%s\n", p.From.In(zone).Format(stamp),
		bans.Source(p.Prefix), p.Scope, verb, rough(p.Until.Sub(p.From)), p.Rule, lifted, evidence)
}

// kernelLine returns what the kernel does for a ban.
func kernelLine(b control.Ban, now time.Time) string {
	dropped := "drops its packets"
	if b.Dropped != nil {
		dropped = "has dropped " + wording.Count(*b.Dropped, "packet")
	}
	if b.State != control.StateInKernel {
		dropped = stateText(b.State)
	}
	return explain.Item("kernel", fmt.Sprintf("%s %s, %s more: %s", bans.Source(b.Prefix), b.Scope,
		rough(b.Until.Sub(now)), dropped)) + "\n"
}
