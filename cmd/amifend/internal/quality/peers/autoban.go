package peers

import (
	"net/netip"
	"time"
)

// autoBan is AutoBan of mlan/docker-asterisk, by its doc/autoban.md: maxcount = 10, watchtime =
// 20m, jailtime = 20m, repeatmult = 6; an address that fails during the watchtime after its release
// is on parole and jailed at once, six times longer. The text says "more than maxcount", the code
// (autoban.class.inc) bans at maxcount: the quicker one is taken. The code refuses addresses of
// IPv6 (ip2long), the text does not say so: they are banned here.
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

	// Six times longer again and again soon exceeds what a time can be.
	w.jail = min(w.jail, forGood)
	w.count, w.parole = 0, now+int64(w.jail+watchTime)
	b.watched[a] = w
	return w.jail
}
