package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
	"github.com/amifend/amifend/firewall"
)

// Export is `amifend export`.
type Export struct {
	daemonFlags
	NFT   bool   `name:"nft" help:"Write commands of nft: the default."`
	Table string `default:"amifend" placeholder:"NAME" help:"${exportTableHelp}"`
}

// Help returns the detailed help.
func (*Export) Help() string {
	return `Examples:

    amifend export > bans.nft               # here
    nft -f bans.nft                         # on another machine with amifend: it takes them over

Each ban has its remaining time. With --json: one object a line for each ban. The deny lists
are not bans: copy the section [deny] of the config, and its files.`
}

// Validate is called by kong.
func (c *Export) Validate() error {
	if c.NFT && c.JSON {
		return fmt.Errorf("--nft and --json are two forms: write one of them")
	}
	return nil
}

// Run writes all bans.
func (c *Export) Run(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}

	l, err := client.Bans(ctx, control.BanQuery{Sort: "source"})
	if err != nil {
		return err
	}

	// A large list is written in blocks.
	out := bufio.NewWriter(os.Stdout)
	if c.JSON {
		if err := printLines(out, l.Bans); err != nil {
			return fmt.Errorf("write the bans: %w", err)
		}
	} else {
		if err := writeNFT(out, c.Table, l.Bans, time.Now()); err != nil {
			return err
		}

		// The deny lists protect too, and are not exported. Whoever loads the file must know.
		s, err := client.Status(ctx)
		if err != nil {
			return err
		}

		if d := s.Firewall.Denied; d != nil {
			fmt.Fprintf(out,
				"# Without the deny lists (%s), which are config: copy [deny] and its files.\n",
				wording.Count(d.Listed, "prefix"))
		}
	}

	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the bans: %w", err)
	}

	return nil
}

// elementsMost is the number of elements in one command of nft.
const elementsMost = 500

// writeNFT writes bans as commands for nft(8), grouped by their sets.
func writeNFT(w io.Writer, table string, list []control.Ban, now time.Time) error {
	// One command with many elements is much faster for nft(8) than one command each.
	sets := map[string][]string{}
	var names []string
	for _, b := range list {
		left := b.Until.Sub(now).Round(time.Second)
		if left < time.Second {
			continue
		}

		// The other machine's clock may differ, so the remaining time is written and not the end.
		name, err := firewall.SetName(b.Prefix, bans.ScopeNamed(b.Scope))
		if err != nil {
			return fmt.Errorf("export %s: %w", b.Prefix, err)
		}
		if sets[name] == nil {
			names = append(names, name)
		}

		sets[name] = append(sets[name],
			fmt.Sprintf("%s timeout %ds", b.Prefix.Addr(), left/time.Second))
	}

	// A fixed order makes two exports comparable.
	slices.Sort(names)
	fmt.Fprintf(w, "# %s of amifend, %s. Load them with nft -f into a table that amifend has "+
		"laid out.\n", wording.Count(len(list), "ban"), now.UTC().Format(time.RFC3339))
	if slices.ContainsFunc(list, wouldBe) {
		fmt.Fprintln(w, "# This daemon bans nobody: these are the bans that it would have made. "+
			"No kernel drops them yet.")
	}

	for _, name := range names {
		for part := range slices.Chunk(sets[name], elementsMost) {
			fmt.Fprintf(w, "add element inet %s %s {\n", table, name)
			for _, element := range part {
				fmt.Fprintf(w, "\t%s,\n", element)
			}
			fmt.Fprintln(w, "}")
		}
	}

	return nil
}
