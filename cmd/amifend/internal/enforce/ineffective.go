package enforce

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/firewall"
)

// The judge doubts a ban when events of its source still come. This file answers these doubts: the
// kernel's counters show whether the ban does anything.

// Causes of a ban that does nothing.
const (
	causePort = "port not in sip_ports"
	causeTCP  = "port not in sip_ports or ws_ports"
	causePath = "traffic does not pass this machine"
	causePart = "some packets get through"
)

// patience is how long some packets may still come while the kernel drops others: a flooded PBX may
// report events late that it received before the ban.
const patience = 15 * time.Second

// answerMost limits how many doubts are answered in one round of work: each takes a message to the
// kernel, and bans must not wait.
const answerMost = 100

// Ineffective is a ban that does nothing.
type Ineffective struct {
	At     time.Time
	Source netip.Addr
	Ban    netip.Prefix
	Server string
	Cause  string
	Do     string
}

// answerDoubts asks the kernel about bans in doubt, some of them if there are many.
func (e *Enforcer) answerDoubts(ctx context.Context) {
	maps.Copy(e.doubts, e.mail.Doubts.Take()) // as bounded as the bans are
	n := answerMost

	for k, d := range e.doubts {
		if n == 0 {
			return
		}

		n--
		delete(e.doubts, k)
		e.answerDoubt(ctx, k, d)
	}
}

// answerDoubt finds out whether a ban is ineffective, and why.
func (e *Enforcer) answerDoubt(ctx context.Context, k bans.Key, d bans.Doubt) {
	h := e.ledger.get(k.Prefix, k.Scope)
	if h == nil || h.acked == 0 || d.Made < h.acked+int64(bans.Grace) {
		return // lifted since, or the kernel did not have it for a while
	}

	el, ok, err := e.table.Element(ctx, k.Prefix, k.Scope)
	if err != nil || !ok {
		return // the next write to the kernel, or Watch, finds out what is wrong
	}

	// The most certain cause comes first. The port is in the event, and the counter is in the
	// kernel. Why some packets get through while the kernel drops others can only be guessed.
	switch {
	case !d.InPort && d.Port != 0:
		cause, do := wrongPort(k.Scope, d.Port)
		e.report(k.Prefix, d, el, cause, do)
	case el.Counted && el.Packets == 0:
		e.report(k.Prefix, d, el, causePath,
			"run amifend on the PBX itself or on the gateway in front of it")
	case d.Made >= h.acked+int64(patience):
		e.report(k.Prefix, d, el, causePart, "look for a second way to the PBX: another interface, "+
			"a tunnel, a proxy, a port that is not in [firewall] sip_ports or ws_ports")
	}
}

// wrongPort returns the cause and what to do where the ports of a scope lack one.
func wrongPort(scope firewall.Scope, port uint16) (cause, do string) {
	do = fmt.Sprintf("add port %d, or the port that is forwarded to it, to [firewall] ", port)
	if scope == firewall.ScopeStream {
		return causeTCP, do + "sip_ports if it is one of SIP over TCP or TLS, else to ws_ports"
	}
	return causePort, do + "sip_ports"
}

// report logs what is wrong with a ban and what to do, once for each source and cause. All bans of
// a server that do nothing for one cause are one condition: on the wrong machine, there are
// thousands.
func (e *Enforcer) report(
	prefix netip.Prefix, d bans.Doubt, el firewall.Element, cause, do string,
) {
	e.alerts.Raise(alerts.Key(alerts.IneffectiveBan, d.Server, cause), alerts.Alert{
		Kind: alerts.IneffectiveBan, Source: d.Source.Addr().String(), Server: d.Server,
		Text: "a ban does nothing: " + cause, Do: do, Logged: true,
	}, alerts.Span{})

	r := &e.reported
	if !r.isFirst(d.Source.Addr(), cause) {
		return
	}

	r.keep(Ineffective{
		At: time.Now(), Source: d.Source.Addr(), Ban: prefix, Server: d.Server, Cause: cause,
		Do: do,
	})
	e.log.Warn("ban is ineffective", "source", d.Source.Addr().String(), "ban", bans.Source(prefix),
		"server", d.Server, "cause", cause, "port", d.Port, "dropped", el.Packets, "do", do,
		"ineffective", r.count)
}

// reported deduplicates reports by source and cause, and remembers the last ones. Its zero value is
// ready to use.
type reported struct {
	lines  map[sourceCause]struct{}
	count  uint64        // of all reports
	recent []Ineffective // the last latestMost
}

type sourceCause struct {
	source netip.Addr
	cause  string
}

// Limits of what is remembered.
const (
	latestMost   = 100                     // reports, to be shown
	latestAge    = 24 * time.Hour          // for which they are shown
	reportedMost = firewall.DefaultMaxBans // sources and causes: some 20 MB
)

// isFirst reports whether a source and cause are reported for the first time, and remembers them.
func (r *reported) isFirst(source netip.Addr, cause string) bool {
	l := sourceCause{source, cause}
	if _, ok := r.lines[l]; ok {
		return false
	}

	if r.lines == nil || len(r.lines) >= reportedMost {
		r.lines = make(map[sourceCause]struct{})
	}
	r.lines[l] = struct{}{}
	r.count++
	return true
}

// keep remembers a report.
func (r *reported) keep(i Ineffective) {
	if len(r.recent) == latestMost {
		r.recent = slices.Delete(r.recent, 0, 1)
	}
	r.recent = append(r.recent, i)
}

// latest returns the reports of the last day, the last one at the end.
func (r *reported) latest() []Ineffective {
	return slices.DeleteFunc(slices.Clone(r.recent), func(i Ineffective) bool {
		return time.Since(i.At) > latestAge
	})
}
