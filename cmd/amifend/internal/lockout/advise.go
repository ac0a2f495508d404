package lockout

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/denylist"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
)

// Finding is a session that amifend could cut off, or cuts off now.
type Finding struct {
	What, Do string       // the risk, and what to write into the config
	Addr     netip.Addr   // of the session
	Network  netip.Prefix // the network of ours that it comes from; invalid: none
	Cut      bool         // the deny lists drop it now
}

// Lists decide whether a session is safe.
type Lists struct {
	Allow []netip.Prefix // [allow] prefixes, as they are written now
	Never protect.Set
	Deny  *denylist.List // nil: none
}

// Findings returns the sessions that are not safe, each with what to write.
func Findings(sessions []Session, l Lists) (out []Finding) {
	for _, s := range sessions {
		// Neither a ban nor a deny list cuts off an address that is never banned.
		if slices.ContainsFunc(l.Never.Entries, func(e protect.Entry) bool {
			return e.Prefix.Contains(s.Addr)
		}) {
			continue
		}

		f := Finding{
			What: s.String() + " is not allowlisted: a ban of that address would cut it off",
			Do:   l.advice(s),
			Addr: s.Addr,
		}
		f.Network, _ = l.network(s.Addr)

		// A deny list cuts the session off at the next start, not only after a ban.
		if l.Deny != nil {
			if d, ok := l.Deny.Find(s.Addr); ok {
				f.Cut = true
				f.What = "the deny lists cut off " + s.String() + ": its address is listed in " +
					quoted(d.Where())
			}
		}

		out = append(out, f)
	}

	return out
}

// String returns a name of the session for people.
func (s Session) String() string {
	text := "an SSH session"
	if s.Own {
		text = "your SSH session"
	} else if s.User != "" {
		text += " of " + quoted(s.User)
	}
	return text + " from " + s.Addr.String()
}

// mostPasted limits how many prefixes a line to paste repeats.
const mostPasted = 8

// advice returns what to write into [allow].
func (l Lists) advice(s Session) string {
	text := "write into [allow]: " + l.line(netip.PrefixFrom(s.Addr, s.Addr.BitLen()))
	network, ok := l.network(s.Addr)
	if !ok {
		return text + "; if your address changes, allow the prefix of your office or VPN instead"
	}

	at := ""
	if s.Local.IsValid() {
		at = " at " + s.Local.String()
	}
	return text + fmt.Sprintf("; or, to allow your whole management network (the network in which "+
		"this machine is reached%s over SSH): %s", at, l.line(network))
}

// network returns the smallest network of ours that holds an address.
func (l Lists) network(a netip.Addr) (best netip.Prefix, ok bool) {
	for _, p := range l.Never.OnLink {
		if p.Contains(a) && !p.IsSingleIP() && (!ok || p.Bits() > best.Bits()) {
			best, ok = p, true
		}
	}
	return best, ok
}

// line returns the line of the key prefixes with one more prefix.
func (l Lists) line(p netip.Prefix) string {
	texts := make([]string, 0, mostPasted+1)
	for _, a := range l.Allow {
		texts = append(texts, text(a))
	}
	if len(texts) > mostPasted {
		return fmt.Sprintf("%q, added to its prefixes", text(p))
	}
	return fmt.Sprintf(`prefixes = ["%s"]`, strings.Join(append(texts, text(p)), `", "`))
}

// text returns a prefix as people write it: a host without its length.
func text(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// quoted returns a name that somebody else chose. It quotes the name unless that is plain ASCII.
func quoted(name string) string {
	for _, r := range name {
		if r < ' ' || r > '~' {
			return ami.Quote([]byte(name))
		}
	}
	return name
}
