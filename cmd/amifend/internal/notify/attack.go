package notify

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
)

// How bans become summaries. An attack goes on while there is a ban every half hour. Its first
// summary is due a minute after the latest ban, or five minutes after the first one. Each further
// summary of one attack waits twice as long, so that what goes on all day is told seldom.
const (
	calm        = time.Minute
	longest     = 5 * time.Minute
	mostWait    = 6 * time.Hour
	sameAttack  = 30 * time.Minute
	mostTracked = 300 // names of each sort in one summary; more are counted only
	shownBanned = 10  // sources in a summary
	shownNames  = 8   // of each other sort
)

// Attack is the summary of an attack.
type Attack struct {
	Began    time.Time `json:"began"` // the first ban; of an earlier summary if the attack went on
	From     time.Time `json:"from"`  // the first ban of this summary
	To       time.Time `json:"to"`    // the last
	Bans     int       `json:"bans"`
	Attempts int       `json:"attempts"` // of the banned, when they were banned
	Sources  []Banned  `json:"sources"`  // those with the most attempts
	Networks []Count   `json:"networks"` // of the sources
	Accounts []Count   `json:"accounts"` // that they tried last
	Servers  []Count   `json:"servers"`
	Rules    []Count   `json:"rules"`
	Scopes   []Count   `json:"scopes"` // what the bans drop
}

// Banned is a source that was banned.
type Banned struct {
	Source   string    `json:"source"`
	Attempts int       `json:"attempts"`
	Rule     string    `json:"rule"`
	Scope    string    `json:"scope"`
	Until    time.Time `json:"until"`
	Origin   string    `json:"origin,omitempty"` // names of the source
}

// Count is a name and how many bans it belongs to.
type Count struct {
	Name string `json:"name"`
	Bans int    `json:"bans"`
}

// gathering adds up the bans of a summary. It takes bounded memory however many there are. The
// fields are exported for the journal.
type gathering struct {
	Attack
	By    map[string]Banned         `json:"by"`    // source
	Names map[string]map[string]int `json:"names"` // sort, name
	Round int                       `json:"round"` // how many summaries of the attack there were
	Late  time.Time                 `json:"late"`  // the latest ban of all summaries

	calm time.Duration
}

// The sorts of names.
const (
	sortNetwork = "network"
	sortAccount = "account"
	sortServer  = "server"
	sortRule    = "rule"
	sortScope   = "scope"
)

// add counts a ban.
func (g *gathering) add(b *bans.Ban, now time.Time) {
	now = now.Round(0)
	if g.Late.IsZero() || now.Sub(g.Late) > sameAttack<<min(g.Round, 4) {
		g.Round, g.Began = 0, now
	}
	if g.Bans == 0 {
		g.From = now
	}
	g.Late, g.To = now, now
	g.Bans++
	g.Attempts += b.Attempts

	if g.By == nil {
		g.By, g.Names = make(map[string]Banned), make(map[string]map[string]int)
	}
	if _, ok := g.By[b.Source()]; ok || len(g.By) < mostTracked {
		g.By[b.Source()] = Banned{
			Source: b.Source(), Attempts: b.Attempts, Rule: b.Rule, Scope: b.Scope.String(),
			Until: b.Until().Round(time.Second),
		}
	}

	g.count(sortNetwork, network(b.Prefix))
	g.count(sortRule, b.Rule)
	g.count(sortScope, b.Scope.String())
	for _, name := range b.Accounts {
		g.count(sortAccount, name)
	}
	for _, name := range b.Servers {
		g.count(sortServer, name)
	}
}

func (g *gathering) count(sort, name string) {
	m := g.Names[sort]
	if m == nil {
		m = make(map[string]int)
		g.Names[sort] = m
	}
	if _, ok := m[name]; ok || len(m) < mostTracked {
		m[name]++
	}
}

// network returns the network by which people know a source: its /24 or /48.
func network(p netip.Prefix) string {
	bits := 48
	if p.Addr().Is4() {
		bits = 24
	}
	return netip.PrefixFrom(p.Addr(), min(bits, p.Bits())).Masked().String()
}

// due returns when the summary is to be sent; zero: there is none.
func (g *gathering) due() time.Time {
	if g.Bans == 0 {
		return time.Time{}
	}
	wait := func(d time.Duration) time.Duration { return min(d<<min(g.Round, 10), mostWait) }
	quiet, long := g.To.Add(wait(g.calm)), g.From.Add(wait(longest))
	if quiet.Before(long) {
		return quiet
	}
	return long
}

// take returns the summary, and begins the next one of the attack.
func (g *gathering) take() Attack {
	a := g.Attack
	a.Sources = slices.SortedFunc(maps.Values(g.By), func(x, y Banned) int {
		return cmp.Or(cmp.Compare(y.Attempts, x.Attempts), cmp.Compare(x.Source, y.Source))
	})
	a.Sources = a.Sources[:min(len(a.Sources), shownBanned)]
	a.Networks, a.Accounts = g.top(sortNetwork), g.top(sortAccount)
	a.Servers, a.Rules, a.Scopes = g.top(sortServer), g.top(sortRule), g.top(sortScope)

	*g = gathering{Attack: Attack{Began: g.Began}, Round: g.Round + 1, Late: g.Late, calm: g.calm}
	return a
}

// top returns the names of a sort with the most bans.
func (g *gathering) top(sort string) []Count {
	out := make([]Count, 0, len(g.Names[sort]))
	for name, n := range g.Names[sort] {
		out = append(out, Count{name, n})
	}
	slices.SortFunc(out, func(x, y Count) int {
		return cmp.Or(cmp.Compare(y.Bans, x.Bans), cmp.Compare(x.Name, y.Name))
	})
	return out[:min(len(out), shownNames)]
}
