package operate

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/policy"
)

// Status returns the state of all parts. It answers even when the kernel hangs, since operators ask
// for it then.
func (s *Service) Status(ctx context.Context) (control.Status, error) {
	c := s.Config()
	st := control.Status{
		Version: s.Version, Since: s.started, Observe: c.Observe, Health: []control.Warning{},
		Ineffective: []control.Ineffective{}, Protected: len(s.Watcher.Current().Entries),
		Followers: s.Feed.Followers(), Confined: s.Confined,
	}

	// Warnings of the config come first: they explain much of what follows.
	for _, w := range c.Warnings {
		st.Health = append(st.Health, control.Warning{About: "config", What: w})
	}
	if s.MetricsProblem != nil {
		st.Health = append(st.Health, metricsWarnings(s.MetricsProblem())...)
	}
	if s.Restart != nil {
		st.Health = append(st.Health, restartWarnings(s.Restart())...)
	}
	if c.Observe {
		st.Observed = s.observed(ctx)
		warning := observeWarning(st.Observed, time.Now())
		if c.Unkept != nil {
			warning = unkeptWarning(c.Unkept)
		}
		st.Health = append(st.Health, warning)
	}
	if st.TurnError = s.TurnError; st.TurnError != "" {
		st.Health = append(st.Health, control.Warning{
			About: "policy", What: st.TurnError, Do: "amifend check says what is missing",
		})
	}

	// Each part is asked with a limit of its own, so that one that hangs does not hide the others.
	for _, one := range s.Sessions() {
		server, warnings := serverStatus(one)
		st.Servers = append(st.Servers, server)
		st.Health = append(st.Health, warnings...)
	}
	s.engineStatus(ctx, &st)
	st.Health = append(st.Health, alertWarnings(s.Book.Open(), s.Book.Latest())...)
	s.firewallStatus(ctx, &st)
	s.journalStatus(&st)
	s.sensorStatus(&st)
	s.limiterStatus(&st)
	st.Health = append(st.Health, s.nameWarnings()...)
	st.Health = append(st.Health, s.geoWarnings()...)
	st.Health = append(st.Health, learnedWarnings(s.Watcher.Current().Learned)...)
	return st, nil
}

// restartWarnings returns which keys of the config file are not in force before a restart.
func restartWarnings(keys []string) []control.Warning {
	if len(keys) == 0 {
		return nil
	}
	return []control.Warning{{
		About: "config", What: "restart needed: the file has other values of " +
			strings.Join(keys, ", "),
		Do: "systemctl restart amifend, or write the old values and run: amifend reload",
	}}
}

// metricsWarnings returns why Prometheus cannot scrape.
func metricsWarnings(problem string) []control.Warning {
	if problem == "" {
		return nil
	}
	return []control.Warning{{
		About: "metrics", What: "Prometheus cannot scrape: " + problem,
		Do: "see whether the address is of this machine and free: ss -ltnp; amifend goes on trying",
	}}
}

func (s *Service) journalStatus(st *control.Status) {
	if s.Journal == nil {
		return
	}

	h := s.Journal.Health()
	st.Journal = &control.Journal{
		Path: h.Path, Problem: h.Problem, Since: h.Since, Waiting: h.Waiting, Lost: h.Lost,
		Size: h.Size, Unreserved: h.Unreserved,
	}

	if h.Loss != nil {
		st.Health = append(st.Health, control.Warning{
			About: "journal", What: h.Loss.String(), Do: h.Loss.Do(),
		})
	}
	if h.Unreserved != "" && h.Problem == "" {
		st.Health = append(st.Health, control.Warning{
			About: "journal", What: "no room is reserved on its disk: " + h.Unreserved + "; what an " +
				"operator lifts or allows while the disk is full does not outlast a crash",
			Do: control.AdviseReserve,
		})
	}
	if h.Problem != "" {
		st.Health = append(st.Health, control.Warning{
			About: "journal", What: h.Problem + "; bans go on and are written later", Do: h.Do,
		})
	}
}

func (s *Service) engineStatus(ctx context.Context, st *control.Status) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()

	j, err := s.Judge.Status(ctx)
	if err != nil {
		st.Health = append(st.Health, control.Warning{
			About: "policy", What: err.Error(),
			Do: "if it stays so, give amifend more CPU time, or restart it and report a bug",
		})
		return
	}

	// Only what somebody can do something about becomes a warning.
	st.Engine = engineCounts(j.Stats)

	st.SharedSources, st.SharedMore = sharedSources(j.Shared), j.SharedMore
	if st.Trial = s.trialStatus(j.Trial); st.Trial != nil {
		st.Health = append(st.Health, s.trialWarning(j.Trial))
	}

	st.Health = append(st.Health, hiddenWarnings(j.Hidden)...)
	st.Health = append(st.Health, policyWarnings(j.Stats, j.HourAgo)...)
}

func engineCounts(p policy.Stats) control.Engine {
	return control.Engine{
		Observed: p.Observed, Counted: p.Counted, Protected: p.Protected, Shielded: p.Shielded,
		Covered: p.Covered, Refused: p.BansRefused, Postponed: p.Postponed, Evicted: p.Evicted,
		Alerts: p.Alerts, Sources: p.Sources, Bans: p.Bans,
	}
}

// The states of the firewall.
const (
	firewallOK      = "ok"
	firewallFailing = "failing"
	firewallBusy    = "busy"
)

func (s *Service) firewallStatus(ctx context.Context, st *control.Status) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()

	// An enforcer that does not answer waits for the kernel. Its counts are then shown as zero.
	f := &st.Firewall
	e, err := s.Enforcer.Status(ctx)
	switch {
	case err != nil:
		*f = control.Firewall{State: firewallBusy, Error: Refusal(err).Error()}
	case e.Failure != "":
		*f = control.Firewall{State: firewallFailing, Error: e.Failure}
	default:
		f.State = firewallOK
	}

	f.Bans = e.Bans
	f.Pending = e.Pending
	f.Waiting = e.Waiting
	f.Taken = e.Taken
	if !e.LastTaken.IsZero() {
		f.LastTaken = e.LastTaken.UTC()
	}
	for _, i := range e.Ineffective {
		st.Ineffective = append(st.Ineffective, ineffective(i))
	}

	f.Name = s.Firewall
	f.Denied = s.denyStatus(ctx)
	f.Feeds = s.feedStates(ctx)
	st.Health = append(st.Health, feedWarnings(f.Feeds)...)
	st.Health = append(st.Health, firewallWarnings(*f, st.Ineffective)...)
}

// ineffective returns a ban that does nothing as the API has it.
func ineffective(i enforce.Ineffective) control.Ineffective { return control.Ineffective(i) }

// oftenTaken is how often within an hour others must take the table away before it is a warning.
// Once or twice is a firewall that was reloaded.
const oftenTaken = 3

// firewallWarnings returns what is wrong with the firewall.
func firewallWarnings(f control.Firewall, useless []control.Ineffective) (out []control.Warning) {
	warn := func(what, do string) {
		out = append(out, control.Warning{About: "firewall", What: what, Do: do})
	}

	if d := f.Denied; d != nil && d.Error != "" {
		warn("the [deny] lists are not in the kernel: "+d.Error,
			"amifend check says what is missing; amifend goes on trying")
	}

	switch f.State {
	case firewallBusy:
		warn("it has not answered for a second, so new bans wait",
			"if it stays so: dmesg, and another program that changes nftables all the time "+
				"(nft monitor)")
	case firewallFailing:
		warn("the kernel refuses: "+f.Error,
			"amifend check says what is missing; amifend goes on trying")
	}

	if f.Taken >= oftenTaken {
		warn(fmt.Sprintf("another program keeps deleting the nftables table, or bans of it: %d times "+
			"in the last hour, the last time at %s; each time amifend puts all back", f.Taken,
			f.LastTaken.Format(time.RFC3339)),
			"find it: nft monitor; a firewall script that begins with flush ruleset is the usual "+
				"cause: let it delete its own tables only")
	}
	if f.Waiting > 0 {
		warn(fmt.Sprintf("a set is full, %d bans wait for room", f.Waiting),
			"raise [firewall] max_bans and restart amifend")
	}
	// Bans that do nothing usually have one cause, so the last one is enough.
	if n := len(useless); n > 0 {
		last := useless[n-1]
		warn(fmt.Sprintf("bans do nothing (%d of late), the last one of %s: %s", n, last.Source,
			last.Cause), last.Do)
	}

	return out
}

// learnedWarnings asks operators to confirm the addresses that are spared because a server alone
// says so.
func learnedWarnings(learned []protect.Learned) (out []control.Warning) {
	for _, l := range learned {
		// The warning is about the server, so its name is not told twice.
		server := "server " + l.Server
		reason := strings.TrimPrefix(bans.Printable(l.Reason), server+": ")
		out = append(out, control.Warning{
			About: server,
			What: fmt.Sprintf("%s is protected only from what this server itself reports (%s)", l.Addr,
				reason),
			Do: l.Advice(),
		})
	}
	return out
}

// nameWarnings returns which names do not resolve.
func (s *Service) nameWarnings() (out []control.Warning) {
	for _, e := range s.Watcher.Unresolved() {
		if e.Server != "" {
			continue // its session shows that
		}

		what := fmt.Sprintf("%s has not resolved yet, so nobody is allowed by it", e.Host)
		if e.Kept > 0 {
			what = fmt.Sprintf("%s does not resolve, its last addresses (%d) stay allowed", e.Host,
				e.Kept)
		}
		out = append(out, control.Warning{
			About: "allowlist", What: what + ": " + bans.Printable(e.Err.Error()),
			Do: "see whether the name is right and DNS works: getent ahosts " + e.Host,
		})
	}

	return out
}
