package judge

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/policy"
)

// blockKeeper has the blocks as they were handed over.
type blockKeeper struct {
	full, round bool
	blocks      []journal.Block
}

func (k *blockKeeper) Wants() (block, round bool) { return !k.full, k.round }

func (k *blockKeeper) Keep(b journal.Block) bool {
	if k.full {
		return false
	}
	k.blocks = append(k.blocks, b)
	k.round = k.round && !b.First
	return true
}

// recalled returns an engine that was made of the blocks.
func (k *blockKeeper) recalled(t *testing.T, o policy.Options, now int64) *policy.Engine {
	t.Helper()
	e, found, err := policy.Recall(o, now, func(yield func([]byte) bool) {
		for _, b := range k.blocks {
			_, rest, ok := cutHead(b.Data)
			if len(b.Data) > 0 && (!ok || !yield(rest)) {
				t.Errorf("a block is none: %q", b.Data)
			}
		}
	})
	if err != nil || found.Damaged+found.Foreign+found.Dropped > 0 {
		t.Fatalf("%+v, %v", found, err)
	}
	return e
}

// scattered is an address in no network that another of the first millions is in.
func scattered(n int) netip.AddrPort {
	h := uint32(n) * 2654435761
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{
		byte(h >> 24), byte(h >> 16), byte(h >> 8), byte(h),
	}), 5060)
}

// While a flood changes more than can be saved, a round goes on all the same; while there is no
// room, nothing is taken from the engine; and nothing is lost.
func TestSaver(t *testing.T) {
	o := policy.DefaultOptions()
	o.MaxSources = 20_000
	o.MaxBans = 1000
	e, err := policy.New(o)
	if err != nil {
		t.Fatal(err)
	}

	now := time.Now().UnixNano()
	n := 0
	attack := func(sources int) {
		for range sources {
			n++
			e.Observe(policy.Observation{
				At: now, Kind: policy.KindInvalidAccountID, Service: policy.ServicePJSIP,
				Stream: true, Source: scattered(n),
			})
		}
	}

	k := &blockKeeper{round: true, full: true}
	s := saver{store: k}
	servers := []string{"office", "\"home\"\n"}
	attack(10_000)
	if d := s.step(e, servers, now); d != saveBeat || len(k.blocks) != 0 {
		t.Fatalf("without room: %d blocks, again in %s", len(k.blocks), d)
	}

	k.full = false
	rounds := 0
	for range 60 {
		attack(3000) // faster than it can be saved
		now += int64(saveBeat)
		s.step(e, servers, now)
	}

	for _, b := range k.blocks {
		if b.Last {
			rounds++
		}
	}

	if rounds == 0 || len(k.blocks) != 60 || !k.blocks[0].First {
		t.Errorf("%d rounds in %d blocks", rounds, len(k.blocks))
	}

	for step := 0; s.step(e, servers, now) == saveBeat; step++ {
		if step == 1000 {
			t.Fatal("it has no end")
		}
	}

	if got, want := k.recalled(t, o, now).Stats().Sources, e.Stats().Sources; got != want ||
		want < 15_000 {
		t.Errorf("%d sources are saved, of %d", got, want)
	}

	saved := len(k.blocks)
	attack(1)
	if s.step(e, servers, now); len(k.blocks) != saved {
		t.Error("it is saved at once")
	}
	if s.step(e, servers, now+int64(saveEvery)); len(k.blocks) != saved+1 {
		t.Error("it is not saved in time")
	}

	names, _, _ := cutHead(k.blocks[saved].Data)
	if !slices.Equal(names, servers) {
		t.Errorf("the servers are %q", names)
	}
}

// At the end all is saved, unless the disk does not take it.
func TestSaverFinish(t *testing.T) {
	e, err := policy.New(policy.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}

	now := time.Now().UnixNano()
	for i := range 20_000 {
		e.Observe(policy.Observation{
			At: now, Kind: policy.KindInvalidAccountID, Stream: true,
			Source: scattered(i),
		})
	}

	k := &blockKeeper{full: true}
	s := saver{store: k}
	broken := errors.New("the disk is full")
	if err := s.finish(e, nil, func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}

	calls := 0
	if err := s.finish(e, nil, func() error { calls++; k.full = false; return nil }); err != nil ||
		calls == 0 {
		t.Errorf("%v, %d calls", err, calls)
	}

	// The first block was lost with the first error.
	if got := k.recalled(t, policy.DefaultOptions(), now).Stats().Sources; got < 15_000 {
		t.Errorf("%d sources are saved", got)
	}
}
