package check

import (
	"net/netip"

	"github.com/amifend/amifend/cmd/amifend/internal/lockout"
	"github.com/amifend/amifend/cmd/amifend/internal/pbxconf"
)

// missing gathers what the config should allow and does not.
type missing struct {
	sessions []lockout.Finding
	trunks   []pbxconf.Trunk
	addrs    map[string][]netip.Addr // of the trunks' names
}

// table returns a section with the whole [allow] table to paste, or "" if nothing is missing. There
// is one table for everything: TOML does not allow a second one.
func (m missing) table(o Options) (s section, paste string) {
	if len(m.sessions)+len(m.trunks) == 0 {
		return section{}, ""
	}

	t := pbxconf.AllowTable{Names: o.Config.Names, Trunks: m.trunks, Addrs: m.addrs}
	for _, p := range o.Config.Allow {
		t.Prefixes = append(t.Prefixes, pbxconf.AllowPrefix{Prefix: p, Note: "allowed already"})
	}
	for _, f := range m.sessions {
		t.Prefixes = append(t.Prefixes, pbxconf.AllowPrefix{
			Prefix: netip.PrefixFrom(f.Addr, f.Addr.BitLen()), Note: "SSH session, seen now",
		})
	}

	s = section{title: "what to allow"}
	s.note("put this into %s in place of its [allow], which may stand there only once:", o.Path)
	return s, "\n" + t.String() + "\n"
}
