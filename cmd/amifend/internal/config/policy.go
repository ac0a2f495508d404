package config

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/amifend/amifend/policy"
)

// unknownFactor multiplies the weight of a ChallengeResponseFailed on an account that the PBX does
// not know. One key sets both weights.
const unknownFactor = 2

// policy reads [policy]. The engine needs room for at least maxBans bans.
func (l *loader) policy(raw rawPolicy, maxBans int) policy.Options {
	o := policy.DefaultOptions()
	o.Threshold = get(l, "policy.threshold", raw.Threshold, o.Threshold)
	o.HalfLife = get(l, "policy.half_life", raw.HalfLife, o.HalfLife)
	o.BanTime = get(l, "policy.ban_time", raw.BanTime, o.BanTime)
	o.BanGrowth = get(l, "policy.ban_growth", raw.BanGrowth, o.BanGrowth)
	o.BanMax = get(l, "policy.ban_max", raw.BanMax, o.BanMax)
	o.ProofWindow = get(l, "policy.proof_window", raw.ProofWindow, o.ProofWindow)
	o.ForgeablePerMinute = int(get(l, "policy.forgeable_bans_per_minute",
		raw.ForgeableBansPerMinute, int64(o.ForgeablePerMinute)))

	o.BanProvedGuessers = get(l, "policy.ban_proved_guessers", raw.BanProvedGuessers,
		o.BanProvedGuessers)
	o.BanSharedSources = get(l, "policy.ban_shared_sources", raw.BanSharedSources,
		o.BanSharedSources)

	o.Canaries = get(l, "policy.canary_accounts", raw.CanaryAccounts, o.Canaries)
	o.MaxSources = int(get(l, "policy.max_sources", raw.MaxSources, int64(o.MaxSources)))
	l.weights(raw.Weights, &o)
	l.rules(raw.Rules, &o)

	// A max_bans that is out of range has been reported.
	if maxBans >= 1 && maxBans <= mostBans {
		o.MaxBans = maxBans

		// A ban takes up to two records: that of the source, and that of its network.
		if raw.MaxSources.set && o.MaxSources < 2*maxBans {
			l.problem("policy.max_sources",
				"%d is too few: write at least twice [firewall] max_bans, which is %d",
				o.MaxSources, 2*maxBans)
		}

		o.MaxSources = max(o.MaxSources, 2*maxBans)
	}

	l.validate(o)
	return o
}

// validate records the options that the engine rejects, each with the line of its key.
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

// weights reads [policy.weights].
func (l *loader) weights(raw map[string]value[float64], into *policy.Options) {
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		key := "policy.weights." + name
		kind, ok := policy.ParseKind(name)
		if !ok {
			l.problem(key, "is not an event of Asterisk; %s", suggestEvent(name))
			continue
		}

		into.Weights[kind] = get(l, key, raw[name], into.Weights[kind])

		// Asterisk raises the same event for unknown accounts, where it is stronger evidence.
		if kind == policy.KindChallengeResponseFailed {
			into.UnknownWeight = min(unknownFactor*into.Weights[kind], 1000)
		}
	}
}

// rules reads [policy.rules], which switches rules off.
func (l *loader) rules(raw map[string]value[bool], into *policy.Options) {
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		key := "policy.rules." + name
		rule, _ := policy.ParseRule(name)

		// With refuses a fixed rule, and a name that is not a rule.
		off, ok := into.Off.With(rule)
		switch {
		case !ok && slices.Contains(ruleNames(true), name):
			l.problem(key, "this rule cannot be switched off: leave it out")
		case !ok:
			l.problem(key, "is not a rule; %s", suggestRule(name))
		case !get(l, key, raw[name], true):
			into.Off = off
		}
	}
}

// suggestRule proposes a rule for a misspelt one.
func suggestRule(name string) string {
	valid := ruleNames(false)
	if best, ok := Nearest(name, valid); ok {
		return "did you mean " + best + "?"
	}
	return "the rules are " + strings.Join(valid, ", ")
}

// ruleNames returns the names of the rules that can be switched off. If fixed is set, it returns
// those of the others.
func ruleNames(fixed bool) []string {
	var out []string
	for _, r := range policy.Rules() {
		if r.Fixed == fixed {
			out = append(out, r.Name)
		}
	}
	return out
}

// suggestEvent proposes an event for a misspelt one.
func suggestEvent(name string) string {
	valid := events()
	if best, ok := Nearest(name, valid); ok {
		return "did you mean " + best + "?"
	}
	return "the events are " + strings.Join(valid, ", ")
}

// events returns the names of Asterisk's security events, sorted.
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
