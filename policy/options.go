package policy

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Weights are what one attempt of each kind adds to a score. 0 means that the kind is no evidence.
type Weights [KindCount]float64

// Options are the engine's settings. Start from [DefaultOptions]: the zero value is not valid.
type Options struct {
	// Threshold is the score above which a source is banned.
	Threshold float64

	// HalfLife is after how long a score has halved.
	HalfLife time.Duration

	// BanTime is how long the first ban lasts, BanGrowth how many times longer than the one before
	// each further ban lasts, and BanMax how long the longest ban lasts.
	BanTime   time.Duration
	BanGrowth float64
	BanMax    time.Duration

	// ProofWindow is how long a success proves its source.
	ProofWindow time.Duration

	// Weights are what attempts weigh, and UnknownWeight what a ChallengeResponseFailed on
	// `<unknown>` weighs, in the place of its kind's weight.
	Weights       Weights
	UnknownWeight float64

	// MaxSources is how many addresses are remembered. Each takes at most 128 bytes, with its share
	// of the prefixes and accounts.
	MaxSources int

	// MaxBans is how many bans may run at a time, at most half of MaxSources.
	MaxBans int

	// Seed keys the hashes of the engine and of its [Hasher]. 0 means that [New] draws one, so that
	// nobody can choose addresses and names that collide. Set it only where two runs must be equal,
	// as in tests and replays: see [FixedSeed]. Verdicts do not depend on it as long as nothing is
	// evicted.
	Seed uint64

	// ForgeablePerMinute is how many bans on forgeable evidence may begin in a minute.
	ForgeablePerMinute int

	// BanProvedGuessers bans proved sources that seem to guess over UDP. Otherwise that is only
	// alerted.
	BanProvedGuessers bool

	// BanSharedSources bans shared sources through which somebody guesses over TCP, from that
	// transport, for ten minutes in an hour at most. Otherwise that is only alerted.
	BanSharedSources bool

	// Canaries are the accounts that nobody legitimate uses.
	Canaries []string

	// Off is the set of rules that are switched off.
	Off RuleSet
}

// FixedSeed is a seed for tests and replays, where equal input must give equal runs. An engine that
// listens to the Internet must not use it: see [Options].
const FixedSeed = 1

// The bounds that Validate holds options to.
const (
	maxThreshold = 1e6
	minSources   = 64
	minTable     = 64 // entries of the smaller tables
	maxCanaries  = 1000
	maxForgeable = 1_000_000
	maxSources   = 1 << 27
	maxDuration  = 10 * 365 * 24 * time.Hour
	maxWeight    = 1000
)

// DefaultOptions returns the defaults. With them, the fourth attempt on an unknown account bans,
// and the seventh wrong password on a known one.
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
			KindUnseenRequest:           1,
		},
		UnknownWeight: 1,
		MaxSources:    1_000_000,
		MaxBans:       262_144,

		ForgeablePerMinute: 1000,
	}
}

// OptionError is an option that cannot work. [Options.Validate] joins one for each.
type OptionError struct {
	// in the style of a config file: "half_life", "weights.FailedACL"; "" if no key sets it
	Key     string
	Value   any    // what the option is
	Problem string // what is wrong with it, the value included
	Advice  string // what to write instead
}

// Error returns the key, the problem and the advice, separated by colons.
func (e *OptionError) Error() string {
	if e.Key == "" {
		return e.Problem + ": " + e.Advice
	}
	return e.Key + ": " + e.Problem + ": " + e.Advice
}

// Validate returns an [*OptionError] for each option that cannot work, joined into one error.
func (o Options) Validate() error {
	var errs []error
	bad := func(key string, value any, problem, advice string) {
		errs = append(errs, &OptionError{Key: key, Value: value, Problem: problem, Advice: advice})
	}

	// Written so that NaN does not pass.
	if !(o.Threshold > 0 && o.Threshold <= maxThreshold) {
		bad("threshold", o.Threshold, fmt.Sprint(o.Threshold, " is not a score that can be passed"),
			"write a number above 0 and at most 1e6, such as 3")
	}
	if !(o.BanGrowth >= 1 && o.BanGrowth <= maxThreshold) {
		bad("ban_growth", o.BanGrowth, fmt.Sprint(o.BanGrowth, " would make bans shorter or endless"),
			"write a number from 1 to 1e6, such as 4")
	}

	errs = append(errs, o.durationProblems()...)
	errs = append(errs, o.sizeProblems()...)
	if len(o.Canaries) > maxCanaries {
		bad("canary_accounts", len(o.Canaries), fmt.Sprint(len(o.Canaries), " are too many"),
			fmt.Sprint("write at most ", maxCanaries))
	}
	if slices.Contains(o.Canaries, "") {
		bad("canary_accounts", "", "an empty name is not an account", "leave it out")
	}
	return errors.Join(append(errs, o.weightProblems()...)...)
}

// durationProblems returns an error for each duration that cannot work.
func (o Options) durationProblems() []error {
	var errs []error
	for _, c := range []struct {
		key     string
		d, low  time.Duration
		example string
	}{
		{"half_life", o.HalfLife, time.Second, "20m"},
		{"ban_time", o.BanTime, time.Second, "1h"},
		{"ban_max", o.BanMax, time.Second, "720h"},
		{"proof_window", o.ProofWindow, time.Minute, "24h"},
	} {
		if c.d < c.low || c.d > maxDuration {
			errs = append(errs, &OptionError{
				Key: c.key, Value: c.d, Problem: fmt.Sprint(c.d, " is out of range"),
				Advice: fmt.Sprintf("write a duration from %v to %v, such as %q",
					c.low, maxDuration, c.example),
			})
		}
	}

	if o.BanMax < o.BanTime {
		errs = append(errs, &OptionError{
			Key: "ban_max", Value: o.BanMax, Advice: "write at least that",
			Problem: fmt.Sprintf("%v is shorter than ban_time %v", o.BanMax, o.BanTime),
		})
	}
	return errs
}

// sizeProblems returns an error for each number of things that cannot work.
func (o Options) sizeProblems() []error {
	var errs []error
	for _, c := range []struct {
		key          string
		n, low, high int
		advice       string
	}{
		{
			"max_sources", o.MaxSources, minSources, maxSources,
			fmt.Sprintf("write a number from %d to %d, such as 1000000", minSources, maxSources),
		},
		{
			"max_bans", o.MaxBans, 1, o.MaxSources / 2,
			fmt.Sprintf("write a number from 1 to half of max_sources (%d)", o.MaxSources/2),
		},
		{
			"forgeable_bans_per_minute", o.ForgeablePerMinute, 1, maxForgeable,
			fmt.Sprintf("write a number from 1 to %d, such as 1000", maxForgeable),
		},
	} {
		if c.n < c.low || c.n > c.high {
			errs = append(errs, &OptionError{
				Key: c.key, Value: c.n, Problem: fmt.Sprint(c.n, " is out of range"), Advice: c.advice,
			})
		}
	}
	return errs
}

// weightProblems returns an error for each weight that cannot work.
func (o Options) weightProblems() []error {
	const advice = "write a number from 0 to 1000"
	var errs []error
	for k, w := range o.Weights {
		kind := Kind(k) // an index of Weights
		key := "weights." + kind.String()
		switch {
		case !validWeight(w):
			errs = append(errs, &OptionError{key, w, fmt.Sprint(w, " is not a weight"), advice})
		case w != 0 && (kind == KindSuccessfulAuth || kind == KindChallengeSent || kind == KindNone):
			errs = append(errs, &OptionError{
				key, w, "every phone raises it all the time", "write 0, or leave it out",
			})
		}
	}

	// No key of a config file sets this one alone.
	if w := o.UnknownWeight; !validWeight(w) {
		problem := fmt.Sprint("weight of ChallengeResponseFailed on <unknown>: ", w, " is not a weight")
		errs = append(errs, &OptionError{"", w, problem, advice})
	}
	return errs
}

// validWeight reports whether w is a weight. NaN is none.
func validWeight(w float64) bool { return w >= 0 && w <= maxWeight }

// seeded returns the options with a seed: one is drawn if they have none.
func (o Options) seeded() Options {
	for o.Seed == 0 {
		var b [8]byte
		_, _ = rand.Read(b[:]) // it never fails
		o.Seed = binary.LittleEndian.Uint64(b[:])
	}
	return o
}

// calm returns the score below which a source counts as having none: far under the threshold and
// under any one attempt.
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
	return escalated(o.BanTime, o.BanGrowth, strike, o.BanMax)
}

// escalated returns a duration that grew by a factor for each strike after the first, most at most.
func escalated(first time.Duration, growth float64, strike uint8, most time.Duration) time.Duration {
	d := float64(first) * math.Pow(growth, float64(strike)-1)
	if !(d < float64(most)) {
		return most
	}
	return time.Duration(d)
}
