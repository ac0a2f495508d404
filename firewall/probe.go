package firewall

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
)

// probeUpdates reports whether adding an element again sets its timeout anew, be it longer,
// shorter, or the first. Linux does so from 6.12 on; before, it ignores such an add. The feature is
// probed, not guessed from a version, as distributions backport.
//
// The scratch table has no chain, so that it can do nothing to traffic.
func probeUpdates(c *nftables.Conn) (bool, error) {
	table := scratchTable()
	set := &nftables.Set{
		Table: table, Name: "probe", KeyType: nftables.TypeIPAddr,
		KeyByteOrder: binaryutil.BigEndian, HasTimeout: true,
	}
	timed, permanent := []byte{192, 0, 2, 1}, []byte{192, 0, 2, 2}
	const before, after = 2 * time.Hour, time.Hour

	addScratch(c, table)
	err := c.AddSet(set, []nftables.SetElement{{Key: timed, Timeout: before}, {Key: permanent}})
	if err := errors.Join(err, c.Flush()); err != nil {
		return false, kernelError("probe the kernel", err)
	}

	// Add both again with a shorter timeout, and see which timeout they have then.
	err = c.SetAddElements(set, []nftables.SetElement{
		{Key: timed, Timeout: after},
		{Key: permanent, Timeout: after},
	})
	err = errors.Join(err, c.Flush())
	elems, readErr := c.GetSetElements(set)
	c.DelTable(table)

	if err := errors.Join(err, readErr, c.Flush()); err != nil {
		return false, kernelError("probe the kernel", err)
	}
	updated := len(elems) == 2
	for _, e := range elems {
		updated = updated && e.Timeout == after && e.Expires <= after
	}

	return updated, nil
}

// scratchTable returns the table in which we find out what the kernel can do.
func scratchTable() *nftables.Table {
	return &nftables.Table{
		Name: fmt.Sprintf("amifend-probe-%d", os.Getpid()), Family: nftables.TableFamilyINet,
	}
}

// addScratch queues that a scratch table is there and empty. A crash may have left one, and a delete
// must find something.
func addScratch(c *nftables.Conn, table *nftables.Table) {
	c.AddTable(table)
	c.DelTable(table)
	c.AddTable(table)
}

// tryLayout lays sets, counters and chains out in a scratch table, and removes it. No chain gets a hook,
// so that they do nothing to traffic.
func tryLayout(
	c *nftables.Conn, table *nftables.Table, sets []*nftables.Set, counters []string,
	chains []chainRules,
) error {
	addScratch(c, table)
	var errs []error
	for _, set := range sets {
		errs = append(errs, c.AddSet(set, nil))
	}
	for _, name := range counters {
		c.AddObj(counterObject(table, name))
	}

	// All chains come before the first rule, since rules jump to them.
	for _, ch := range chains {
		c.AddChain(&nftables.Chain{Name: ch.name, Table: table})
	}
	for _, ch := range chains {
		chain := &nftables.Chain{Name: ch.name, Table: table}
		for _, exprs := range ch.rules {
			c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: exprs})
		}
	}

	c.DelTable(table)
	return errors.Join(append(errs, c.Flush())...)
}
