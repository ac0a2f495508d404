package config

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Policy says when a source is banned, and for how long.
type Policy struct {
	Threshold   float64 // a ban is decided when the score is above it
	HalfLife    time.Duration
	BanTime     time.Duration
	BanGrowth   float64 // each further ban of a source is that much longer
	BanMax      time.Duration
	ProofWindow time.Duration
	Weights     map[string]float64 // all fifteen, by Asterisk's event names
}

func defaultPolicy() Policy {
	return Policy{
		Threshold: 3, HalfLife: 20 * time.Minute,
		BanTime: time.Hour, BanGrowth: 4, BanMax: 720 * time.Hour,
		ProofWindow: 24 * time.Hour,
		Weights: map[string]float64{
			"AuthMethodNotAllowed": 0, "ChallengeResponseFailed": 0.5, "ChallengeSent": 0, "FailedACL": 1,
			"InvalidAccountID": 1, "InvalidPassword": 0.5, "InvalidTransport": 0.25, "LoadAverageLimit": 0,
			"MemoryLimit": 0, "RequestBadFormat": 0.5, "RequestNotAllowed": 0.5, "RequestNotSupported": 0.25,
			"SessionLimit": 0.25, "SuccessfulAuth": 0, "UnexpectedAddress": 0,
		},
	}
}

func (l *loader) policy(raw rawPolicy) Policy {
	p := defaultPolicy()
	p.Threshold = get(l, "policy.threshold", raw.Threshold, p.Threshold)
	p.HalfLife = get(l, "policy.half_life", raw.HalfLife, p.HalfLife)
	p.BanTime = get(l, "policy.ban_time", raw.BanTime, p.BanTime)
	p.BanGrowth = get(l, "policy.ban_growth", raw.BanGrowth, p.BanGrowth)
	p.BanMax = get(l, "policy.ban_max", raw.BanMax, p.BanMax)
	p.ProofWindow = get(l, "policy.proof_window", raw.ProofWindow, p.ProofWindow)
	l.weights(raw.Weights, p.Weights)
	return p
}

func (l *loader) weights(raw map[string]value[float64], into map[string]float64) {
	valid := slices.Sorted(maps.Keys(into))
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		key := "policy.weights." + name
		if _, ok := into[name]; !ok {
			hint := "the events are " + strings.Join(valid, ", ")
			if best, ok := nearest(name, valid); ok {
				hint = "did you mean " + best + "?"
			}
			l.problem(key, "is no event of Asterisk; %s", hint)
			continue
		}
		into[name] = get(l, key, raw[name], into[name])
	}
}
