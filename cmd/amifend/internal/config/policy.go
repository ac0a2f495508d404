package config

import (
	"errors"
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
	o.ForgeablePerMinute = int(get(l, "policy.forgeable_bans_per_minute", raw.ForgeableBansPerMinute, int64(o.ForgeablePerMinute)))
	o.BanProvedGuessers = get(l, "policy.ban_proved_guessers", raw.BanProvedGuessers, o.BanProvedGuessers)
	o.Canaries = get(l, "policy.canary_accounts", raw.CanaryAccounts, o.Canaries)
	o.MaxSources = int(get(l, "policy.max_sources", raw.MaxSources, int64(o.MaxSources)))
	l.weights(raw.Weights, &o)
	l.rules(raw.Rules, &o)
	if maxBans >= 1 && maxBans <= mostBans { // else that is a problem of its own
		o.MaxBans = maxBans
		if raw.MaxSources.set && o.MaxSources < 2*maxBans {
			l.problem("policy.max_sources", "%d is too few: write at least twice [firewall] max_bans, which is %d", o.MaxSources, 2*maxBans)
		}
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
		var option *policy.OptionError
		switch {
		case err == nil:
		case errors.As(err, &option):
			key := strings.TrimSuffix("policy."+option.Key, ".")
			l.problem(key, "%s: %s", option.Problem, option.Advice)
		default:
			l.problem("policy", "%s", err)
		}
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

// rules notes which rules are switched off.
func (l *loader) rules(raw map[string]value[bool], into *policy.Options) {
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		key := "policy.rules." + name
		rule, _ := policy.ParseRule(name)
		off, ok := into.Off.With(rule)
		switch {
		case !ok && slices.Contains(ruleNames(true), name):
			l.problem(key, "this rule cannot be switched off: leave it out")
		case !ok:
			l.problem(key, "is no rule; %s", suggestRule(name))
		case !get(l, key, raw[name], true):
			into.Off = off
		}
	}
}

func suggestRule(name string) string {
	valid := ruleNames(false)
	if best, ok := nearest(name, valid); ok {
		return "did you mean " + best + "?"
	}
	return "the rules are " + strings.Join(valid, ", ")
}

// ruleNames are the names of the rules that can be switched, or of those that cannot.
func ruleNames(fixed bool) []string {
	var out []string
	for _, r := range policy.Rules() {
		if r.Fixed == fixed {
			out = append(out, r.Name)
		}
	}
	return out
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
