package config

import "github.com/amifend/amifend/firewall"

// The modes of the limiter.
const (
	LimiterOff     = "off"
	LimiterObserve = "observe" // it counts what it would drop
	LimiterOn      = "on"
)

// Limiter describes how the requests of strangers are limited in the kernel. The zero value is off.
type Limiter struct {
	Mode string // LimiterOff, LimiterObserve or LimiterOn; "" is LimiterOff

	PerMinute          uint32 // requests, and connections, of a source
	Burst              uint32
	StrangersPerSecond uint32 // of all sources that are not measured yet
	StrangersBurst     uint32
}

// Enabled reports whether the limiter counts or drops.
func (l Limiter) Enabled() bool { return l.Mode == LimiterObserve || l.Mode == LimiterOn }

// Rules returns the limiter in the form of the firewall; nil if it is off.
func (l Limiter) Rules() *firewall.Limiter {
	if !l.Enabled() {
		return nil
	}
	return &firewall.Limiter{
		PerMinute: l.PerMinute, Burst: l.Burst, StrangersPerSecond: l.StrangersPerSecond,
		StrangersBurst: l.StrangersBurst,
	}
}

// mostPackets bounds the numbers of [limiter].
const mostPackets = 1_000_000

// limiter reads [limiter].
func (l *loader) limiter(raw rawLimiter) Limiter {
	out := Limiter{Mode: get(l, "limiter.mode", raw.Mode, LimiterObserve)}
	switch out.Mode {
	case LimiterOff, LimiterObserve, LimiterOn:
	default:
		l.problem("limiter.mode", "is not a mode; write \"off\", \"observe\" or \"on\"")
	}

	for _, n := range []struct {
		key string
		raw value[int64]
		def int64
		to  *uint32
	}{
		{"limiter.per_minute", raw.PerMinute, firewall.DefaultPerMinute, &out.PerMinute},
		{"limiter.burst", raw.Burst, firewall.DefaultBurst, &out.Burst},
		{
			"limiter.strangers_per_second", raw.StrangersPerSecond, firewall.DefaultStrangersPerSecond,
			&out.StrangersPerSecond,
		},
		{
			"limiter.strangers_burst", raw.StrangersBurst, firewall.DefaultStrangersBurst,
			&out.StrangersBurst,
		},
	} {
		v := get(l, n.key, n.raw, n.def)
		if v < 1 || v > mostPackets {
			l.problem(n.key, "%d is out of range; write a number from 1 to %d", v, mostPackets)
			v = n.def
		}
		*n.to = uint32(v)
	}
	return out
}
