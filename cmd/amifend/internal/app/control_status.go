package app

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/policy"
)

// askTime is how long the status waits for a goroutine before it says that this one is busy.
const askTime = time.Second

// When the status warns.
const (
	warnClock = time.Minute      // that a PBX's clock is wrong
	warnLag   = 10 * time.Second // that events come late
)

// Status tells how everything is. It answers also when the kernel hangs: that is when it is asked for.
func (k *desk) Status(ctx context.Context) (control.Status, error) {
	s := control.Status{
		Version: k.Version, Since: k.started, Observe: k.config.Load().Observe, Health: []control.Warning{},
		Ineffective: []control.Ineffective{}, Protected: len(k.watcher.Current().Entries), Followers: k.feed.Followers(),
	}
	for _, w := range k.config.Load().Warnings {
		s.Health = append(s.Health, control.Warning{About: "config", What: w})
	}
	if k.config.Load().Observe {
		s.Health = append(s.Health, control.Warning{
			About: "policy", What: "nobody is banned: observe is on",
			Do: "when no friend is among those it would ban, delete observe = true and restart amifend",
		})
	}
	for _, one := range k.sessionsNow() {
		server, warnings := one.report()
		s.Servers, s.Health = append(s.Servers, server), append(s.Health, warnings...)
	}
	k.engineStatus(ctx, &s)
	k.firewallStatus(ctx, &s)
	k.journalStatus(&s)
	s.Health = append(s.Health, k.nameWarnings()...)
	return s, nil
}

func (k *desk) journalStatus(s *control.Status) {
	if k.records.journal == nil {
		return
	}
	h := k.records.journal.Health()
	s.Journal = &control.Journal{Path: h.Path, Problem: h.Problem, Since: h.Since, Waiting: h.Waiting, Lost: h.Lost, Size: h.Size}
	if h.Problem != "" {
		s.Health = append(s.Health, control.Warning{About: "journal", What: h.Problem + "; bans go on and are written later", Do: h.Do})
	}
}

func (k *desk) engineStatus(ctx context.Context, s *control.Status) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	type answer struct {
		stats  policy.Stats
		masked []maskedSeen
		alerts []alertSeen
		trial  *control.Trial
	}
	a, err := ask(ctx, k.judge.asks, askJudge, func() answer {
		return answer{k.judge.engine.Stats(), slices.Clone(k.judge.masked.seen), slices.Clone(k.judge.alerted), k.judge.trialStatus()}
	})
	if err != nil {
		s.Health = append(s.Health, control.Warning{
			About: "policy", What: err.Error(), Do: "if it stays so, give amifend more CPU time, or restart it and report a bug",
		})
		return
	}
	s.Engine = engineStatus(a.stats)
	now := k.clock.now()
	if s.Trial = a.trial; s.Trial != nil {
		s.Health = append(s.Health, trialWarning(s.Trial))
	}
	s.Health = append(s.Health, maskedWarnings(a.masked, now)...)
	s.Health = append(s.Health, policyWarnings(a.stats, k.pulse.before())...)
	s.Health = append(s.Health, alertWarnings(a.alerts, now)...)
}

func engineStatus(p policy.Stats) control.Engine {
	return control.Engine{
		Observed: p.Observed, Counted: p.Counted, Protected: p.Protected, Shielded: p.Shielded, Covered: p.Covered,
		Refused: p.BansRefused, Postponed: p.Postponed, Evicted: p.Evicted, Alerts: p.Alerts, Sources: p.Sources, Bans: p.Bans,
	}
}

// The states of the firewall.
const (
	firewallOK      = "ok"
	firewallFailing = "failing"
	firewallBusy    = "busy"
)

func (k *desk) firewallStatus(ctx context.Context, s *control.Status) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	type answer struct {
		firewall    control.Firewall
		ineffective []control.Ineffective
	}
	a, err := ask(ctx, k.enforcer.asks, askEnforcer, func() answer {
		return answer{k.enforcer.status(), k.enforcer.told.latest()}
	})
	if err != nil {
		s.Firewall = control.Firewall{State: firewallBusy, Error: err.Error()}
	} else {
		s.Firewall, s.Ineffective = a.firewall, append(s.Ineffective, a.ineffective...)
	}
	s.Firewall.Name = k.table.String()
	s.Firewall.Denied = k.denyStatus(ctx)
	if d := s.Firewall.Denied; d != nil && d.Error != "" {
		s.Health = append(s.Health, control.Warning{
			About: "firewall", What: "the [deny] lists are not in the kernel: " + d.Error, Do: "amifend check says what is missing; amifend goes on trying",
		})
	}
	warn := func(what, do string) {
		s.Health = append(s.Health, control.Warning{About: "firewall", What: what, Do: do})
	}
	switch s.Firewall.State {
	case firewallBusy:
		warn("it has not answered for a second, so new bans wait", "if it stays so: dmesg, and another program that changes nftables all the time (nft monitor)")
	case firewallFailing:
		warn("the kernel refuses: "+s.Firewall.Error, "amifend check says what is missing; amifend goes on trying")
	}
	if s.Firewall.Waiting > 0 {
		warn(fmt.Sprintf("a set is full, %d bans wait for room", s.Firewall.Waiting), "raise [firewall] max_bans and restart amifend")
	}
	if n := len(s.Ineffective); n > 0 {
		last := s.Ineffective[n-1]
		warn(fmt.Sprintf("bans do nothing (%d of late), the last one of %s: %s", n, last.Source, last.Cause), last.Do)
	}
}

// status tells how the enforcer stands.
func (e *enforcer) status() control.Firewall {
	f := control.Firewall{
		State: firewallOK, Bans: len(e.ledger.bans), Pending: len(e.ledger.send) + len(e.ledger.lifts), Waiting: e.ledger.waiting(),
	}
	if e.backoff > 0 {
		f.State, f.Error = firewallFailing, e.lastError
	}
	return f
}

// report tells how the session is, and what is wrong with it.
func (s *session) report() (control.ServerStatus, []control.Warning) {
	st := s.Status()
	out := control.ServerStatus{
		Name: s.name, Address: st.Address, Connected: st.Phase == ami.PhaseConnected, Phase: st.Phase.String(), Since: st.Since,
		Down: st.Down, NextTry: st.NextTry, AMIVersion: printable(st.Version), Login: string(st.Auth),
		Events: st.Events, EventsRate: round(s.rate.perSecond()), Latency: st.Latency.Seconds(),
		Gaps: st.Gaps, LastGap: st.LastGap.Seconds(), Stalls: st.Stalls, Untrusted: sum(st.Decoder.Tainted[:]) + sum(st.Decoder.Dropped[:]),
		Lag: time.Duration(s.gauge.lag.Load()).Seconds(), ClockError: time.Duration(s.gauge.ahead.Load()).Seconds(),
	}
	if st.TLS.Enabled {
		out.TLS, out.Verified, out.Fingerprint = st.TLS.Version, !st.TLS.Insecure, st.TLS.Fingerprint
	}
	var warnings []control.Warning
	warn := func(what, do string) {
		warnings = append(warnings, control.Warning{About: "server " + s.name, What: what, Do: do})
	}
	if st.Problem != ami.ProblemNone {
		out.Problem, out.Do = st.Problem.String(), config.Advice(st.Problem)
		if st.LastError != nil {
			out.Error = printable(st.LastError.Error())
		}
		warn("no events: "+out.Problem+": "+out.Error, out.Do)
	}
	if !out.Connected && st.Problem == ami.ProblemNone {
		warn("no events yet: amifend is connecting", "wait for some seconds, and ask again")
	}
	for _, w := range st.Warnings {
		w = config.SessionWarning(w)
		warn(w.Risk, w.Advice)
	}
	if what := gapText(st, time.Now()); what != "" {
		warn(what, "nothing if Asterisk was restarted; else look at the network to it and at its log")
	}
	if of := s.gauge.distrusted.Load(); of != 0 && time.Since(time.Unix(0, of)) < vigilQuiet {
		warn("most of its events cannot be trusted, and ban nobody but who injected text",
			"if no attack by injected text is going on, this Asterisk is newer than amifend: update amifend")
	}
	if of := s.gauge.stalled.Load(); of != 0 && time.Since(time.Unix(0, of)) < vigilQuiet {
		warn("its events had to wait for amifend", "give amifend more CPU time: Asterisk ends a session that is about 4 MB behind")
	}
	if ahead := time.Duration(s.gauge.ahead.Load()); ahead.Abs() > warnClock {
		warn(fmt.Sprintf("its clock is %s", clockWords(ahead)), "set the clocks of both machines by NTP (timedatectl); bans do not depend on it")
	}
	if lag := time.Duration(s.gauge.lag.Load()); lag > warnLag {
		warn(fmt.Sprintf("its events came %s late", lag.Round(time.Second)), "look at the load of the PBX, and at the network to it")
	}
	if n := st.Decoder.LateOrphans; n > 0 {
		warn(fmt.Sprintf("%d events may have been forged", n), "the log says when; if the network to this PBX stalls, run amifend closer to it")
	}
	return out, warnings
}

// gapText tells of a gap in the stream that ended in the last hour; "" if there was none, or another one goes on.
func gapText(st ami.Status, now time.Time) string {
	back := now.Sub(st.Since)
	if st.Phase != ami.PhaseConnected || st.LastGap == 0 || back >= healthSpan {
		return ""
	}
	return fmt.Sprintf("events may be missing: the session was down for %s, until %s ago", st.LastGap.Round(time.Second), back.Round(time.Second))
}

func clockWords(ahead time.Duration) string {
	if ahead < 0 {
		return (-ahead).Round(time.Second).String() + " behind ours"
	}
	return ahead.Round(time.Second).String() + " ahead of ours"
}

// round cuts a number for people.
func round(x float64) float64 { return math.Round(x*100) / 100 }

// printable is a text in which a PBX or a config had a say, fit for a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}
