package denials

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
)

// rows is a journal that can be full, or not be read.
type rows struct {
	saved map[string][]byte
	full  bool
	err   error
}

func (r *rows) State(_ context.Context, visit func(journal.Row) error) error {
	for k, v := range r.saved {
		if err := visit(journal.Row{Key: []byte(k), Value: v}); err != nil {
			return err
		}
	}
	return r.err
}

func (r *rows) Save(all []journal.Row) bool {
	if r.full {
		return false
	}
	for _, row := range all {
		if len(row.Value) == 0 {
			delete(r.saved, string(row.Key))
		} else {
			r.saved[string(row.Key)] = row.Value
		}
	}
	return true
}

func prefix(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)
}

// texts returns the prefixes of a list.
func texts(list []config.Denied) string {
	var out []string
	for _, d := range list {
		out = append(out, d.Prefix.String())
	}
	return strings.Join(out, " ")
}

// TestKept: what is denied survives a restart, also when the journal had no room at first, and what
// was removed does not come back.
func TestKept(t *testing.T) {
	j := &rows{saved: map[string][]byte{"deny/nonsense": []byte("x"), "allow/10.0.0.0/8": []byte("{}")}}
	var told []config.Denied
	o := Options{
		Journal: j, Begun: owner.NewLatest[struct{}](),
		Tell: func(l []config.Denied) { told = l },
	}

	k := New(o)
	if !k.Load(t.Context()) || len(told) != 0 {
		t.Fatalf("loaded %v", told)
	}
	for _, i := range []int{2, 1, 3} {
		if err := k.Add(prefix(i), Denial{UID: 70007, Note: `"x"`, At: time.Unix(1e9, 0)}); err != nil {
			t.Fatal(err)
		}
	}
	j.full = true
	k.Save()
	j.full = false
	k.Save()
	if _, ok := k.Remove(prefix(3)); !ok {
		t.Error("it was not denied")
	}
	if _, ok := k.Remove(prefix(3)); ok {
		t.Error("removed twice")
	}
	k.Save()
	if got := texts(told); got != "10.0.1.0/24 10.0.2.0/24" {
		t.Errorf("told %s", got)
	}

	// The next run. A command comes before its journal could be read.
	again := New(o)
	again.Remove(prefix(2))
	if err := again.Add(prefix(9), Denial{}); err != nil {
		t.Fatal(err)
	}
	if !again.Load(t.Context()) || texts(told) != "10.0.1.0/24 10.0.2.0/24 10.0.9.0/24" {
		t.Errorf("told %s", texts(told))
	}
	if got := told[0].Where(); !strings.HasPrefix(got, "denied by uid 70007 on 200") ||
		!strings.HasSuffix(got, `(amifend deny): "x"`) {
		t.Error(got)
	}
}

// TestBegunAnew: a journal that was lost gets everything again.
func TestBegunAnew(t *testing.T) {
	j := &rows{saved: map[string][]byte{}}
	k := New(Options{
		Journal: j, Begun: owner.NewLatest[struct{}](),
		Denied: map[netip.Prefix]Denial{prefix(1): {}},
	})
	k.Save()
	clear(j.saved)
	k.Save()
	if len(j.saved) != 0 {
		t.Errorf("saved twice: %v", j.saved)
	}
	k.saveAnew()
	k.Save()
	if len(j.saved) != 1 || j.saved["deny/10.0.1.0/24"] == nil {
		t.Errorf("saved %v", j.saved)
	}
}

// TestUnreadable: a journal that cannot be read is tried again, and a command meanwhile counts.
func TestUnreadable(t *testing.T) {
	j := &rows{saved: map[string][]byte{}, err: errors.New("the disk")}
	k := New(Options{Journal: j, Begun: owner.NewLatest[struct{}]()})
	if k.Load(t.Context()) {
		t.Error("loaded")
	}
}

func TestFull(t *testing.T) {
	k := New(Options{})
	for i := range Most {
		if err := k.Add(prefix(i), Denial{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.Add(prefix(Most), Denial{}); !errors.Is(err, ErrFull) {
		t.Errorf("one too many: %v", err)
	}
	if err := k.Add(prefix(0), Denial{Note: "x"}); err != nil {
		t.Errorf("a change: %v", err)
	}
	if list := k.List(); len(list) != Most || !slices.IsSortedFunc(list,
		func(a, b config.Denied) int { return a.Prefix.Compare(b.Prefix) }) {
		t.Errorf("%d prefixes", len(list))
	}
}
