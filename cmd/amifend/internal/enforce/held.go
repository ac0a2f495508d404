package enforce

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/compact"
	"github.com/amifend/amifend/firewall"
)

// held is one ban that the kernel must have. There may be 262,144, so it is small: 112 bytes as it is
// allocated. See [held.ban] for the whole ban.
type held struct {
	key     compact.Key
	logged  bool // as banned
	sending bool // the kernel does not have it, or not until the right time
	queued  bool // it is in ledger.queue
	hot     bool // it dropped packets lately
	dropped bool // it is in the ledger no more

	story            *story
	details          *details // nil: none, or it was logged
	decided          int64    // in nanoseconds, by the wall clock
	duration         int64
	expiry           int64 // by the daemon's clock
	acked            int64 // when the kernel acknowledged it, 0: it has not
	score            float64
	attempts, strike int32
	read             reading // of the kernel's counter
}

// story has what very many bans have in common.
type story struct {
	rule    string
	servers []string
}

// reading is a value of the kernel's counter of a ban, and the time at which it was read.
type reading struct {
	packets uint64
	at      int64 // 0: it was not read yet
}

// ban returns the whole ban.
func (h *held) ban() bans.Ban {
	b := bans.Ban{
		Prefix: h.key.Prefix(), Scope: h.key.Scope(), Rule: h.story.rule, Score: h.score,
		Attempts: int(h.attempts), Strike: int(h.strike), Servers: h.story.servers,
		Decided: time.Unix(0, h.decided), Duration: time.Duration(h.duration), Expiry: h.expiry,
	}
	if h.details != nil {
		b.Evidence, b.Accounts = h.details.evidence, h.details.accounts
	}
	return b
}

// details are what a ban is reported with, once.
type details struct {
	evidence string
	accounts []string
}

// bansKey returns the key as the mailboxes have it.
func (h *held) bansKey() bans.Key { return keyOf(h.key) }

// keyOf returns a key as the mailboxes have it.
func keyOf(k compact.Key) bans.Key { return bans.Key{Prefix: k.Prefix(), Scope: k.Scope()} }

// source returns the banned address or prefix.
func (h *held) source() string { return bans.Source(h.key.Prefix()) }

// decidedAt returns when the ban was decided or found, by the daemon's clock.
func (h *held) decidedAt() int64 { return h.expiry - h.duration }

// replaces reports whether h makes an older ban of the same prefix needless, see [bans.Ban.Replaces].
func (h *held) replaces(o *held) bool {
	s := h.key.Scope()
	return s == o.key.Scope() || s == firewall.ScopeAll && h.expiry >= o.expiry
}

// stories keeps one of each story, so that the bans share it.
type stories map[string]*story

// storiesMost limits how many are known: a site with many servers may have very many lists of them.
const storiesMost = 4096

func (s stories) of(rule string, servers []string) *story {
	name := rule + "\x00" + strings.Join(servers, "\x00")
	if known, ok := s[name]; ok {
		return known
	}

	if len(s) >= storiesMost {
		clear(s) // bans keep theirs
	}
	s[name] = &story{rule, slices.Clone(servers)}
	return s[name]
}

// The orders in which the ledger has its bans. All end with the key, so that no two bans are equal.

func byKey(a, b *held) int { return a.key.Compare(b.key) }

func byAge(a, b *held) int { // the newest first
	return cmp.Or(cmp.Compare(seconds(b.decided), seconds(a.decided)), a.key.Compare(b.key))
}

func byEnd(a, b *held) int {
	return cmp.Or(cmp.Compare(seconds(a.expiry), seconds(b.expiry)), a.key.Compare(b.key))
}

// seconds returns a time in whole seconds, as lists show it.
func seconds(t int64) int64 { return t / int64(time.Second) }

// firstOf returns a ban to look for in byKey: it stands before all bans within a prefix.
func firstOf(within netip.Prefix) *held {
	return &held{key: compact.Of(netip.PrefixFrom(within.Masked().Addr(), 0), 0)}
}
