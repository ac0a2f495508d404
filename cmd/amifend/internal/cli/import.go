package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/fail2ban"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// Import is `amifend import`.
type Import struct {
	Fail2ban ImportFail2ban `cmd:"" name:"fail2ban" help:"Import the bans of fail2ban."`
}

// ImportFail2ban is `amifend import fail2ban`.
type ImportFail2ban struct {
	daemonFlags
	Jail   []string `placeholder:"NAME" help:"${importJailHelp}"`
	Scope  string   `enum:"all,sip,stream" default:"sip" help:"${importScopeHelp}"`
	DryRun bool     `help:"Only show what would be imported."`

	Path string `arg:"" optional:"" default:"/var/lib/fail2ban/fail2ban.sqlite3" type:"path" help:"${importPathHelp}"`
}

// Help returns the detailed help.
func (*ImportFail2ban) Help() string {
	return `Each ban keeps its remaining time, at most ban_max. Addresses that must never be banned
are left out. fail2ban may run meanwhile, and does not change: stop its jails for Asterisk
afterwards.`
}

// Run reads the database and asks the daemon for the bans.
func (c *ImportFail2ban) Run(ctx context.Context) error {
	found, err := fail2ban.Read(ctx, c.Path, time.Now())
	switch {
	case errors.Is(err, fs.ErrPermission):
		return control.Errorf(control.CodeFailed, "%s", err).
			Advise("use sudo: only root may read it")
	case errors.Is(err, fs.ErrNotExist):
		return control.Errorf(control.CodeFailed, "%s", err).
			Advise("write the name of the file; it is dbfile in /etc/fail2ban/fail2ban.conf")
	case errors.Is(err, fail2ban.ErrTooOld):
		return control.Errorf(control.CodeFailed, "%s", err).
			Advise("update fail2ban first, or ban the addresses by hand: fail2ban-client status " +
				"asterisk lists them, amifend ban ADDRESS... --for 24h bans them")
	case err != nil:
		return control.Errorf(control.CodeFailed, "%s", err).
			Advise("write the name of fail2ban's database, usually " +
				"/var/lib/fail2ban/fail2ban.sqlite3 (dbfile in fail2ban.conf)")
	}

	// The daemon is asked last, so that a dry run does not need it.
	wanted, left := c.choose(found.Bans)
	var results []control.BanResult
	if !c.DryRun && len(wanted) > 0 {
		if results, err = c.ban(ctx, wanted); err != nil && len(results) > 0 {
			return fmt.Errorf("the first %d of %d bans were asked for (import again for the "+
				"rest): %w", len(results), len(wanted), err)
		}
		if err != nil {
			return err
		}
	}

	// Scripts read these keys, so they must not change.
	if c.JSON {
		return printJSON(struct {
			Bans    []control.NewBan    `json:"bans"`
			Results []control.BanResult `json:"results"`
			LeftOut map[string]int      `json:"left_out_by_jail"`
			Over    int                 `json:"over"`
			Strange int                 `json:"no_addresses"`
		}{wanted, results, left, found.Over, found.Wrong})
	}

	return c.print(found, wanted, results, left)
}

// choose returns the bans to ask for, and the number of those of other jails, which are left out.
func (c *ImportFail2ban) choose(
	bans []fail2ban.Ban,
) (wanted []control.NewBan, left map[string]int) {
	left = map[string]int{}
	for _, b := range bans {
		if !c.chosen(b.Jail) {
			left[b.Jail]++
			continue
		}

		n := control.NewBan{
			Prefix: b.Prefix, Scope: c.Scope, For: max(1, b.Left.Seconds()), Import: true,
			Reason: "fail2ban jail " + b.Jail,
		}

		wanted = append(wanted, n)
	}

	return wanted, left
}

// chosen reports whether the bans of a jail are imported.
func (c *ImportFail2ban) chosen(jail string) bool {
	if len(c.Jail) > 0 {
		return slices.Contains(c.Jail, jail)
	}
	name := strings.ToLower(jail)
	return strings.Contains(name, "asterisk") || strings.Contains(name, "pbx") ||
		strings.Contains(name, "sip")
}

// ban asks for bans, as many at a time as one request may hold.
func (c *ImportFail2ban) ban(
	ctx context.Context, wanted []control.NewBan,
) (results []control.BanResult, err error) {
	client, err := c.client()
	if err != nil {
		return nil, err
	}

	for part := range slices.Chunk(wanted, control.MostBans) {
		res, err := client.Ban(ctx, part)
		if err != nil {
			return results, err
		}
		results = append(results, res.Results...)
	}

	return results, nil
}

// print prints the result for people.
func (c *ImportFail2ban) print(
	found *fail2ban.Bans, wanted []control.NewBan, results []control.BanResult, left map[string]int,
) error {
	// Refused bans are named one by one. Many results have the same note, so each note is printed
	// once.
	refused, notes := 0, map[string]bool{}
	for _, r := range results {
		if r.Error != nil {
			refused++
			fmt.Printf("left out: %s\n", r.Error.Message)
		} else if r.Note != "" {
			notes[r.Note] = true
		}
	}

	for _, s := range found.Strange {
		fmt.Printf("left out: %s is not an address, or has no time\n", ami.Quote([]byte(s)))
	}

	// There may be very many such rows, so the rest is counted.
	if more := found.Wrong - len(found.Strange); more > 0 {
		fmt.Printf("left out: %s more like these\n", wording.Count(more, "row"))
	}

	// The user may have given the jails of Asterisk other names, so the other jails are named.
	for _, jail := range slices.Sorted(maps.Keys(left)) {
		fmt.Printf("left out: %s of jail %s (to take them too: --jail %[2]s)\n",
			wording.Count(left[jail], "ban"), ami.Quote([]byte(jail)))
	}

	verb, n := "imported", len(wanted)-refused
	if c.DryRun {
		verb, n = "would be imported", len(wanted)
	}

	var text strings.Builder
	text.WriteString(wording.Count(n, "ban") + " " + verb)
	for _, note := range slices.Sorted(maps.Keys(notes)) {
		text.WriteString("\n" + note)
	}

	_, err := fmt.Println(text.String())
	return err
}
