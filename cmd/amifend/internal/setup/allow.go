package setup

import (
	"context"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/check"
	"github.com/amifend/amifend/cmd/amifend/internal/lockout"
	"github.com/amifend/amifend/cmd/amifend/internal/pbxconf"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
	"github.com/amifend/amifend/firewall"
)

// allowed holds the [allow] table and the ports of the config that is written.
type allowed struct {
	prefixes []pbxconf.AllowPrefix
	names    []string
	// The lists of ports as the config has them; "": the default.
	sipPorts, wsPorts string
}

// candidate is a prefix or a name that may be allowed.
type candidate struct {
	prefix netip.Prefix // the zero Prefix: it is a name
	name   string
	note   string // why it may be allowed
}

// text returns the line for people.
func (c candidate) text() string {
	what := c.name
	if c.prefix.IsValid() {
		what = c.prefix.String()
		if c.prefix.IsSingleIP() {
			what = c.prefix.Addr().String()
		}
	}
	return what + "  " + c.note
}

// findAllowed finds the trunks, the SSH sessions and the local networks, and asks which of them to
// allow.
func (r *run) findAllowed(ctx context.Context, p *pbx) (allowed, error) {
	var out allowed
	all := r.trunks(ctx, p, &out)

	// A session from a local network needs no line of its own.
	networks, err := r.networks(ctx)
	if err != nil {
		r.say("  note: the networks of this machine cannot be read: " + err.Error())
	}
	for _, s := range r.sessions() {
		if !slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(s.Addr) }) {
			all = append(all, candidate{
				prefix: netip.PrefixFrom(s.Addr, s.Addr.BitLen()), note: "SSH session, seen by amifend init",
			})
		}
	}
	for _, n := range networks {
		all = append(all, candidate{prefix: n, note: "local network"})
	}

	chosen, err := r.choose(all)
	if err != nil {
		return allowed{}, err
	}
	for _, c := range chosen {
		if c.prefix.IsValid() {
			out.prefixes = append(out.prefixes, pbxconf.AllowPrefix{Prefix: c.prefix, Note: c.note})
		} else {
			out.names = append(out.names, c.name)
		}
	}

	return out, nil
}

// choose asks which candidates to allow. If nobody can be asked, it returns all.
func (r *run) choose(all []candidate) ([]candidate, error) {
	if len(all) == 0 {
		r.say("Nobody was found who must never be banned: no trunk with an address, no SSH session from " +
			"elsewhere, no local network. Add your trunk and your offices to [allow] by hand.")
		return nil, nil
	}

	var lines []string
	for _, c := range all {
		lines = append(lines, c.text())
	}
	if r.Ask == nil {
		r.say("Never to be banned:\n  " + strings.Join(lines, "\n  "))
		return all, nil
	}

	// Nobody can tell a strange session or network from a known one but the user.
	numbers, err := r.Ask.Choose("Who must never be banned?",
		"Your trunks, from where you administer this machine, and your offices.", lines)
	if err != nil {
		return nil, err
	}
	var out []candidate
	for _, n := range numbers {
		out = append(out, all[n])
	}
	return out, nil
}

// trunks returns the trunks of Asterisk's config, and stores its further SIP ports in out. A part
// that cannot be read is not an error: trunks prints a note, and the user can add the rest.
func (r *run) trunks(ctx context.Context, p *pbx, out *allowed) (all []candidate) {
	if p.remote {
		r.say("  Its trunks are not known here. On that machine: asterisk -rx 'pjsip show identifies' " +
			"(docs/install.md)")
		return nil
	}

	found, err := pbxconf.Read(pbxconf.Options{Dir: r.at(r.AsteriskDir), Users: []string{userName}})
	if err != nil {
		r.say("  note: " + oneLine(err.Error()))
		found = &pbxconf.Config{}
	}
	for _, problem := range found.Problems {
		// A problem of manager.conf hides no trunk.
		if !strings.HasPrefix(problem.Where, "manager") {
			r.say("  note: " + printable(problem.String()))
		}
	}

	// Trunks in a database are in no file, but the running Asterisk lists them.
	trunks := found.Trunks
	if found.Realtime || err != nil {
		trunks = append(trunks, r.askAsterisk(ctx)...)
	}
	out.sipPorts, out.wsPorts = check.MissingPorts(firewall.Ports{
		SIP: firewall.DefaultSIPPorts(), WS: firewall.DefaultWSPorts(),
	}, found.Listeners)

	for _, t := range trunks {
		if t.Prefix.IsValid() && !slices.ContainsFunc(all, func(c candidate) bool { return c.prefix == t.Prefix }) {
			all = append(all, candidate{prefix: t.Prefix, note: "trunk, " + printable(place(t.Where))})
		}
	}
	o := check.Options{Lookup: r.System.Lookup, LookupSRV: r.System.SRV}
	for _, name := range check.TrunkNames(ctx, o, trunks) {
		all = append(all, candidate{name: name, note: "trunk"})
	}
	return all
}

// place returns where a trunk is configured, without the key: file, line and section.
func place(where string) string {
	if section := strings.Index(where, "] "); section > 0 {
		return where[:section+1]
	}
	return where
}

// askAsterisk returns the trunks that the running Asterisk lists.
func (r *run) askAsterisk(ctx context.Context) []pbxconf.Trunk {
	if r.System.Asterisk == nil {
		return nil
	}

	// A command that this Asterisk lacks prints an error, which the reader ignores.
	var outputs []io.Reader
	for _, command := range pbxconf.Commands() {
		if text, err := r.System.Asterisk(ctx, command); err == nil {
			outputs = append(outputs, strings.NewReader(text+"\n"))
		}
	}

	found, err := pbxconf.FromCLI(io.MultiReader(outputs...))
	if err != nil {
		r.say("  note: Asterisk does not list its trunks: " + err.Error())
		return nil
	}
	r.say("  Asterisk itself named " + wording.Count(len(found.Trunks), "trunk") + ".")
	return found.Trunks
}

// sessions returns the sessions of the people who administer the machine now.
func (r *run) sessions() []lockout.Session {
	if r.System.Sessions == nil {
		return nil
	}
	return r.System.Sessions()
}

// networks returns the private networks that the machine is in. A public one may have attackers in
// it.
func (r *run) networks(ctx context.Context) (out []netip.Prefix, err error) {
	if r.System.Networks == nil {
		return nil, nil
	}

	all, err := r.System.Networks(ctx)
	for _, n := range all {
		if n.Addr().IsPrivate() && !n.IsSingleIP() {
			out = append(out, n.Masked())
		}
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out), err
}

// printable returns a text of a foreign file in a form that is safe for a terminal.
func printable(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		return ami.Quote([]byte(text))
	}
	return text
}
