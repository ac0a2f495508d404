package operate

import (
	"fmt"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
)

// When the status warns.
const (
	warnClock = time.Minute      // of a PBX's clock that is wrong by more
	warnLag   = 10 * time.Second // of events that come later
	warnGap   = time.Hour        // of a gap that ended within that time
)

// serverStatus returns the state of a session, and what is wrong with it.
func serverStatus(s *stream.Session) (control.ServerStatus, []control.Warning) {
	st := s.Status()
	out := control.ServerStatus{
		Name: s.Name(), Address: st.Address, Connected: st.Phase == ami.PhaseConnected,
		Phase: st.Phase.String(), Since: st.Since, Down: st.Down, NextTry: st.NextTry,
		AMIVersion: bans.Printable(st.Version), Login: string(st.Auth), Events: st.Events,
		EventsRate: bans.Round(s.EventsPerSecond()), Latency: st.Latency.Seconds(), Gaps: st.Gaps,
		LastGap: st.LastGap.Seconds(), Stalls: st.Stalls,
		Untrusted: sum(st.Decoder.Tainted[:]) + sum(st.Decoder.Dropped[:]),
		Lag:       s.Lag().Seconds(), ClockError: s.ClockAhead().Seconds(),
	}

	if st.TLS.Enabled {
		out.TLS = st.TLS.Version
		out.Verified = !st.TLS.Insecure
		out.Fingerprint = st.TLS.Fingerprint
	}

	// The last error may hold text of the PBX.
	if st.Problem != ami.ProblemNone {
		out.Problem = st.Problem.String()
		out.Do = config.Advice(st.Problem)
		if st.LastError != nil {
			out.Error = bans.Printable(st.LastError.Error())
		}
	}

	return out, serverWarnings(s, st, out)
}

// WhyDown returns why a session has no events, and what to do.
func WhyDown(st ami.Status) (what, do string) {
	what = "no events: amifend is not connected"
	if st.Problem == ami.ProblemNone {
		return what, ""
	}

	// The last error may hold text of the PBX.
	what = "no events: " + st.Problem.String()
	if st.LastError != nil {
		what += ": " + bans.Printable(st.LastError.Error())
	}
	return what, config.Advice(st.Problem)
}

// serverWarnings returns what is wrong with a session.
func serverWarnings(
	s *stream.Session, st ami.Status, shown control.ServerStatus,
) (out []control.Warning) {
	warn := func(what, do string) {
		out = append(out, control.Warning{About: "server " + s.Name(), What: what, Do: do})
	}

	// The connection.
	switch {
	case st.Problem != ami.ProblemNone:
		warn("no events: "+shown.Problem+": "+shown.Error, shown.Do)
	case !shown.Connected:
		warn("no events yet: amifend is connecting", "wait for some seconds, and ask again")
	}

	for _, w := range st.Warnings {
		w = config.SessionWarning(w)
		warn(w.Risk, w.Advice)
	}
	if what := gapText(st, time.Now()); what != "" {
		warn(what, "nothing if Asterisk was restarted; else look at the network to it and at "+
			"its log")
	}

	// The events.
	if s.ChanSIP() {
		warn(config.ChanSIPRisk, config.ChanSIPAdvice)
	}
	if s.Distrusted() {
		warn("most of its events cannot be trusted, and ban nobody but who injected text",
			"if no attack by injected text is going on, this Asterisk is newer than amifend: "+
				"update amifend")
	}
	if s.Stalled() {
		warn("its events had to wait for amifend",
			"give amifend more CPU time: Asterisk ends a session that is about 4 MB behind")
	}

	// Bans do not depend on the PBX's clock: amifend measures how wrong it is.
	if ahead := s.ClockAhead(); ahead.Abs() > warnClock {
		warn(fmt.Sprintf("its clock is %s", clockText(ahead)),
			"set the clocks of both machines by NTP (timedatectl); bans do not depend on it")
	}
	if lag := s.Lag(); lag > warnLag {
		warn(fmt.Sprintf("its events came %s late", lag.Round(time.Second)),
			"look at the load of the PBX, and at the network to it")
	}

	if n := st.Decoder.LateOrphans; n > 0 {
		warn(fmt.Sprintf("%d events may have been forged", n),
			"the log says when; if the network to this PBX stalls, run amifend closer to it")
	}

	return out
}

// gapText describes a gap in the stream that ended in the last hour; "" if there was none, or
// another one goes on.
func gapText(st ami.Status, now time.Time) string {
	back := now.Sub(st.Since)
	if st.Phase != ami.PhaseConnected || st.LastGap == 0 || back >= warnGap {
		return ""
	}

	return fmt.Sprintf("events may be missing: the session was down for %s, until %s ago",
		st.LastGap.Round(time.Second), back.Round(time.Second))
}

func clockText(ahead time.Duration) string {
	if ahead < 0 {
		return (-ahead).Round(time.Second).String() + " behind ours"
	}
	return ahead.Round(time.Second).String() + " ahead of ours"
}

func sum(counts []uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}
