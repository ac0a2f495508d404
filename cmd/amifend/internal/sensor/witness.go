package sensor

import (
	"sync/atomic"

	"github.com/amifend/amifend/policy"
	"github.com/amifend/amifend/policy/nonce"
)

// mostClaims limits the events that wait for their nonces to be looked up. Those beyond it stay
// forgeable.
const mostClaims = 4096

// claim is an event over UDP whose sender may be proven.
type claim struct {
	seen  policy.Observation
	nonce nonce.Nonce // of a failure
}

// Witness is where sessions hand in the events that the sensor may prove. Its methods never wait.
type Witness struct {
	claims  chan claim
	watched atomic.Pointer[map[uint16]bool] // servers whose nonces are watched; replaced whole
}

// NewWitness returns a witness that watches nobody yet.
func NewWitness() *Witness {
	w := &Witness{claims: make(chan claim, mostClaims)}
	w.watched.Store(&map[uint16]bool{})
	return w
}

// Watches reports whether events of a server may be proven now.
func (w *Witness) Watches(server uint16) bool { return (*w.watched.Load())[server] }

// Claim hands in an event that the engine was given as one that may be confirmed, with the nonce of a
// failure. An event that finds no room stays forgeable.
func (w *Witness) Claim(seen policy.Observation, n nonce.Nonce) {
	select {
	case w.claims <- claim{seen, n}:
	default:
	}
}
