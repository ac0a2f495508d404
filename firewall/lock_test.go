package firewall

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/amifend/amifend/firewall/firewalltest"
)

func TestLock(t *testing.T) {
	ns := firewalltest.New(t)
	lockIn := func(ns *firewalltest.NS, table string) (lock io.Closer, err error) {
		ns.Do(t, func() error {
			lock, err = Lock(table)
			return nil
		})
		return lock, err
	}
	held, err := lockIn(ns, "amifend")
	if err != nil {
		t.Fatal(err)
	}
	_, err = lockIn(ns, "amifend")
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("pid %d ", os.Getpid())) || !strings.Contains(err.Error(), "@amifend-amifend") {
		t.Errorf("second lock: %v, want ErrLocked with our pid and the socket", err)
	}
	for name, other := range map[string]struct {
		ns    *firewalltest.NS
		table string
	}{"another table": {ns, "other"}, "another namespace": {firewalltest.New(t), "amifend"}} {
		lock, err := lockIn(other.ns, other.table)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		lock.Close()
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := lockIn(ns, "amifend")
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	again.Close()
}
