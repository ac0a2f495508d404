package check

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/pbxconf"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
)

// readPBX reads the PBX's config files, or what its command line printed.
func (o Options) readPBX() (*pbxconf.Config, error) {
	if o.PBXConfig == "-" {
		return pbxconf.FromCLI(o.Stdin)
	}

	var users []string
	for _, s := range o.Config.Servers {
		users = append(users, s.Username)
	}
	return pbxconf.Read(pbxconf.Options{Dir: o.PBXConfig, Users: users})
}

// checkTrunks reports which trunks of a PBX a ban could hit, and adds them to m.
func (o Options) checkTrunks(
	ctx context.Context, pbx *pbxconf.Config, set protect.Set, m *missing,
) section {
	s := section{title: "trunks in " + o.PBXConfig}
	if o.PBXConfig == "-" {
		s.title = "trunks that Asterisk printed"
	}

	// A problem may hide a trunk, so problems come before the list.
	for _, p := range pbx.Problems {
		s.warn("%s", plain(p.String()))
	}
	if len(pbx.Trunks) == 0 {
		s.note("none found")
		return s
	}

	// Names are looked up together: DNS may be slow.
	found := o.resolve(ctx, hosts(pbx.Trunks))
	m.addrs = map[string][]netip.Addr{}
	for host, r := range found {
		m.addrs[host] = r.addrs
	}

	// A trunk stands in several places: as identify, aor and registration. One line is enough.
	reported := map[string]bool{}
	once := func(say func(string, ...any), text string) {
		if !reported[text] {
			reported[text] = true
			say("%s", text)
		}
	}
	for _, t := range pbx.Trunks {
		open, why := exposed(t, m.addrs[t.Host], set)
		text := trunkText(t, m.addrs)
		switch {
		case !open:
			once(s.ok, fmt.Sprintf("%s is never banned: %s", text, why))
			continue
		case followed(found[t.Host], o.Config.Names):
			once(s.ok, text+" is never banned: allowlist ([allow] names)")
			continue
		case t.Host != "" && len(m.addrs[t.Host]) == 0:
			once(s.warn, fmt.Sprintf("%s does not resolve now, so whether it is allowed is not "+
				"known (%s)", t.Host, plain(t.Where)))
		default:
			once(s.warn, fmt.Sprintf("%s can be banned (%s)", text, plain(t.Where)))
		}
		m.trunks = append(m.trunks, t)
	}

	if names := follow(m.trunks, found, o.Config.Names); len(names) > 0 {
		s.note("the addresses of a name can change: ask the provider for its networks and allow "+
			"those, or have amifend follow its names, in [allow]: names = [\"%s\"]",
			strings.Join(names, `", "`))
	}
	return s
}

// exposed reports whether a ban could hit a trunk; if not, why is the reason.
func exposed(t pbxconf.Trunk, addrs []netip.Addr, set protect.Set) (open bool, why string) {
	prefixes := []netip.Prefix{t.Prefix}
	if t.Host != "" {
		prefixes = nil
		for _, a := range addrs {
			prefixes = append(prefixes, netip.PrefixFrom(a, a.BitLen()))
		}
	}

	for _, p := range prefixes {
		i := slices.IndexFunc(set.Entries, func(e protect.Entry) bool {
			return e.Prefix.Bits() <= p.Bits() && e.Prefix.Contains(p.Addr())
		})
		if i < 0 {
			return true, ""
		}
		why = plain(set.Entries[i].Reason)
	}

	// A name without addresses may get any.
	return len(prefixes) == 0, why
}

// hosts returns the names of trunks, each once.
func hosts(trunks []pbxconf.Trunk) []string {
	var out []string
	for _, t := range trunks {
		if t.Host != "" {
			out = append(out, t.Host)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// trunkText returns a trunk for people: a name with its addresses.
func trunkText(t pbxconf.Trunk, addrs map[string][]netip.Addr) string {
	if t.Host == "" {
		return bans.Source(t.Prefix)
	}
	var texts []string
	for _, a := range addrs[t.Host] {
		texts = append(texts, a.String())
	}
	return fmt.Sprintf("%s (%s)", t.Host, strings.Join(texts, ", "))
}
