package policy

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

func TestDefaultsAreThoseOfTheIssue(t *testing.T) {
	o := DefaultOptions()
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	if o.Threshold != 3 || o.HalfLife != 20*time.Minute || o.BanTime != time.Hour ||
		o.BanGrowth != 4 ||
		o.BanMax != 720*time.Hour || o.ProofWindow != 24*time.Hour ||
		o.UnknownWeight != 1 {
		t.Errorf("got %+v", o)
	}
	want := map[Kind]float64{
		KindInvalidAccountID: 1, KindFailedACL: 1, KindChallengeResponseFailed: 0.5, KindInvalidPassword: 0.5,
		KindRequestBadFormat: 0.5, KindRequestNotAllowed: 0.5,
		KindRequestNotSupported: 0.25, KindInvalidTransport: 0.25,
		KindSessionLimit: 0.25, KindInjection: 1, KindUnseenRequest: 1,
	}
	for k, w := range o.Weights {
		if w != want[Kind(k)] {
			t.Errorf("%v: got %v, want %v", Kind(k), w, want[Kind(k)])
		}
	}
}

func TestValidateNamesTheKeyAndWhatToWrite(t *testing.T) {
	for _, tt := range []struct {
		change func(*Options)
		want   string
	}{
		{func(o *Options) { o.Threshold = 0 }, "threshold: 0 "},
		{func(o *Options) { o.Threshold = math.NaN() }, "threshold: NaN "},
		{func(o *Options) { o.Threshold = math.Inf(1) }, "threshold: +Inf "},
		{func(o *Options) { o.HalfLife = 0 }, "half_life: 0s "},
		{func(o *Options) { o.BanTime = time.Millisecond }, "ban_time: 1ms "},
		{
			func(o *Options) { o.BanTime = 800 * time.Hour },
			"ban_max: 720h0m0s is shorter than ban_time 800h",
		},
		{func(o *Options) { o.BanGrowth = 0.5 }, "ban_growth: 0.5 "},
		{func(o *Options) { o.BanGrowth = math.NaN() }, "ban_growth: NaN "},
		{func(o *Options) { o.BanMax = math.MaxInt64 }, "ban_max: "},
		{func(o *Options) { o.ProofWindow = 0 }, "proof_window: 0s "},
		{func(o *Options) { o.ProofWindow = -time.Hour }, "proof_window: -1h"},
		{func(o *Options) { o.MaxSources = 3 }, "max_sources: 3 "},
		{func(o *Options) { o.MaxBans = 0 }, "max_bans: 0 "},
		{func(o *Options) { o.MaxBans = o.MaxSources }, "max_bans: 1000000 "},
		{func(o *Options) { o.Weights[KindFailedACL] = -1 }, "weights.FailedACL: -1 "},
		{
			func(o *Options) { o.Weights[KindInvalidPassword] = math.Inf(1) },
			"weights.InvalidPassword: +Inf ",
		},
		{
			func(o *Options) { o.Weights[KindInvalidPassword] = math.NaN() },
			"weights.InvalidPassword: NaN ",
		},
		{
			func(o *Options) { o.Weights[KindChallengeSent] = 1 },
			"weights.ChallengeSent: every phone",
		},
		{
			func(o *Options) { o.Weights[KindSuccessfulAuth] = 1 },
			"weights.SuccessfulAuth: every phone",
		},
		{
			func(o *Options) { o.UnknownWeight = -1 },
			"weight of ChallengeResponseFailed on <unknown>: -1 ",
		},
	} {
		o := DefaultOptions()
		tt.change(&o)
		err := o.Validate()
		if err == nil || !strings.Contains(err.Error(), tt.want) ||
			!strings.Contains(err.Error(), "write") {
			t.Errorf("got %v, want %q and what to write", err, tt.want)
		}
		var option *OptionError
		if !errors.As(err, &option) || option.Value == nil ||
			!strings.HasPrefix(tt.want, option.Key) {
			t.Errorf("got %+v, want the key of %q and its value", option, tt.want)
		}
		if _, err := New(o); err == nil {
			t.Errorf("New took options with %q", tt.want)
		}
	}
	o := DefaultOptions()
	o.Threshold, o.HalfLife, o.MaxBans = -1, -1, -1
	if err := o.Validate(); strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("got %v, want three problems", err)
	}
}

func TestBanDurationStaysWithinBanMax(t *testing.T) {
	o := DefaultOptions()
	o.BanGrowth, o.BanMax = 1e6, maxDuration
	for strike, want := range map[uint8]time.Duration{1: time.Hour, 2: maxDuration, 255: maxDuration} {
		if got := o.banDuration(strike); got != want {
			t.Errorf("strike %d: got %v, want %v", strike, got, want)
		}
	}
	o.BanGrowth = 1
	if got := o.banDuration(255); got != time.Hour {
		t.Errorf("without growth: got %v", got)
	}
}

// Small weights against a high threshold still add up.
func TestAttemptsAddUpWhateverTheScale(t *testing.T) {
	l := newLab(t, func(o *Options) { o.Threshold, o.Weights[KindSessionLimit] = 1000, 0.5 })
	for range 3000 {
		l.feed(event(KindSessionLimit, ServiceAMI, attacker, "a", ""))
	}
	if v := l.banned(); v.Attempts < 2000 || v.Attempts > 2010 {
		t.Errorf("got %d attempts", v.Attempts)
	}
}

// An engine draws its seed, another one each time, unless it is told one; its hasher is of that
// seed.
func TestSeedIsDrawn(t *testing.T) {
	seeds := map[uint64]bool{0: true}
	for range 8 {
		e, err := New(DefaultOptions())
		if err != nil {
			t.Fatal(err)
		}
		if seeds[e.Seed()] || e.Hasher() != NewHasher(e.Seed()) {
			t.Errorf("seed %d: it was drawn before, or the hasher is of another", e.Seed())
		}
		seeds[e.Seed()] = true
	}

	e, err := New(fixedOptions())
	if err != nil || e.Seed() != FixedSeed || e.Hasher() != hasher {
		t.Errorf("fixed: seed %d, %v", e.Seed(), err)
	}
}
