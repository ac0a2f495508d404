package app

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/firewall"
)

// Causes of a ban that does nothing.
const (
	causePort = "port not in sip_ports"
	causePath = "traffic does not pass this machine"
	causePart = "some packets get through"
)

// told remembers what was said, since each is said once a source and cause.
type told struct {
	lines  map[toldLine]struct{}
	count  uint64                // how much was said in all
	recent []control.Ineffective // the last of it, latestMost at most

	alerted map[serverCause]time.Time // when the journal was told last
}

// latestMost is how many bans that do nothing are remembered to be shown, and latestAge for how long.
const (
	latestMost = 100
	latestAge  = 24 * time.Hour
)

// remember keeps what was said.
func (t *told) remember(i control.Ineffective) {
	if len(t.recent) == latestMost {
		t.recent = slices.Delete(t.recent, 0, 1)
	}
	t.recent = append(t.recent, i)
}

// latest returns what was said of late, the last one at the end.
func (t *told) latest() []control.Ineffective {
	return slices.DeleteFunc(slices.Clone(t.recent), func(i control.Ineffective) bool { return time.Since(i.At) > latestAge })
}

type toldLine struct {
	source netip.Addr
	cause  string
}

// toldMost bounds what is remembered: as many sources as are banned by default at most, some 20 MB.
const toldMost = firewall.DefaultMaxBans

// first tells whether this is said for the first time, and remembers it.
func (t *told) first(source netip.Addr, cause string) bool {
	l := toldLine{source, cause}
	if _, ok := t.lines[l]; ok {
		return false
	}
	if t.lines == nil || len(t.lines) >= toldMost {
		t.lines = make(map[toldLine]struct{})
	}
	t.lines[l] = struct{}{}
	t.count++
	return true
}

// answerMost is how many doubts are looked into at a time: each takes a message to the kernel, and bans must not wait.
const answerMost = 100

// answer asks the kernel about bans in doubt.
func (e *enforcer) answer(ctx context.Context) {
	maps.Copy(e.questions, e.doubts.take()) // as bounded as the bans are
	n := answerMost
	for prefix, d := range e.questions {
		if n == 0 {
			return
		}
		n--
		delete(e.questions, prefix)
		e.look(ctx, prefix, d)
	}
}

// look finds out whether a ban is ineffective, and why.
func (e *enforcer) look(ctx context.Context, prefix netip.Prefix, d doubt) {
	h := e.ledger.bans[key{prefix, d.scope}]
	if h == nil || h.acked == 0 || d.made < h.acked+int64(grace) {
		return // lifted, or out of the kernel for a while, since
	}
	el, ok, err := e.table.Element(ctx, prefix, d.scope)
	if err != nil || !ok {
		return // the next write to the kernel says why, or Watch that somebody took the element
	}
	switch {
	case !d.inPort && d.port != 0:
		port := strconv.Itoa(int(d.port))
		e.tellIneffective(prefix, d, el, causePort,
			fmt.Sprintf("add port %s, or the port that is forwarded to it, to [firewall] sip_ports", port))
	case el.Counted && el.Packets == 0:
		e.tellIneffective(prefix, d, el, causePath, "run amifend on the PBX itself or on the gateway in front of it")
	case d.made >= h.acked+int64(patience):
		e.tellIneffective(prefix, d, el, causePart,
			"look for a second way to the PBX: another interface, a tunnel, a proxy, a port that is not in [firewall] sip_ports")
	}
}

// tellIneffective says what is wrong with a ban and what to do, once a source and cause.
func (e *enforcer) tellIneffective(prefix netip.Prefix, d doubt, el firewall.Element, cause, do string) {
	if !e.told.first(d.source.Addr(), cause) {
		return
	}
	e.told.remember(control.Ineffective{At: time.Now(), Source: d.source.Addr(), Ban: prefix, Server: d.server, Cause: cause, Do: do})
	e.log.Warn("ban is ineffective", "source", d.source.Addr().String(), "ban", source(prefix), "server", d.server,
		"cause", cause, "port", d.port, "dropped", el.Packets, "do", do, "ineffective", e.told.count)
	if e.told.fresh(d.server, cause, time.Now()) {
		e.records.alert(journal.Alert{
			Kind: kindIneffective, Source: d.source.Addr().String(), Server: d.server, Text: "a ban does nothing: " + cause, Do: do,
		})
	}
}

// kindIneffective is the kind of the journal's alerts of bans that do nothing.
const kindIneffective = "ineffective_ban"

// alertLeast is how long nothing more of the same server and cause is an alert: an amifend in the wrong place makes each ban
// one that does nothing.
const alertLeast = time.Hour

// fresh tells whether a server and cause are worth an alert, and remembers it.
func (t *told) fresh(server, cause string, now time.Time) bool {
	k := serverCause{server, cause}
	if at, ok := t.alerted[k]; ok && now.Sub(at) < alertLeast {
		return false
	}
	if t.alerted == nil {
		t.alerted = make(map[serverCause]time.Time) // as bounded as the servers are
	}
	t.alerted[k] = now
	return true
}

type serverCause struct{ server, cause string }
