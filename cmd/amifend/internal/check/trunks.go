package check

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/pbxconf"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
)

// checkTrunks reads a PBX's trunks, tells which of them a ban could hit, and returns what to paste
// into the config.
func (o Options) checkTrunks(ctx context.Context, set protect.Set) (s section, paste string) {
	s = section{title: "trunks in " + o.PBXConfig}
	if o.PBXConfig == "-" {
		s.title = "trunks that Asterisk printed"
	}

	trunks, problems, err := o.readTrunks()
	if err != nil {
		s.fail("", "%s", plain(err.Error()))
		return s, ""
	}

	for _, p := range problems {
		s.warn("%s", plain(p.String()))
	}

	if len(trunks) == 0 {
		s.note("none found")
		return s, ""
	}

	found := o.resolve(ctx, hosts(trunks))
	addrs := map[string][]netip.Addr{}
	for host, r := range found {
		addrs[host] = r.addrs
	}

	var missing []pbxconf.Trunk
	told := map[string]bool{}
	once := func(say func(string, ...any), text string) { // a trunk stands in several places
		if !told[text] {
			told[text] = true
			say("%s", text)
		}
	}
	for _, t := range trunks {
		open, why := exposed(t, addrs[t.Host], set)
		switch {
		case !open:
			once(s.ok, fmt.Sprintf("%s is never banned: %s", trunkText(t, addrs), why))
			continue
		case followed(found[t.Host], o.Config.Names):
			once(s.ok, trunkText(t, addrs)+" is never banned: allowlist ([allow] names)")
			continue
		case t.Host != "" && len(addrs[t.Host]) == 0:
			once(s.warn,
				fmt.Sprintf("%s does not resolve now, so nobody can tell whether it is "+
					"allowed (%s)", t.Host, plain(t.Where)))
		default:
			once(s.warn, fmt.Sprintf("%s can be banned (%s)", trunkText(t, addrs), plain(t.Where)))
		}

		missing = append(missing, t)
	}

	if len(missing) == 0 {
		return s, ""
	}

	if names := follow(missing, found, o.Config.Names); len(names) > 0 {
		s.note("the addresses of a name can change: ask the provider for its networks and allow "+
			"those, or have amifend follow its names, in [allow]: names = [%s]",
			strings.Join(names, ", "))
	}

	if len(o.Config.Allow)+len(o.Config.Names) > 0 {
		s.note("add these prefixes to those of [allow] in %s:", o.Path)
	} else {
		s.note("put this into %s, in place of the [allow] that is there:", o.Path)
	}

	return s, "\n" + pbxconf.Allow(missing, addrs) + "\n"
}

func (o Options) readTrunks() ([]pbxconf.Trunk, []pbxconf.Problem, error) {
	if o.PBXConfig == "-" {
		return pbxconf.FromCLI(o.Stdin)
	}
	return pbxconf.Trunks(o.PBXConfig)
}

// exposed tells whether a ban could hit a trunk; if not, why not.
func exposed(t pbxconf.Trunk, addrs []netip.Addr, set protect.Set) (bool, string) {
	prefixes := []netip.Prefix{t.Prefix}
	if t.Host != "" {
		prefixes = nil
		for _, a := range addrs {
			prefixes = append(prefixes, netip.PrefixFrom(a, a.BitLen()))
		}
	}

	why := ""
	for _, p := range prefixes {
		i := slices.IndexFunc(set.Entries, func(e protect.Entry) bool {
			return e.Prefix.Bits() <= p.Bits() && e.Prefix.Contains(p.Addr())
		})
		if i < 0 {
			return true, ""
		}
		why = plain(set.Entries[i].Reason)
	}

	return len(prefixes) == 0, why
}

// hosts are the names of trunks, each once.
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

// trunkText names a trunk, a name with its addresses.
func trunkText(t pbxconf.Trunk, addrs map[string][]netip.Addr) string {
	if t.Host == "" {
		return prefixText(t.Prefix)
	}
	var texts []string
	for _, a := range addrs[t.Host] {
		texts = append(texts, a.String())
	}
	return fmt.Sprintf("%s (%s)", t.Host, strings.Join(texts, ", "))
}
