// Package nonce decides whether a digest nonce proves a round trip over UDP. PJSIP makes a nonce of
// the second, the address that the request came from, and a secret. An answer to a challenge whose
// nonce left in a refusal to that address, and to nobody else, is from whoever reads what is sent
// there.
//
// That a nonce was sent to an address is not enough: `maddr` in a Via has an answer sent elsewhere, so
// an attacker can read the nonce of somebody else, or plant their own. So a nonce is *clean* only if
// it left in answers that say themselves where they go, all of them to one address, and if no answer
// can have been missed since. One that left in any other answer is *void*.
//
// A [Judge] is pure: it has no clock, no I/O and no goroutine, and its memory is bounded. It proves,
// and never acquits: a nonce that is not clean says nothing. So whatever is in doubt is not clean.
package nonce

import (
	"fmt"
	"math"
)

// Size is the length of a nonce of PJSIP as text.
const Size = 10 + 1 + 32

// Nonce is a nonce of PJSIP: a second, and a sum that only the PBX can compute.
type Nonce struct {
	Second uint32 // seconds since the Unix epoch
	Sum    [16]byte
}

// Parse reads a nonce as PJSIP writes it, `1795876404/` and 32 hexadecimal digits in lower case. It
// reports false for every other text. It allocates nothing.
func Parse(text []byte) (n Nonce, ok bool) {
	const digits = 10
	if len(text) != Size || text[digits] != '/' {
		return Nonce{}, false
	}

	second := uint64(0)
	for _, c := range text[:digits] {
		if c < '0' || c > '9' {
			return Nonce{}, false
		}
		second = second*10 + uint64(c-'0')
	}
	if second > math.MaxUint32 {
		return Nonce{}, false
	}

	n.Second = uint32(second)
	for i := range n.Sum {
		high, low := digit(text[digits+1+2*i]), digit(text[digits+2+2*i])
		if high > 15 || low > 15 {
			return Nonce{}, false
		}
		n.Sum[i] = high<<4 | low
	}
	return n, true
}

// digit returns the value of a hexadecimal digit in lower case, 255 for any other byte.
func digit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

// String returns the nonce as PJSIP writes it.
func (n Nonce) String() string { return fmt.Sprintf("%010d/%x", n.Second, n.Sum[:]) }
