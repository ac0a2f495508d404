package ami

import (
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	// minPace is the shortest time between the starts of two attempts.
	minPace = time.Second

	// refusedPatience is how long attempts come every second while nothing listens on the port:
	// Asterisk is probably restarting.
	refusedPatience = time.Minute

	// maxRetry is the longest delay after attempts that do not reach the login.
	maxRetry = 30 * time.Second

	// firstRelogin and maxRelogin are the first and the longest delay after a refused login. They
	// are long, so that a wrong secret does not use up Asterisk's authlimit, nor fill its log.
	firstRelogin = 10 * time.Second
	maxRelogin   = 5 * time.Minute

	// jitter is the share of a delay by which it varies, up or down, so that many sessions do not
	// return in step.
	jitter = 0.2
)

// retry decides the delay before the next attempt. After a loss the first attempt comes within a
// second. No attempt starts sooner than minPace after the start of the one before.
type retry struct {
	network backoff.ExponentialBackOff // refused for long, unreachable, cut off
	login   backoff.ExponentialBackOff // refused by the PBX: only its administrator can help
	first   bool                       // the session was connected just now
	refused time.Duration              // how long nothing listened, without a break
}

func newRetry() *retry {
	r := &retry{
		network: backoff.ExponentialBackOff{
			InitialInterval: minPace * 5 / 4, RandomizationFactor: jitter, Multiplier: 1.5,
			MaxInterval: maxRetry * 4 / 5,
		},
		login: backoff.ExponentialBackOff{
			InitialInterval: firstRelogin, RandomizationFactor: jitter, Multiplier: 2,
			MaxInterval: maxRelogin,
		},
	}

	r.network.Reset()
	r.login.Reset()
	return r
}

// reset forgets all failures: the session was connected.
func (r *retry) reset() {
	r.network.Reset()
	r.login.Reset()
	r.first, r.refused = true, 0
}

// next returns how long to wait after an attempt that ended by p and took spent from its start.
func (r *retry) next(p Problem, spent time.Duration) time.Duration {
	wait := r.delay(p, spent)
	r.first = false
	return max(wait, minPace-spent)
}

func (r *retry) delay(p Problem, spent time.Duration) time.Duration {
	if p != ProblemRefused {
		r.refused = 0
	}

	switch p {
	case ProblemAuthFailed, ProblemPlainForbidden, ProblemNoSecurity, ProblemTooOld,
		ProblemStrangeEvents:
		// Only a person can mend these.
		return r.login.NextBackOff()
	case ProblemRefused:
		if r.refused < refusedPatience {
			wait := minPace + rand.N(minPace/10) // jitter
			r.refused += spent + wait
			return wait
		}
	default:
		if r.first {
			return rand.N(minPace / 2) // jitter
		}
	}

	return r.network.NextBackOff()
}
