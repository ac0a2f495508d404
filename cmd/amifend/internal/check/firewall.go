package check

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/firewall"
)

// checkFirewall tells whether we can ban, and what is in the kernel already.
func checkFirewall(ctx context.Context, c *config.Config, netns int) section {
	name := c.Firewall.Table
	s := section{title: "firewall, table inet " + name}
	if c.Firewall.Backend == config.BackendLog {
		s.note(`dry run: [firewall] backend = "log" only tells what would be banned`)
		return s
	}
	bad := levelFail
	if c.Observe {
		s.note("dry run: [policy] observe = true only tells what would be banned; what is wrong here matters once you ban")
		bad = levelWarn
	}
	lock, err := firewall.Lock(name)
	switch {
	case err == nil:
		lock.Close() // at once: we only wanted to know
	case errors.Is(err, firewall.ErrLocked):
		s.note("amifend is running: %s", err)
	default:
		s.add(bad, "", "%s", err)
	}
	t, err := firewall.Open(firewall.Options{Table: name, SIPPorts: c.Firewall.SIPPorts, MaxBans: c.Firewall.MaxBans, NetNS: netns})
	if err != nil {
		s.add(bad, "", "%s", err)
		return s
	}
	defer t.Close()
	s.ok("nftables can be used: the right (CAP_NET_ADMIN) and the kernel's support are there")
	if err := checkTable(ctx, &s, bad, t, name, netns); err != nil {
		s.add(bad, "", "%s", err)
	}
	return s
}

// checkTable tells what the kernel has under our table's name.
func checkTable(ctx context.Context, s *section, bad level, t *firewall.Table, name string, netns int) error {
	there, err := lookUp(name, netns)
	switch {
	case err != nil:
		return err
	case !there.exists:
		s.ok("the table is not there yet: amifend run makes it")
		return nil
	case there.foreign != "":
		s.add(bad, fmt.Sprintf("choose another [firewall] table, or remove it with: nft delete table inet %s", name),
			"a table of that name exists and is not ours: %s", there.foreign)
		return nil
	}
	elements, err := t.Bans(ctx)
	if errors.Is(err, firewall.ErrGone) {
		s.note("the table is there, but incomplete: amifend run repairs it")
		return nil
	}
	if err != nil {
		return err
	}
	var all, sip int
	var packets uint64
	for _, e := range elements {
		packets += e.Packets
		if e.Scope == firewall.ScopeAll {
			all++
		} else {
			sip++
		}
	}
	s.ok("the table is there with %s (scope all: %d, scope sip: %d), which dropped %s",
		count(len(elements), "ban"), all, sip, count(int(packets), "packet"))
	return nil
}

// found is what the kernel has under our table's name.
type found struct {
	exists  bool
	foreign string // why it cannot be ours; "" if it can
}

// ourSets are in every table that amifend laid out (package firewall's doc).
var ourSets = []string{"allow4", "allow6", "ban4", "ban6"}

// lookUp applies the rough form of the rule by which [firewall.Table.Ensure] refuses a table: reading alone is not
// something that the firewall offers.
func lookUp(name string, netns int) (found, error) {
	c, err := nftables.New(nftables.WithNetNSFd(netns))
	if err != nil {
		return found{}, fmt.Errorf("look for the table: %w", err)
	}
	tables, err := c.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return found{}, fmt.Errorf("list tables: %w", err)
	}
	i := slices.IndexFunc(tables, func(t *nftables.Table) bool { return t.Name == name })
	if i < 0 {
		return found{}, nil
	}
	if owner := tables[i].Owner; owner != 0 {
		return found{exists: true, foreign: fmt.Sprintf("it is owned by the process with netlink port %d", owner)}, nil
	}
	sets, err := c.GetSets(tables[i])
	if err != nil {
		return found{}, fmt.Errorf("list sets: %w", err)
	}
	chains, err := c.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return found{}, fmt.Errorf("list chains: %w", err)
	}
	chains = slices.DeleteFunc(chains, func(c *nftables.Chain) bool { return c.Table == nil || c.Table.Name != name })
	ours := slices.ContainsFunc(sets, func(s *nftables.Set) bool { return slices.Contains(ourSets, s.Name) })
	if !ours && len(sets)+len(chains) > 0 {
		return found{exists: true, foreign: fmt.Sprintf("it holds %s and %s, but no set of ours",
			count(len(chains), "chain"), count(len(sets), "set"))}, nil
	}
	return found{exists: true}, nil
}
