package app

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/policy"
)

// saved waits until the journal has what the engine knows now: a daemon that is killed then must have lost nothing.
func saved(t *testing.T, file string) {
	t.Helper()
	const last = "SELECT coalesce(max(id), 0) FROM engine"
	before := query(t, file, last)
	end := time.Now().Add(10 * time.Second)
	for query(t, file, last) == before {
		if time.Now().After(end) {
			t.Fatal("nothing is saved within 10 s")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Scores and proof outlive a kill -9: three attempts before it and one after it ban, and a phone that proved itself is not
// banned for what others forge in its name.
func TestScoresOutliveAKill(t *testing.T) {
	t.Parallel() // it waits most of the time
	s := newSite(t, 1)
	file := s.withState(t)
	p := s.spawn(t)
	p.said(t, "amifend runs", "")
	eventually(t, "it is logged in", func() bool { return s.pbxs[0].Sessions() >= 1 })
	s.pbxs[0].Emit(amitest.NewPeer("192.0.2.20:5060").Register("200")...)
	guess(s.pbxs[0], "203.0.113.5:5060", "TCP", 3)
	saved(t, file) // a part of it, perhaps
	guess(s.pbxs[0], "192.0.4.1:5060", "TCP", 1)
	saved(t, file)
	p.kill(t)

	p = s.spawn(t)
	if l := p.said(t, "scores and proof of the run before are known", ""); l["entries"].(float64) < 5 {
		t.Errorf("said %v", l)
	}
	p.said(t, "amifend runs", "")
	eventually(t, "it is logged in", func() bool { return s.pbxs[0].Sessions() >= 1 })
	guess(s.pbxs[0], "192.0.2.20:5060", "UDP", 4)
	guess(s.pbxs[0], "192.0.3.21:5060", "UDP", 4) // the same of a stranger
	p.said(t, "banned", "192.0.3.21")
	guess(s.pbxs[0], "203.0.113.5:5060", "TCP", 1)
	if l := p.said(t, "banned", "203.0.113.5"); l["attempts"].(float64) != 4 {
		t.Errorf("said %v", l)
	}
	if s.element(t, s.table(t), "192.0.2.20/32", sip) != nil {
		t.Error("a phone that proved itself is banned after a kill")
	}
}

// A clean stop saves all at once, wherever the servers stand in the config after it.
func TestScoresOutliveAStop(t *testing.T) {
	s := newSite(t, 2)
	file := s.withState(t)
	r := s.start(t)
	guess(s.pbxs[1], "203.0.113.5:5060", "TCP", 3)
	eventually(t, "it is judged", func() bool { return s.pbxs[1].Sessions() >= 1 })
	time.Sleep(100 * time.Millisecond)
	r.stop(t)
	if got := query(t, file, "SELECT count(*) > 0 FROM engine"); got != "1" {
		t.Fatalf("saved: %s", got)
	}
	slices.Reverse(s.config.Servers)
	r = s.start(t)
	guess(s.pbxs[0], "203.0.113.5:5060", "TCP", 1)
	l := r.wait(t, "banned", "203.0.113.5")
	if e := l.text("evidence"); strings.Count(e, "pbx2:") != 1 || strings.Count(e, "pbx1:") != 1 || !strings.HasPrefix(e, "pbx2:") {
		t.Errorf("evidence %q", e)
	}
}

// Who was pardoned by a command is pardoned after a kill -9 right after the answer.
func TestPardonOutlivesAKill(t *testing.T) {
	s := newSite(t, 1)
	s.withState(t)
	c := s.withControl(t)
	p := s.spawn(t)
	ready(t, c)
	eventually(t, "it is logged in", func() bool { return s.pbxs[0].Sessions() >= 1 })
	guess(s.pbxs[0], "203.0.113.5:5060", "TCP", 4)
	p.said(t, "banned", "203.0.113.5")
	if _, err := c.Unban(t.Context(), netip.MustParsePrefix("203.0.113.5/32")); err != nil {
		t.Fatal(err)
	}
	p.kill(t)
	p = s.spawn(t)
	ready(t, c)
	eventually(t, "it is logged in", func() bool { return s.pbxs[0].Sessions() >= 1 })
	guess(s.pbxs[0], "203.0.113.5:5060", "TCP", 3)
	guess(s.pbxs[0], "198.18.0.1:5060", "TCP", 4)
	p.said(t, "banned", "198.18.0.1")
	if s.element(t, s.table(t), "203.0.113.5/32", all) != nil {
		t.Error("three attempts after a pardon ban")
	}
	guess(s.pbxs[0], "203.0.113.5:5060", "TCP", 1)
	if l := p.said(t, "banned", "203.0.113.5"); l["attempts"].(float64) != 4 || l["strike"].(float64) != 1 {
		t.Errorf("said %v", l)
	}
}

// What is damaged of the state is told and left out, and the rest is used.
func TestDamagedState(t *testing.T) {
	s := newSite(t, 1)
	file := s.withState(t)
	for i := range 3 { // a block each, at least
		r := s.start(t)
		guess(s.pbxs[0], fmt.Sprintf("10.0.%d.1:5060", i), "TCP", 3)
		time.Sleep(100 * time.Millisecond)
		r.stop(t)
	}
	edit(t, file, "UPDATE engine SET block = CAST(substr(block, 1, 200) || 'x' || substr(block, 202) AS BLOB) WHERE id = (SELECT max(id) FROM engine)")
	edit(t, file, "INSERT INTO engine VALUES (1000, 0, 'no block'), (1001, 0, x'')")
	r := s.start(t)
	if l := r.wait(t, "a part of the engine's state cannot be read: some scores and proof are forgotten, the rest is used", ""); l["damaged_blocks"].(float64) != 3 {
		t.Errorf("said %v", l)
	}
	guess(s.pbxs[0], "10.0.0.1:5060", "TCP", 1)
	r.wait(t, "banned", "10.0.0.1")
}

// scattered is an address in no network that another of the first millions is in.
func scattered(n int) netip.AddrPort {
	h := uint32(n) * 2654435761
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(h >> 24), byte(h >> 16), byte(h >> 8), byte(h)}), 5060)
}

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

// recalled is what an engine that goes on from the blocks knows.
func (k *blockKeeper) recalled(t *testing.T, o policy.Options, now int64) *policy.Engine {
	t.Helper()
	e, found, err := policy.Recall(o, now, func(yield func([]byte) bool) {
		for _, b := range k.blocks {
			_, rest, ok := namedServers(b.Data)
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

// While a flood changes more than can be saved, a round goes on all the same; while there is no room, nothing is taken from the
// engine; and nothing is lost.
func TestSaver(t *testing.T) {
	o := policy.DefaultOptions()
	o.MaxSources, o.MaxBans = 20_000, 1000
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
				At: now, Kind: policy.KindInvalidAccountID, Service: policy.ServicePJSIP, Stream: true,
				Source: scattered(n),
			})
		}
	}
	k := &blockKeeper{round: true, full: true}
	s := saver{keeper: k}
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
	if got, want := k.recalled(t, o, now).Stats().Sources, e.Stats().Sources; got != want || want < 15_000 {
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
	names, _, _ := namedServers(k.blocks[saved].Data)
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
	s := saver{keeper: k}
	broken := errors.New("the disk is full")
	if err := s.finish(e, nil, func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	calls := 0
	if err := s.finish(e, nil, func() error { calls++; k.full = false; return nil }); err != nil || calls == 0 {
		t.Errorf("%v, %d calls", err, calls)
	}
	if got := k.recalled(t, policy.DefaultOptions(), now).Stats().Sources; got < 15_000 { // the first block was lost with the first error
		t.Errorf("%d sources are saved", got)
	}
}

// A line of names is believed only if it is whole.
func TestNamedServers(t *testing.T) {
	names := []string{"office", "a\nb", "é\"x"}
	line := append(nameServers(names), "block\n"...)
	got, rest, ok := namedServers(line)
	if !ok || !slices.Equal(got, names) || string(rest) != "block\n" {
		t.Errorf("%q, %q, %v", got, rest, ok)
	}
	end := slices.Index(line, '\n')
	for i := range end + 1 {
		bad := slices.Clone(line)
		bad[i] ^= 0x11
		if _, _, ok := namedServers(bad); ok {
			t.Errorf("byte %d is another, and it is believed: %q", i, bad)
		}
	}
	for _, bad := range []string{"", "\n", "0 \n", "0 []", "zz []\n", strconv.Itoa(1<<30) + "\n"} {
		if _, _, ok := namedServers([]byte(bad)); ok {
			t.Errorf("%q is believed", bad)
		}
	}
	if !follow(names, names[:1]) || !follow(names, nil) || follow(names[:1], names) || follow([]string{"x", "y"}, names[:1]) {
		t.Error("which names follow which is wrong")
	}
}
