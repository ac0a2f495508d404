package peers

import (
	"net/netip"
	"time"
)

// fail2ban is its jail "asterisk": config/jail.conf gives maxretry = 10 to the jail, and findtime =
// 10m and bantime = 10m by default (jail.conf(5)). IPv6 is banned by address.
type fail2ban struct {
	failures map[netip.Addr][]int64 // within findtime, oldest first
}

// NewFail2ban returns fail2ban with the defaults of its jail for Asterisk.
func NewFail2ban(allow []netip.Prefix, told Told) *Peer {
	return newPeer(&fail2ban{failures: make(map[netip.Addr][]int64)}, allow, told)
}

func (f *fail2ban) failed(a netip.Addr, now int64) time.Duration {
	const (
		maxRetry = 10
		findTime = 10 * time.Minute
		banTime  = 10 * time.Minute
	)

	times := f.failures[a]
	for len(times) > 0 && times[0] <= now-int64(findTime) {
		times = times[1:]
	}
	times = append(times, now)
	f.failures[a] = times

	if len(times) < maxRetry {
		return 0
	}
	delete(f.failures, a)
	return banTime
}
