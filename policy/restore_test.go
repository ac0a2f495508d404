package policy

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// eventful returns an engine that remembers something of every sort, and small options to restore it with.
func eventful(t rapid.TB) (*lab, Options) {
	o := DefaultOptions()
	o.MaxSources, o.MaxBans, o.Seed = minSources, minSources/2, 7
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, e: e, now: start}
	l.feed(registered(phone))
	l.feed(guesses(6, phone)...)
	l.feed(challenges(6, "192.0.2.1")...)
	l.feed(unknownUser("a", "c")...)
	l.feed(unknownUser("a", "c")[0]) // held
	l.scan(attacker)
	for name, n := range map[string]int{
		"sources": e.sources.n, "networks": e.networks.n, "pairs": e.pairs.n, "accounts": e.accounts.n, "requests": e.requests.n,
		"silents": e.silents.n, "trails": e.trails.n, "bans": e.bans.n, "alerts": e.alerts.n,
	} {
		if n == 0 {
			t.Fatalf("the state has no %s", name)
		}
	}
	return l, o
}

func (l *lab) export() []byte {
	l.t.Helper()
	var b bytes.Buffer
	if err := l.e.Export(&b); err != nil {
		l.t.Fatal(err)
	}
	return b.Bytes()
}

// A state that is cut short anywhere, goes on after its end, or begins otherwise, is an error and no engine.
func TestRestoreRefusesDamage(t *testing.T) {
	l, o := eventful(t)
	state := l.export()
	refused := func(what string, data []byte) {
		t.Helper()
		e, err := Restore(o, math.MaxInt64/2, bytes.NewReader(data))
		if err == nil || e != nil || !strings.HasPrefix(err.Error(), "read policy state: ") {
			t.Errorf("%s: got %v", what, err)
		}
	}
	for n := range state {
		if n > 200 && n%7 != 0 { // each offset of the head and of the first records, then one in seven
			continue
		}
		refused(fmt.Sprint("cut at ", n), state[:n])
	}
	refused("a byte more", append(bytes.Clone(state), 0))
	for i := range stateMagic {
		other := bytes.Clone(state)
		other[i]++
		refused(fmt.Sprint("magic ", i), other)
	}
	// A number of records that the state does not have makes no large allocation first.
	bad := append(bytes.Clone(state[:len(stateMagic)+8+8+4+4+4+1]), 0xff, 0xff, 0xff, 0xff)
	refused("four thousand million bans", bad)
	if _, err := Restore(o, math.MaxInt64/2, bytes.NewReader(state)); err != nil {
		t.Errorf("undamaged: %v", err)
	}
	o.Threshold = -1
	if _, err := Restore(o, math.MaxInt64/2, bytes.NewReader(state)); err == nil || !strings.Contains(err.Error(), "threshold") {
		t.Errorf("bad options: got %v", err)
	}
}

func TestRestoreRefusesValuesThatAreNone(t *testing.T) {
	for name, damage := range map[string]func(e *Engine){
		"NaN":                 func(e *Engine) { e.sources.at(1).val.proven = float32(math.NaN()) },
		"infinite":            func(e *Engine) { e.networks.at(1).val.forgeable = float32(math.Inf(1)) },
		"negative":            func(e *Engine) { e.pairs.at(1).val.debt.proven = -1 },
		"a rule":              func(e *Engine) { e.bans.at(1).val.rule = ruleCount },
		"a kind":              func(e *Engine) { e.trails.at(1).val.ring[0].Kind = KindCount },
		"a scope":             func(e *Engine) { e.bans.at(1).val.scope = 3 },
		"no scope":            func(e *Engine) { e.bans.at(1).val.scope = ScopeNone },
		"a label":             func(e *Engine) { e.accounts.at(1).val.n = labelText + 1 },
		"empty evidence":      func(e *Engine) { e.trails.at(1).val.n = 0 },
		"a prefix":            func(e *Engine) { e.bans.at(1).key.bits = hostBits + 1 },
		"host bits":           func(e *Engine) { e.bans.at(1).key.bits = 100 },
		"challenges, weighed": func(e *Engine) { e.silents.at(1).val.weighed = 99 },
		"a source twice":      func(e *Engine) { e.sources.at(1).key = e.sources.at(2).key },
	} {
		l, o := eventful(t)
		damage(l.e)
		if _, err := Restore(o, math.MaxInt64/2, bytes.NewReader(l.export())); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
}

// With less room the newest are kept, and all that runs: bans, and the proof of the phone that was heard last.
func TestRestoreWithLessRoomKeepsTheNewest(t *testing.T) {
	l := newLab(t, func(o *Options) { o.MaxSources, o.MaxBans = 4096, 1024 }, off("account_under_attack", "server_under_attack"))
	for i := range 1000 {
		l.every(time.Second, forged(spoofed(i)))
	}
	for i := range 10 {
		l.scan(fmt.Sprintf("203.0.%d.1", i))
	}
	l.feed(registered(phone))
	o := DefaultOptions()
	o.MaxSources, o.MaxBans = 128, 64
	e, err := Restore(o, math.MaxInt64/2, bytes.NewReader(l.export()))
	if err != nil {
		t.Fatal(err)
	}
	small := &lab{t: t, e: e, now: l.now}
	if n := e.sources.n; n != 128 {
		t.Errorf("sources: got %d, want 128", n)
	}
	if !small.explain(phone).Proved {
		t.Error("the phone is forgotten")
	}
	for i := range 10 {
		if a := fmt.Sprintf("203.0.%d.1", i); !small.isBanned(a) {
			t.Errorf("%s is not banned any more", a)
		}
	}
	for i := range 1000 {
		if known, want := small.explain(spoofed(i)).Known, i >= 1000-117; known != want {
			t.Errorf("source %d: known %v, want %v", i, known, want)
		}
	}
	e.sources.check(t)
	small.drop()
	small.flood(rand.New(rand.NewPCG(1, 2)), 5000, 1) // and nothing breaks
	e.sources.check(t)
}

// The seed is the state's; options that changed count from now on; what is protected is not part of it.
func TestRestoreTakesTheNewOptions(t *testing.T) {
	l, o := eventful(t)
	l.e.Protect(l.now, NewProtected([]ProtectedEntry{{netip.MustParsePrefix("198.51.100.7/32"), "allow"}}, nil))
	o.Seed, o.Threshold, o.Off = 99, 100, RuleSet(1<<ruleProvedGuessing)
	e, err := Restore(o, math.MaxInt64/2, bytes.NewReader(l.export()))
	if err != nil {
		t.Fatal(err)
	}
	if e.Seed() != 7 {
		t.Errorf("seed: got %d, want 7", e.Seed())
	}
	if x := e.Explain(hostAddr("198.51.100.7")); x.Protected != "" {
		t.Errorf("protected: got %q", x.Protected)
	}
	again := &lab{t: t, e: e, now: l.now}
	again.feed(all(guesses(20, "198.51.100.7"), overStream)...)
	again.quiet()
	if !again.isBanned(attacker) {
		t.Error("the ban is forgotten")
	}
}

// A writer that fails is told.
func TestExportTellsOfAFullDisk(t *testing.T) {
	l, _ := eventful(t)
	if err := l.e.Export(fullDisk{}); !errors.Is(err, errFull) {
		t.Errorf("got %v", err)
	}
}

var errFull = errors.New("no space left on device")

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

// A bit that flipped anywhere is found by the checksum.
func TestRestoreFindsFlippedBits(t *testing.T) {
	l, o := eventful(t)
	state := l.export()
	for i := 0; i < len(state); i += 1 + len(state)/300 {
		state[i] ^= 1 << (i % 8)
		if _, err := Restore(o, l.now, bytes.NewReader(state)); err == nil {
			t.Errorf("byte %d of %d: it was taken", i, len(state))
		}
		state[i] ^= 1 << (i % 8)
	}
}

// A state from the future, written while the clock was wrong, neither stops time nor lets bans, strikes or proofs last longer
// than they may.
func TestRestoreOfAStateFromTheFuture(t *testing.T) {
	l, o := eventful(t)
	year := int64(365 * 24 * time.Hour)
	now := l.now - year
	e, err := Restore(o, now, bytes.NewReader(l.export()))
	if err != nil {
		t.Fatal(err)
	}
	again := &lab{t: t, e: e, now: now}
	again.wait(time.Second)
	if x := again.explain(phone); x.At != again.now || x.ProofAt > now || !x.Proved {
		t.Errorf("the phone: at %v, proof at %v, proved %v", x.At-now, x.ProofAt-now, x.Proved)
	}
	if b, ok := e.Ban(hostAddr(attacker)); ok && b.Until > now+int64(o.BanMax) {
		t.Errorf("the ban lasts %v", time.Duration(b.Until-now))
	}
	again.wait(o.BanMax + time.Second)
	if again.isBanned(attacker) {
		t.Error("banned for longer than ban_max")
	}
	if again.explain(phone).Proved {
		t.Error("the proof lasts")
	}
	again.scan("203.0.113.77")
	if !again.isBanned("203.0.113.77") {
		t.Error("a new attacker is not banned")
	}
}
