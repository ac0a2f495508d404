package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/allowlist"
	"github.com/amifend/amifend/cmd/amifend/internal/audit/advisory"
	"github.com/amifend/amifend/cmd/amifend/internal/audit/finding"
	"github.com/amifend/amifend/cmd/amifend/internal/audit/probe"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
)

// outside looks at the servers from the network.
func (l *look) outside(ctx context.Context) (Section, error) {
	s := Section{Depth: finding.Outside, Wanted: !l.o.Offline && l.o.Config != nil}
	l.plainAMI = map[string]bool{}
	switch servers := l.servers(); {
	case l.o.Offline:
		s.miss("the PBXs from outside: --offline forbids connections")
		return s, nil
	case len(servers) == 0 && l.o.Server != "":
		s.miss("no server %s in the config", l.o.Server)
		return s, nil
	case len(servers) == 0:
		s.miss("the PBXs from outside: no config names them")
		return s, nil
	}

	limited, cancel := ctx, context.CancelFunc(func() {})
	if l.o.Time > 0 {
		limited, cancel = context.WithTimeout(ctx, l.o.Time)
	}
	defer cancel()

	// One after the other: the probes stay few a second, and the plan readable.
	for _, server := range l.servers() {
		err := l.server(limited, server, &s)
		switch {
		case err != nil && limited.Err() != nil && ctx.Err() == nil:
			s.miss("%s: no time was left (%s for all PBXs)", server.Name, l.o.Time)
		case err != nil:
			return s, err
		}
	}
	return s, nil
}

// server looks at one server.
func (l *look) server(ctx context.Context, server config.Server, s *Section) error {
	local, err := probe.LocalAddr(ctx, server.Host)
	if err != nil {
		s.miss("%s: no way to it: %s", server.Name, err)
		return nil
	}

	known := allowlist.FromConfig(l.o.Config)
	known.NetNS = l.o.NetNS
	watcher := protect.New(known)
	t := probe.Target{
		Name: server.Name, Host: server.Host, AMI: stream.Config(server), Account: l.account(),
		Ports: l.o.Ports,
		Heard: func(ev ami.Event) { stream.Learn(watcher, server.Name, ev) },
	}
	if err := l.tell(t, local); err != nil {
		return err
	}

	manager := probe.LookAMI(ctx, t)
	if manager.Err != nil {
		s.miss("%s: AMI: %s", server.Name, manager.Err)
	}
	if err := vantage(ctx, watcher, server.Name, local, manager); err != nil {
		s.miss("%s: nothing more is sent: %s", server.Name, err)
		l.findings(server, probe.Facts{AMI: manager}, isLoopback(local))
		return nil
	}

	facts, err := probe.Look(ctx, t)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	facts.AMI = manager
	s.note("%s: %s", server.Name, summary(facts))

	// The answers may differ by accident if the network lost one.
	if facts.Stranger.Status == 0 {
		s.miss("%s: SIP answers at none of the ports that were tried (--sip-port, --sips-port)",
			server.Name)
	} else if t.Account == "" {
		s.miss("%s: whether accounts can be told apart: name one that exists by --account",
			server.Name)
	}
	l.findings(server, facts, isLoopback(local))
	return nil
}

// findings adds what the facts of a server mean.
func (l *look) findings(server config.Server, facts probe.Facts, local bool) {
	for _, f := range judge(server, facts, time.Now()) {
		if f.Kind == "ami_without_tls" {
			l.plainAMI[server.Name] = true
		}
		l.add(f.Of(server.Name))
	}
	l.versions[server.Name] = shown(facts, local)
}

// account returns the account to compare with.
func (l *look) account() string {
	switch {
	case l.o.Account != "":
		return l.o.Account
	case len(l.accounts) > 0:
		return l.accounts[0]
	}
	return ""
}

// tell writes what is about to be sent.
func (l *look) tell(t probe.Target, from netip.Addr) error {
	if l.o.Plan == nil {
		return nil
	}

	var b strings.Builder
	fmt.Fprintf(&b, "amifend asks %s (%s), from %s:\n", finding.Plain(t.Name),
		finding.Plain(t.Host), from)
	for _, line := range t.Plan() {
		b.WriteString("  " + line + "\n")
	}
	if _, err := io.WriteString(l.o.Plan, l.o.Screen.Wrap(b.String())+"\n"); err != nil {
		return fmt.Errorf("write what is sent: %w", err)
	}
	return nil
}

// vantage returns an error unless amifend protects the addresses that a server sees us as: it would
// count the probes against this machine, and ban it.
//
// Two addresses count. One is that of our socket. The other, behind NAT, is the one in the
// SuccessfulAuth of our own login: the daemon learns it in the same way. So without a login nothing
// is sent to a server that is not on this machine.
func vantage(
	ctx context.Context, watcher *protect.Watcher, server string, local netip.Addr, m probe.AMI,
) error {
	seen := local
	switch own := m.Report.Own.Addr(); {
	case own.IsValid():
		seen = own.Unmap()
	case !isLoopback(local):
		return errors.New("without a login, the address as which it sees us is not known")
	}

	set, err := watcher.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("find the addresses that are never banned: %w", err)
	}
	for _, addr := range []netip.Addr{local, seen} {
		if reason(set, server, addr) == "" {
			return fmt.Errorf("amifend does not protect %s; write it into [allow] prefixes", addr)
		}
	}
	return nil
}

// reason returns why events of a server in the name of an address count for nothing; "": they count.
func reason(set protect.Set, server string, addr netip.Addr) string {
	for _, e := range set.Entries {
		if e.Prefix.Contains(addr) {
			return e.Reason
		}
	}
	for _, learned := range set.Learned {
		if learned.Addr == addr && learned.Server == server {
			return learned.Reason
		}
	}
	return ""
}

func isLoopback(a netip.Addr) bool { return a.Unmap().IsLoopback() }

// summary returns what answered, in one line.
func summary(f probe.Facts) string {
	var parts []string
	if f.AMI.Report.Version != "" {
		parts = append(parts, "AMI "+f.AMI.Report.Version)
	}
	for _, a := range f.SIP {
		if a.Status != 0 {
			parts = append(parts, fmt.Sprintf("SIP %d/%s", a.Port, a.Transport))
		}
	}
	for _, p := range f.HTTP {
		if p.Answers {
			parts = append(parts, fmt.Sprintf("HTTP %d", p.Port))
		}
	}
	if len(parts) == 0 {
		return "nothing answers"
	}
	return strings.Join(parts, ", ") + " answer"
}

// soon is how long before its end a certificate is reported.
const soon = 14 * 24 * time.Hour

// judge returns the findings about a server.
func judge(server config.Server, f probe.Facts, now time.Time) (out []finding.Finding) {
	out = append(out, judgeAMI(server, f.AMI)...)
	out = append(out, judgeSIP(f)...)

	var old, certificates []string
	for _, h := range f.TLS {
		where := fmt.Sprintf("%s, port %d", h.What, h.Port)
		if h.Old {
			old = append(old, where)
		}
		if h.Answers && h.NotAfter.Before(now.Add(soon)) {
			certificates = append(certificates, fmt.Sprintf("%s: until %s", where,
				h.NotAfter.UTC().Format(time.DateOnly)))
		}
	}
	out = some(out, "tls_old", "", old)
	out = some(out, "certificate", "", certificates)

	var status, web []string
	for _, p := range f.HTTP {
		where := fmt.Sprintf("port %d", p.Port)
		if p.StatusPage {
			status = append(status, where)
		}
		if p.WebManager {
			web = append(web, where)
		}
	}
	out = some(out, "http_status", "", status)
	return some(out, "web_manager_answers", "", web)
}

// some adds a finding if it has places.
func some(out []finding.Finding, kind, seen string, places []string) []finding.Finding {
	if len(places) == 0 {
		return out
	}
	return append(out, finding.New(kind, seen, places...))
}

// mostActions is how many actions are named.
const mostActions = 8

// judgeAMI returns the findings about the Manager Interface.
func judgeAMI(server config.Server, a probe.AMI) (out []finding.Finding) {
	if a.Err != nil {
		return nil
	}
	if a.Everywhere {
		out = append(out, finding.New("ami_everywhere", "", server.Address))
	}
	if a.Plain {
		out = append(out, finding.New("ami_plain_beside_tls", ""))
	}

	host, err := netip.ParseAddr(server.Host)
	local := err == nil && host.IsLoopback() || server.Host == "localhost"
	if server.TLS == nil && !local {
		out = append(out, finding.New("ami_without_tls", "", server.Address))
	}

	// Every user may send the actions without a privilege.
	var more []string
	for _, action := range a.Actions {
		if action.Privilege != "" {
			more = append(more, action.Name)
		}
	}
	if len(more) > 0 {
		seen := fmt.Sprintf("%s may send %d actions that need a right",
			ami.Quote([]byte(server.Username)), len(more))
		out = append(out, finding.New("manager_user_rights", seen, more[:min(len(more), mostActions)]...))
	}
	return out
}

// judgeSIP returns the findings about SIP, and about the version that the PBX shows.
func judgeSIP(f probe.Facts) (out []finding.Finding) {
	answers, secure := false, false
	options := 0 // the answer to OPTIONS at the first transport, which got the SUBSCRIBE, too
	var versions []string
	show := func(text, where string) {
		if _, ok := advisory.Parse(text); ok {
			versions = append(versions, finding.Plain(text)+" ("+where+")")
		}
	}
	for _, a := range f.SIP {
		if answers = answers || a.Status != 0; options == 0 {
			options = a.Status
		}
		secure = secure || a.Status != 0 && (a.Transport == "tls" || a.Transport == "wss")
		if a.Status != 0 {
			show(a.Server, fmt.Sprintf("SIP, %d/%s", a.Port, a.Transport))
		}
	}
	for _, p := range f.HTTP {
		show(p.Server, fmt.Sprintf("HTTP, port %d", p.Port))
	}

	if answers && !secure {
		out = append(out, finding.New("sip_without_tls", ""))
	}
	out = some(out, "version_shown", "", versions)

	stranger, known := f.Stranger, f.Known
	guests := served(stranger.Status, known.Status, options)
	if guests {
		out = append(out, finding.New("guests_served", fmt.Sprintf(
			"SUBSCRIBE of an account that does not exist is answered by %d", stranger.Status)))
	}

	// Where guests are served, of course a stranger gets another answer than a phone.
	if !guests && stranger.Status != 0 && known.Status != 0 &&
		(stranger.Status != known.Status || stranger.Challenge != known.Challenge) {
		out = append(out, finding.New("accounts_enumerable", fmt.Sprintf(
			"SUBSCRIBE is answered by %d for an account that exists, and by %d for one that does "+
				"not", known.Status, stranger.Status)))
	}
	return out
}

// served reports whether a request of a stranger was carried out, or refused for another reason than
// who sent it. A 400 is such a reason only if an account that exists is asked for its password. Where
// none is known, a stranger's OPTIONS must be served as well.
func served(stranger, known, options int) bool {
	switch stranger {
	case 200, 202, 404, 410, 423, 480, 489:
		return true
	}
	return stranger == 400 && (known == 401 || known == 0 && (options == 200 || options == 404))
}

// shown returns what a server shows of its version.
func shown(f probe.Facts, local bool) version {
	v := version{ami: f.AMI.Report.Version, local: local}
	for _, p := range f.HTTP {
		if _, ok := advisory.Parse(p.Server); ok && v.text == "" {
			v.text, v.by = p.Server, fmt.Sprintf("HTTP, port %d", p.Port)
		}
	}
	for _, a := range f.SIP {
		if _, ok := advisory.Parse(a.Server); ok && v.text == "" {
			v.text, v.by = a.Server, net.JoinHostPort("SIP", fmt.Sprint(a.Port))
		}
	}
	return v
}
