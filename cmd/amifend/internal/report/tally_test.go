package report

import (
	"fmt"
	"math/rand/v2"
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
		if want := counted(t, files); total != want || want < 300 {
			t.Errorf("%d files: %d attempts in the report, the engine counted %d", len(files),
				total, want)
		}
	}
}

// counted is how many attempts an engine counts that bans nobody.
func counted(t *testing.T, files []string) int {
	t.Helper()
	set, err := recording.Open(files, recording.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	o := policy.DefaultOptions()
	o.Seed, o.Threshold, o.ProofWindow, o.Canaries = policy.FixedSeed, 1e6, time.Minute, nil
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
	engine.Advance(last + 10*companionWindow)
	s := engine.Stats()
	return int(s.Counted + s.Excused + s.Shielded + s.Covered + s.Protected)
}
