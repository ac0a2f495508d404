package ami

import (
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	minPace = time.Second // between the starts of two attempts
	// of trying every second while nothing listens: Asterisk restarts
	refusedPatience = time.Minute
	maxRetry        = 30 * time.Second // between two attempts that fail on the way
	firstRelogin    = 10 * time.Second // after a refused login
	// so that a wrong secret does not eat Asterisk's authlimit, nor fill its log
	maxRelogin = 5 * time.Minute
	// of a delay, either way: many sessions must not return in step
	jitter = 0.2
)

// retry decides the delay before the next attempt. The first attempt comes within a second of a
// loss, and none sooner than a second after the one before.
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
