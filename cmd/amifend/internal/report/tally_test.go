package report

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/recording"
	"github.com/amifend/amifend/policy"
)

// TestTotal: every attempt that the engine counts is counted for one source, and no other is.
// Traffic is random, of few sources with few Call-IDs, so that events meet in every way; and all
// captures.
func TestTotal(t *testing.T) {
	files, err := filepath.Glob("../../../../ami/testdata/captures/*.ami")
	if err != nil || len(files) < 25 {
		t.Fatal(len(files), err)
	}

	// A fixed seed, so that a failure comes again.
	rng := rand.New(rand.NewPCG(1, 2))
	kinds := []string{
		"InvalidAccountID", "InvalidAccountID", "ChallengeSent",
		"ChallengeResponseFailed", "FailedACL", "SuccessfulAuth",
	}

	var b strings.Builder
	for second := 0.0; second < 2000; second += rng.Float64() {
		kind := kinds[rng.IntN(len(kinds))]
		account := unknown
		if kind == "InvalidAccountID" || kind == "FailedACL" || kind == "SuccessfulAuth" {
			account = fmt.Sprint("a", rng.IntN(2))
		}

		b.WriteString(line(second, kind, fmt.Sprintf("IPV4/UDP/203.0.113.%d/5060", rng.IntN(3)),
			account, fmt.Sprint("c", rng.IntN(2))))
	}

	for _, files := range [][]string{files, {capture(t, b.String())}} {
		set, err := recording.Open(files, recording.Options{})
		if err != nil {
			t.Fatal(err)
		}

		// The default policy bans, and what a ban covers must count all the same.
		ta, err := newTally(&config.Config{Policy: policy.DefaultOptions()})
		if err != nil {
			t.Fatal(err)
		}
		if err := set.Play(t.Context(), ta.play); err != nil {
			t.Fatal(err)
		}

		set.Close()
		total := 0
		for _, s := range ta.finish().sources {
			if !s.addr.IsLoopback() { // which the engine does not judge
				total += s.attempts
			}
		}

		// At least so many, so that two counts of zero do not pass.
		if want := counted(t, files); total != want || want < 300 {
			t.Errorf("%d files: %d attempts in the report, the engine counted %d", len(files),
				total, want)
		}
	}
}

// counted returns the number of attempts that an engine without bans counts.
func counted(t *testing.T, files []string) int {
	t.Helper()
	set, err := recording.Open(files, recording.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()

	o := policy.DefaultOptions()

	// Nothing may ban or excuse: each attempt must reach the counters.
	o.Seed = policy.FixedSeed
	o.Threshold = 1e6
	o.ProofWindow = time.Minute
	o.Canaries = nil
	for _, r := range policy.Rules() {
		if r.Rule != policy.RuleRequests && r.Name != "ami_guessing" {
			o.Off, _ = o.Off.With(r.Rule)
		}
	}

	engine, err := policy.New(o)
	if err != nil {
		t.Fatal(err)
	}

	last := int64(0)
	if err := set.Play(t.Context(), func(ev *recording.Event) {
		last = ev.At
		engine.Observe(ev.Observation)
	}); err != nil {
		t.Fatal(err)
	}

	// Long enough for all that is held.
	engine.Advance(last + 10*companionWindow)
	s := engine.Stats()
	return int(s.Counted + s.Excused + s.Shielded + s.Covered + s.Protected)
}

// TestAMI: failures at the Manager Interface are attempts.
func TestAMI(t *testing.T) {
	got := run(t, FormatText, nil, "../../../../ami/testdata/captures/05_ami_service_events.ami")
	if !strings.Contains(got, "198.51.100.45") || !strings.Contains(got, "verdict: banned") {
		t.Errorf("%s", got)
	}
}

// TestPrefixBans: a ban of a prefix is noted with each source that it covers and that was known,
// without a look at all others.
func TestPrefixBans(t *testing.T) {
	ta, err := newTally(&config.Config{Policy: policy.DefaultOptions()})
	if err != nil {
		t.Fatal(err)
	}

	a := netip.MustParseAddr("2001:db8::1")
	b := netip.MustParseAddr("2001:db8::2")
	c := netip.MustParseAddr("2001:db9::1")

	// One source within the prefix, one outside, and one that comes between the two bans.
	ta.attempt(a, failure{at: 1})
	ta.attempt(c, failure{at: 1})
	ta.decision(policy.Verdict{
		Action: policy.ActionBan,
		Prefix: netip.MustParsePrefix("2001:db8::/64"), At: 2, Scope: policy.ScopeSIP,
		Rule: policy.RuleScore,
	})

	ta.decision(policy.Verdict{
		Action: policy.ActionBan,
		Prefix: netip.MustParsePrefix("2001:db8::/64"), At: 4, Scope: policy.ScopeAll,
		Rule: policy.RuleScore,
	})

	ta.attempt(b, failure{at: 3})

	// The first ban is older than b, so it counts only for a.
	bans := make(map[netip.Addr]string)
	for _, s := range ta.finish().sources {
		bans[s.addr] = fmt.Sprint(s.bans, s.ban.Scope)
	}

	if bans[a] != "2 all" || bans[b] != "1 all" || bans[c] != "0 none" {
		t.Errorf("%v", bans)
	}
}

// TestBounded: when there are too many sources, those with the fewest attempts are left out and
// counted.
func TestBounded(t *testing.T) {
	ta, err := newTally(&config.Config{Policy: policy.DefaultOptions()})
	if err != nil {
		t.Fatal(err)
	}

	addr := func(n int) netip.Addr {
		return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
	}

	// More than fit; every thousandth has two attempts, and must stay.
	const most = maxSources + 1000
	for n := range most {
		ta.attempt(addr(1<<24+n), failure{at: int64(n)})
		if n%1000 == 0 {
			ta.attempt(addr(1<<24+n), failure{at: int64(n)})
		}
	}

	// Nothing is lost from the totals, whatever is left out.
	r := ta.finish()
	if len(r.sources) > maxSources || len(r.sources)+r.others != most ||
		r.attempts != most+(most+999)/1000 {
		t.Errorf("%d sources, %d others, %d attempts", len(r.sources), r.others, r.attempts)
	}

	for i := range most / 1000 {
		if r.sources[i].attempts != 2 {
			t.Fatalf("one of the worst is left out")
		}
	}
}
