package policy

import (
	"encoding/binary"

	"github.com/dchest/siphash"
)

// How long an alert is not repeated, in seconds.
const (
	minutely = 60
	hourly   = 3600
	daily    = 24 * 3600
)

// maxAlerts bounds the alerts that are remembered so that they are not repeated. The oldest is
// forgotten first.
const maxAlerts = 1 << 14

// alertKey is the subject of an alert, and its kind.
type alertKey struct {
	about subject
	rule  Rule
}

// subject names the source, the account, both, or the prefix that an alert is about. The zero value
// names nothing.
type subject pairKey

// aboutAll is the subject of alerts that concern no source in particular.
var aboutAll subject

func aboutSource(k key) subject { return subject{k.hi, k.lo, 0} }

func aboutAccount(id accountID) subject { return subject{account: id} }

func aboutPair(k key, id accountID) subject { return subject{k.hi, k.lo, id} }

// aboutPrefix uses account number 1, which no hash gives except by accident, so that a prefix
// differs from its first address.
func aboutPrefix(k key) subject { return subject{k.hi, k.lo, 1} }

func (k alertKey) Hash(k0, k1 uint64) uint64 {
	var b [25]byte
	binary.LittleEndian.PutUint64(b[:], k.about.hi)
	binary.LittleEndian.PutUint64(b[8:], k.about.lo)
	binary.LittleEndian.PutUint64(b[16:], uint64(k.about.account))
	b[24] = byte(k.rule)
	return siphash.Hash(k0, k1, b[:])
}

// alertsPerMinute bounds the events of a kind that forged packets alone can raise in everybody's
// name. The others come later, if there is still a reason for them.
const alertsPerMinute = 100

// limiter counts the alerts of each kind in a minute of the clock.
type limiter struct {
	minute uint32
	used   [ruleCount]uint16
}

// rateLimited reports whether an alert must wait for a calmer minute.
func (e *Engine) rateLimited(rule Rule) bool {
	switch rule {
	case RuleSpoofSuspected, RuleSuspectLogin:
	default:
		return false
	}
	if minute := e.sec / 60; minute != e.limits.minute {
		e.limits = limiter{minute: minute}
	}
	if e.limits.used[rule] >= alertsPerMinute {
		e.stats.AlertsDelayed++
		return true
	}

	e.limits.used[rule]++
	return false
}

// alert reports an event, at most once in a span for each subject and rule. What lasts is a
// condition, see [Engine.lasting].
func (e *Engine) alert(v Verdict, about subject, span uint32) {
	ak := alertKey{about, v.Rule}
	r := e.alerts.Get(ak)
	if r != 0 && e.sec-*e.alerts.Val(r) < span {
		return
	}
	// A rate limit must not be used up by repetitions, so it comes second.
	if e.rateLimited(ak.rule) {
		return
	}
	if r == 0 {
		r = e.alerts.Add(ak, only)
	} else {
		e.alerts.Move(r, only)
	}

	*e.alerts.Val(r) = e.sec
	e.alerts.Mark(r)
	e.stats.Alerts++
	v.Action, v.At = ActionAlert, e.now
	e.emit(v)
}
