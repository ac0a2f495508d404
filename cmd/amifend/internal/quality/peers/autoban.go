package peers

import (
	"net/netip"
	"time"
)

// autoBan follows AutoBan of mlan/docker-asterisk, by its doc/autoban.md: maxcount = 10, watchtime
// = 20m, jailtime = 20m, repeatmult = 6. An address that fails within the watchtime after its
// release is jailed at once, six times longer.
//
// Where its text and its code differ, the one that is better for AutoBan is taken. The text bans
// above maxcount, the code (autoban.class.inc) at maxcount: here at maxcount. The code cannot ban
// IPv6 addresses (ip2long), which the text does not mention: here they are banned.
type autoBan struct {
	watched map[netip.Addr]watched
}

type watched struct {
	since  int64
	count  int
	jail   time.Duration // the last one
	parole int64         // until when
}

// NewAutoBan returns AutoBan with its defaults.
func NewAutoBan(allow []netip.Prefix, told Told) *Peer {
	return newPeer(&autoBan{watched: make(map[netip.Addr]watched)}, allow, told)
}

func (b *autoBan) failed(a netip.Addr, now int64) time.Duration {
	const (
		maxCount   = 10
		watchTime  = 20 * time.Minute
		jailTime   = 20 * time.Minute
		repeatMult = 6
	)

	// Failures count together within the watchtime.
	w := b.watched[a]
	if now-w.since > int64(watchTime) {
		w.since, w.count = now, 0
	}
	w.count++

	switch {
	case now < w.parole:
		w.jail *= repeatMult
	case w.count >= maxCount:
		w.jail = jailTime
	default:
		b.watched[a] = w
		return 0
	}

	// After many bans, six times longer would overflow a duration.
	w.jail = min(w.jail, forGood)
	w.count, w.parole = 0, now+int64(w.jail+watchTime)
	b.watched[a] = w
	return w.jail
}
