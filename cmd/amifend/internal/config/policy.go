package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/amifend/amifend/policy"
)

// unknownFactor is how many times more a ChallengeResponseFailed weighs on an account that the PBX does not know, so that
// one key sets both weights.
const unknownFactor = 2

func (l *loader) policy(raw rawPolicy, maxBans int) policy.Options {
	o := policy.DefaultOptions()
	o.Threshold = get(l, "policy.threshold", raw.Threshold, o.Threshold)
	o.HalfLife = get(l, "policy.half_life", raw.HalfLife, o.HalfLife)
	o.BanTime = get(l, "policy.ban_time", raw.BanTime, o.BanTime)
	o.BanGrowth = get(l, "policy.ban_growth", raw.BanGrowth, o.BanGrowth)
	o.BanMax = get(l, "policy.ban_max", raw.BanMax, o.BanMax)
	o.ProofWindow = get(l, "policy.proof_window", raw.ProofWindow, o.ProofWindow)
	l.weights(raw.Weights, &o)
	if maxBans >= 1 && maxBans <= mostBans { // else that is a problem of its own
		o.MaxBans = maxBans
		o.MaxSources = max(o.MaxSources, 2*maxBans)
	}
	l.validate(o)
	return o
}

// validate notes what the engine has to say against its options, each with the line of its key.
func (l *loader) validate(o policy.Options) {
	errs := []error{o.Validate()}
	if joined, ok := errs[0].(interface{ Unwrap() []error }); ok {
		errs = joined.Unwrap()
	}
	for _, err := range errs {
		if err == nil {
			continue
		}
		key, text, ok := strings.Cut(err.Error(), ": ")
		if !ok || strings.Contains(key, " ") {
			key, text = "", err.Error()
		}
		l.problem(strings.TrimSuffix("policy."+key, "."), "%s", text)
	}
}

func (l *loader) weights(raw map[string]value[float64], into *policy.Options) {
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		key := "policy.weights." + name
		kind, ok := policy.ParseKind(name)
		if !ok {
			l.problem(key, "is no event of Asterisk; %s", suggestEvent(name))
			continue
		}
		into.Weights[kind] = get(l, key, raw[name], into.Weights[kind])
		if kind == policy.KindChallengeResponseFailed {
			into.UnknownWeight = min(unknownFactor*into.Weights[kind], 1000)
		}
	}
}

func suggestEvent(name string) string {
	valid := events()
	if best, ok := nearest(name, valid); ok {
		return "did you mean " + best + "?"
	}
	return "the events are " + strings.Join(valid, ", ")
}

// events are the names of Asterisk's security events, sorted.
func events() []string {
	var out []string
	for k := range policy.KindCount {
		if _, ok := policy.ParseKind(k.String()); ok {
			out = append(out, k.String())
		}
	}
	slices.Sort(out)
	return out
}
