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
	table := &nftables.Table{
		Name:   fmt.Sprintf("amifend-probe-%d", os.Getpid()),
		Family: nftables.TableFamilyINet,
	}

	set := &nftables.Set{
		Table: table, Name: "probe", KeyType: nftables.TypeIPAddr,
		KeyByteOrder: binaryutil.BigEndian, HasTimeout: true,
	}
	timed, permanent := []byte{192, 0, 2, 1}, []byte{192, 0, 2, 2}
	const before, after = 2 * time.Hour, time.Hour

	// A crash may have left a table of this name. Deleting it needs one that is there.
	c.AddTable(table)
	c.DelTable(table)
	c.AddTable(table)
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
