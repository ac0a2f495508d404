package policy

import "slices"

// A voucher bounds the addresses that an account proves by successes that somebody could have
// forged. Each such success shields an address that the attacker chose, which may be the one that a
// guesser hides behind. Times are seconds since the Unix epoch.
type voucher struct {
	// the latest addresses, of IPv6 the /64s, hashed; newest first, 0 is none
	parts [vouchersADay]uint32
	at    [vouchersADay]uint32 // when each began to be shielded

	provedSince uint32 // since when proved counts
	proved      uint16 // addresses that proved themselves as the account
}

const (
	// vouchersAnHour and vouchersADay are how many new addresses an account shields by successes
	// that somebody could have forged: a user with several phones who travels has fewer.
	vouchersAnHour = 4
	vouchersADay   = 16

	// maxVouchers bounds the accounts for which this is remembered: the one that was quiet longest
	// is forgotten first. Only a right password adds one.
	maxVouchers = 1 << 15

	// crowdMost is for how many addresses a day an account may keep proof from being forgotten.
	// Addresses of one /64, and those over TCP, count too. It is far more than phones that share an
	// account, or move, have in a day, and far less than there is room for.
	crowdMost = 1024

	day = 24 * 3600
)

// vouched reports whether the success o of an account proves its source. It does while the source
// is proved already, and otherwise as long as the account has room for one more address: see
// voucher. What comes beyond is alerted.
func (e *Engine) vouched(k key, s *source, id accountID, o *Observation) bool {
	if e.hasProof(s) && s.flags&inCrowd == 0 {
		return true // renewed
	}

	v := e.touchVoucher(id)
	if o.Chooser().Proven() || v.take(e.vouchedPart(k), e.sec) {
		e.crowded(s, v)
		return true
	}

	if e.on(RuleSpoofSuspected) {
		account := o.Account
		if o.dialled {
			account = Label{} // it may be anybody's
		}
		e.alert(Verdict{
			Rule: RuleSpoofSuspected, Prefix: k.prefix(), Server: o.Server, Account: account,
			Sources: newSince(v.at[:], e.sec, day), Chooser: o.Chooser(),
		}, aboutAccount(id), hourly)
	}
	return false
}

// vouchedPart returns what an address counts as: itself, or its /64 where that is one link.
func (e *Engine) vouchedPart(k key) uint32 {
	if !k.is4() && len(k.spreads()) > 0 {
		k = k.masked(netBits)
	}
	return uint32(k.Hash(e.k0, e.k1)) | 1 // the lower half is meant; 0 is none
}

// touchVoucher returns the record of an account, made if there is none, and makes it the newest.
func (e *Engine) touchVoucher(id accountID) *voucher {
	r := e.vouchers.Get(id)
	if r == 0 {
		r = e.vouchers.Add(id, only)
	} else {
		e.vouchers.Move(r, only)
	}
	e.vouchers.Mark(r)
	return e.vouchers.Val(r)
}

// take notes that an account shields a part, and reports whether it may. A part that it shields
// already costs nothing.
func (v *voucher) take(part, now uint32) bool {
	return takePart(v.parts[:], v.at[:], part, now, vouchersAnHour)
}

// takePart notes that an account counts for a part, and reports whether it may: for as many in a
// day as there is room for, of which perHour in an hour. parts are the latest, newest first, and at
// is when the account began to count for each.
func takePart(parts, at []uint32, part, now uint32, perHour int) bool {
	if i := slices.Index(parts, part); i >= 0 && now-at[i] < day {
		return true
	}
	if newSince(at, now, 3600) >= perHour || newSince(at, now, day) >= len(at) {
		return false
	}

	copy(parts[1:], parts)
	copy(at[1:], at)
	parts[0], at[0] = part, max(now, 1)
	return true
}

// newSince returns how many of the times are in the last span seconds.
func newSince(times []uint32, now, span uint32) int {
	n := 0
	for _, at := range times {
		if at != 0 && now-min(at, now) < span {
			n++
		}
	}
	return n
}

// crowded notes that one more address proves itself as an account. Whoever owns an account and a
// network of IPv6 can log in from more addresses than there is room for: beyond crowdMost a day
// their proof counts, but is the first to be forgotten. Otherwise it would take the room of the
// proof of phones, which forged packets could then cut off.
func (e *Engine) crowded(s *source, v *voucher) {
	if e.sec-v.provedSince >= day {
		v.provedSince, v.proved = e.sec, 0
	}

	s.flags &^= inCrowd
	if v.proved >= crowdMost {
		s.flags |= inCrowd
		return
	}
	v.proved++
}
