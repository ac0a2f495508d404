package daemon

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/policy"
)

// recallWhile returns an engine made of the blocks that a daemon has written so far; nil if there
// are none that can be read yet.
func recallWhile(t *testing.T, file string, o policy.Options) *policy.Engine {
	t.Helper()
	text := query(t, file, "SELECT hex(block) FROM engine ORDER BY id")
	e, _, err := policy.Recall(o, time.Now().UnixNano(), func(yield func([]byte) bool) {
		for digits := range strings.SplitSeq(text, ", ") {
			block, err := hex.DecodeString(digits)
			_, rest, ok := bytes.Cut(block, []byte("\n")) // the names of the servers come first
			if err != nil || !ok || !yield(rest) {
				return
			}
		}
	})
	if err != nil {
		return nil
	}

	return e
}

// Scores and proof outlive a kill -9: three attempts before it and one after it ban, and a phone
// that proved itself is not banned for what others forge in its name.
func TestScoresOutliveAKill(t *testing.T) {
	t.Parallel() // it waits most of the time
	s := newSite(t, 1)
	s.withState(t)
	c := s.withControl(t)
	p := s.spawn(t)
	p.Said(t, "amifend runs", "")
	eventually(t, "it is logged in", func() bool { return s.pbxs[0].Sessions() >= 1 })
	s.pbxs[0].Emit(amitest.NewPeer("192.0.2.20:5060").Register("200")...)
	guess(s.pbxs[0], "203.0.113.5:5060", "TCP", 3)

	// A new block proves nothing: it may be older than the last of these events.
	eventually(t, "the scores and the proof are on the disk", func() bool {
		e := recallWhile(t, backedUp(t, c), s.config.Policy)
		return e != nil && e.Explain(netip.MustParseAddr("203.0.113.5")).Attempts == 3 &&
			e.Explain(netip.MustParseAddr("192.0.2.20")).Proved
	})

	p.kill(t)

	p = s.spawn(t)
	l := p.Said(t, "scores and proof of the run before are known", "")
	if l["entries"].(float64) < 2 {
		t.Errorf("said %v", l)
	}

	p.Said(t, "amifend runs", "")
	eventually(t, "it is logged in", func() bool { return s.pbxs[0].Sessions() >= 1 })
	guess(s.pbxs[0], "192.0.2.20:5060", "UDP", 4)
	guess(s.pbxs[0], "192.0.3.21:5060", "UDP", 4) // the same of a stranger
	p.Said(t, "banned", "192.0.3.21")
	guess(s.pbxs[0], "203.0.113.5:5060", "TCP", 1)
	if l := p.Said(t, "banned", "203.0.113.5"); l["attempts"].(float64) != 4 {
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
	l := r.Wait(t, "banned", "203.0.113.5")
	if e := l.Text("evidence"); strings.Count(e, "pbx2:") != 1 || strings.Count(e, "pbx1:") != 1 ||
		!strings.HasPrefix(e, "pbx2:") {
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
	p.Said(t, "banned", "203.0.113.5")
	if _, err := c.Unban(t.Context(), netip.MustParsePrefix("203.0.113.5/32")); err != nil {
		t.Fatal(err)
	}

	p.kill(t)
	p = s.spawn(t)
	ready(t, c)
	eventually(t, "it is logged in", func() bool { return s.pbxs[0].Sessions() >= 1 })
	guess(s.pbxs[0], "203.0.113.5:5060", "TCP", 3)
	guess(s.pbxs[0], "198.18.0.1:5060", "TCP", 4)
	p.Said(t, "banned", "198.18.0.1")
	if s.element(t, s.table(t), "203.0.113.5/32", all) != nil {
		t.Error("three attempts after a pardon ban")
	}

	guess(s.pbxs[0], "203.0.113.5:5060", "TCP", 1)
	if l := p.Said(t, "banned", "203.0.113.5"); l["attempts"].(float64) != 4 ||
		l["strike"].(float64) != 1 {
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

	edit(t, file,
		"UPDATE engine SET block = CAST(substr(block, 1, 200) || 'x' || substr(block, 202) AS "+
			"BLOB) WHERE id = (SELECT max(id) FROM engine)")
	edit(t, file, "INSERT INTO engine VALUES (1000, 0, 'no block'), (1001, 0, x'')")
	r := s.start(t)
	if l := r.Wait(t, "a part of the engine's state cannot be read: some scores and proof are "+
		"forgotten, the rest is used", ""); l["damaged_blocks"].(float64) != 3 {
		t.Errorf("said %v", l)
	}

	guess(s.pbxs[0], "10.0.0.1:5060", "TCP", 1)
	r.Wait(t, "banned", "10.0.0.1")
}

// scattered is an address in no network that another of the first millions is in.
func scattered(n int) netip.AddrPort {
	h := uint32(n) * 2654435761
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{
		byte(h >> 24), byte(h >> 16), byte(h >> 8), byte(h),
	}), 5060)
}
