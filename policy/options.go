package policy

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Weights says how much one attempt of a kind adds to a score. 0 means that the kind is no evidence.
type Weights [KindCount]float64

// Options are the engine's settings. Those that users set have the config key's name in their comment.
type Options struct {
	Threshold     float64       // threshold: a source is banned when its score is above it
	HalfLife      time.Duration // half_life: after which a score has halved
	BanTime       time.Duration // ban_time: how long the first ban lasts
	BanGrowth     float64       // ban_growth: how many times longer than the one before each further ban lasts
	BanMax        time.Duration // ban_max: the longest ban
	ProofWindow   time.Duration // proof_window: how long a source stays proved after a success
	Weights       Weights       // weights
	UnknownWeight float64       // of a ChallengeResponseFailed on `<unknown>`, in the place of the kind's weight
	MaxSources    int           // max_sources: how many addresses are remembered; at most 128 bytes each, prefixes and accounts included
	MaxBans       int           // max_bans: how many bans may run at a time; at most half of MaxSources
	Seed          uint64        // of the hash tables; verdicts do not depend on it while nothing is evicted

	ForgeablePerMinute int      // forgeable_bans_per_minute: how many bans on forgeable evidence may begin in a minute
	BanProvedGuessers  bool     // ban_proved_guessers: ban, and do not only tell of, proved sources that seem to guess over UDP
	Canaries           []string // canary_accounts: accounts that nobody legitimate uses
	Off                RuleSet  // rules: those that are switched off
}

// The bounds that Validate holds options to.
const (
	maxThreshold = 1e6
	minSources   = 64
	minTable     = 64 // entries of the smaller tables
	maxCanaries  = 1000
	maxForgeable = 1_000_000
	maxSources   = 1 << 27
	maxDuration  = 10 * 365 * 24 * time.Hour
)

// DefaultOptions returns the defaults: the fourth attempt on an unknown account bans, and the seventh wrong password on
// a known one.
func DefaultOptions() Options {
	return Options{
		Threshold:   3,
		HalfLife:    20 * time.Minute,
		BanTime:     time.Hour,
		BanGrowth:   4,
		BanMax:      720 * time.Hour,
		ProofWindow: 24 * time.Hour,
		Weights: Weights{
			KindInvalidAccountID:        1,
			KindFailedACL:               1,
			KindChallengeResponseFailed: 0.5,
			KindInvalidPassword:         0.5,
			KindRequestBadFormat:        0.5,
			KindRequestNotAllowed:       0.5,
			KindRequestNotSupported:     0.25,
			KindInvalidTransport:        0.25,
			KindSessionLimit:            0.25,
			KindInjection:               1,
		},
		UnknownWeight: 1,
		MaxSources:    1_000_000,
		MaxBans:       262_144,

		ForgeablePerMinute: 1000,
	}
}

// Validate reports every option that cannot work, each with its config key and what to write instead, joined into one
// error.
func (o Options) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if !(o.Threshold > 0 && o.Threshold <= maxThreshold) {
		bad("threshold: %v is not a score that can be passed: write a number above 0 and at most 1e6, such as 3", o.Threshold)
	}
	if !(o.BanGrowth >= 1 && o.BanGrowth <= maxThreshold) {
		bad("ban_growth: %v would make bans shorter or endless: write a number from 1 to 1e6, such as 4", o.BanGrowth)
	}
	duration := func(key string, d, low time.Duration, example string) {
		if d < low || d > maxDuration {
			bad("%s: %v is out of range: write a duration from %v to %v, such as %q", key, d, low, maxDuration, example)
		}
	}
	duration("half_life", o.HalfLife, time.Second, "20m")
	duration("ban_time", o.BanTime, time.Second, "1h")
	duration("ban_max", o.BanMax, time.Second, "720h")
	duration("proof_window", o.ProofWindow, time.Minute, "24h")
	if o.BanMax < o.BanTime {
		bad("ban_max: %v is shorter than ban_time %v: write at least that", o.BanMax, o.BanTime)
	}
	if o.MaxSources < minSources || o.MaxSources > maxSources {
		bad("max_sources: %d is out of range: write a number from %d to %d, such as 1000000", o.MaxSources, minSources, maxSources)
	}
	if o.MaxBans < 1 || o.MaxBans > o.MaxSources/2 {
		bad("max_bans: %d is out of range: write a number from 1 to half of max_sources (%d)", o.MaxBans, o.MaxSources/2)
	}
	if o.ForgeablePerMinute < 1 || o.ForgeablePerMinute > maxForgeable {
		bad("forgeable_bans_per_minute: %d is out of range: write a number from 1 to %d, such as 1000", o.ForgeablePerMinute, maxForgeable)
	}
	if len(o.Canaries) > maxCanaries {
		bad("canary_accounts: %d are too many: write at most %d", len(o.Canaries), maxCanaries)
	}
	if slices.Contains(o.Canaries, "") {
		bad("canary_accounts: an empty name is no account: leave it out")
	}
	return errors.Join(append(errs, o.weightProblems()...)...)
}

// weightProblems reports the weights that cannot work.
func (o Options) weightProblems() []error {
	var errs []error
	for k, w := range o.Weights {
		kind := Kind(k) // an index of Weights
		switch {
		case !validWeight(w):
			errs = append(errs, fmt.Errorf("weights.%v: %v is no weight: write a number from 0 to 1000", kind, w))
		case w != 0 && (kind == KindSuccessfulAuth || kind == KindChallengeSent || kind == KindNone):
			errs = append(errs, fmt.Errorf("weights.%v: every phone raises it all the time: write 0, or leave it out", kind))
		}
	}
	if !validWeight(o.UnknownWeight) {
		errs = append(errs, fmt.Errorf("weight of ChallengeResponseFailed on <unknown>: %v is no weight: write a number from 0 to 1000",
			o.UnknownWeight))
	}
	return errs
}

func validWeight(w float64) bool { return w >= 0 && w <= 1000 }

// calm returns the score below which a source counts as having none: far under the threshold and under any one attempt.
func (o Options) calm() float64 {
	calm := o.Threshold / 100
	for _, w := range append(o.Weights[:], o.UnknownWeight) {
		if w > 0 {
			calm = math.Min(calm, w/16)
		}
	}
	return calm
}

// banDuration returns how long the ban of a strike lasts.
func (o Options) banDuration(strike uint8) time.Duration {
	d := float64(o.BanTime) * math.Pow(o.BanGrowth, float64(strike)-1)
	if !(d < float64(o.BanMax)) {
		return o.BanMax
	}
	return time.Duration(d)
}
