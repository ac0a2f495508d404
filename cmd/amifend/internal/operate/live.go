package operate

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce"
	"github.com/amifend/amifend/cmd/amifend/internal/judge"
)

// How the last hour is kept, and how often the owners are asked.
const (
	minutes   = 60
	liveFresh = 900 * time.Millisecond // for which an answer is used again
)

// watched holds what a live screen needs: the counters of each minute, and the last answer.
type watched struct {
	asking sync.Mutex // while an answer is made: other screens wait for it
	last   control.Live
	asked  time.Time
	limit  int // of last

	mu      sync.Mutex
	samples []control.LiveCounts // at the end of each minute, the oldest first, 61 at most
	dropped *uint64              // as the kernel counted last; nil: unknown
}

// watchMinutes notes the counters once a minute until ctx ends.
func (s *Service) watchMinutes(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()

	for {
		s.noteMinute(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Service) noteMinute(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	now := s.liveCounts(ctx)

	w := &s.watched
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.samples) > minutes {
		w.samples = slices.Delete(w.samples, 0, 1)
	}
	w.samples = append(w.samples, now)
}

// liveCounts returns the counters since the start. Only the kernel is asked; the rest never waits.
func (s *Service) liveCounts(ctx context.Context) (out control.LiveCounts) {
	for _, one := range s.Sessions() {
		out.Events += one.Status().Events
	}

	judged, made := s.Judge.Counts(), s.Enforcer.Counts()
	out.Attempts = judged.Attempts
	for _, scope := range bans.Scopes() {
		out.Bans += made.Banned[scope] + judged.Observed[scope]
	}

	// The kernel answers one question at a time. While it answers another one, such as that of
	// Prometheus, its last answer stands.
	dropped := s.Enforcer.Dropped(ctx)
	w := &s.watched
	w.mu.Lock()
	defer w.mu.Unlock()
	if dropped != nil {
		var all uint64
		for _, d := range dropped {
			all += d.Packets
		}
		w.dropped = &all
	}
	out.Dropped = w.dropped

	return out
}

// perMinute returns what was counted in each minute. The last one goes on, and ends with now.
func (s *Service) perMinute(now control.LiveCounts) []control.LiveCounts {
	w := &s.watched
	w.mu.Lock()
	samples := append(slices.Clone(w.samples), now)
	w.mu.Unlock()

	out := []control.LiveCounts{}
	for i, after := range samples[1:] {
		before := samples[i]
		minute := control.LiveCounts{
			Events:   grown(before.Events, after.Events),
			Attempts: grown(before.Attempts, after.Attempts),
			Bans:     grown(before.Bans, after.Bans),
		}
		if before.Dropped != nil && after.Dropped != nil {
			n := grown(*before.Dropped, *after.Dropped)
			minute.Dropped = &n
		}
		out = append(out, minute)
	}
	return out
}

// grown returns how much a counter has grown. A smaller one began anew: a server was removed, or the
// rules were laid out again.
func grown(before, after uint64) uint64 {
	if after < before {
		return 0
	}
	return after - before
}

// Live returns the present and the last hour. All screens together ask the owners once a second.
func (s *Service) Live(ctx context.Context, limit int) (control.Live, error) {
	w := &s.watched
	w.asking.Lock()
	defer w.asking.Unlock()

	if time.Since(w.asked) >= liveFresh || limit > w.limit {
		w.last, w.limit = s.live(ctx, limit), limit
		w.asked = time.Now()
	}

	// The lists belong to the answer that is kept: they are cut, not changed.
	out := w.last
	out.Sources = out.Sources[:min(limit, len(out.Sources))]
	out.Accounts = out.Accounts[:min(limit, len(out.Accounts))]
	out.Bans = out.Bans[:min(limit, len(out.Bans))]
	out.Alerts = out.Alerts[:min(limit, len(out.Alerts))]
	return out, nil
}

// live asks all owners at once, so that those that do not answer take a second together.
func (s *Service) live(ctx context.Context, limit int) control.Live {
	// The answer is for all screens, so it does not end with the one that asked first.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTime)
	defer cancel()
	out := control.Live{
		At: time.Now().UTC(), Version: s.Version, Since: s.started.UTC(), Dry: s.Config().Dry(),
		Servers: []control.LiveServer{}, Sources: []control.LiveSum{}, Accounts: []control.LiveSum{},
		Bans: []control.Ban{}, Alerts: s.liveAlerts(limit), Busy: []string{},
	}
	for _, one := range s.Sessions() {
		server, _ := serverStatus(one)
		out.Servers = append(out.Servers, liveServer(server))
	}

	// Each function writes to fields of its own.
	var all sync.WaitGroup
	var hottest judge.Hottest
	var judgeErr, banErr error
	all.Go(func() {
		out.Counts = s.liveCounts(ctx)
		out.Minutes = s.perMinute(out.Counts)
	})
	all.Go(func() { hottest, judgeErr = s.Judge.Hottest(ctx, limit) })
	all.Go(func() { out.Running, out.Bans, banErr = s.newestBans(ctx, limit) })
	all.Wait()

	out.Dry = out.Dry || hottest.Over
	out.Accounts = s.liveSums(hottest.Accounts)
	out.Sources = s.liveSums(hottest.Sources)
	if banErr == nil {
		banErr = s.markHot(ctx, hottest.Sources, out.Sources)
	}
	if judgeErr != nil {
		out.Busy = append(out.Busy, "policy")
	}
	if banErr != nil {
		out.Busy = append(out.Busy, "firewall")
	}
	return out
}

func liveServer(s control.ServerStatus) control.LiveServer {
	return control.LiveServer{
		Name: s.Name, Connected: s.Connected, Phase: s.Phase, Since: s.Since, Down: s.Down,
		Problem: s.Problem, Error: s.Error, Events: s.Events, EventsRate: s.EventsRate, Lag: s.Lag,
		Latency: s.Latency,
	}
}

func (s *Service) liveSums(hot []judge.Hot) []control.LiveSum {
	out := make([]control.LiveSum, len(hot))
	for i, h := range hot {
		out[i] = control.LiveSum{
			Name: h.Account, Server: h.Server, Servers: h.Servers, Failures: h.Failures,
			Logins: h.Logins, Lately: h.Lately, Last: s.Clock.Wall(h.Last).UTC().Truncate(time.Second),
		}
		if h.Addr.IsValid() {
			out[i].Name = h.Addr.String()
		}
	}
	return out
}

// markHot notes which of the sources are banned now.
func (s *Service) markHot(ctx context.Context, hot []judge.Hot, to []control.LiveSum) error {
	addrs := make([]netip.Addr, len(hot))
	for i, h := range hot {
		addrs[i] = h.Addr
	}
	banned, err := s.Enforcer.AreBanned(ctx, addrs)
	for i := range banned {
		to[i].Banned = banned[i]
	}
	return err
}

// newestBans returns the newest bans, and how many there are in all.
func (s *Service) newestBans(ctx context.Context, most int) (int, []control.Ban, error) {
	picked, err := s.Enforcer.Pick(ctx, enforce.Pick{Order: enforce.Newest, Most: most})
	if err != nil {
		return 0, []control.Ban{}, err
	}

	described, err := s.Enforcer.Describe(ctx, picked.Keys, true)
	out := make([]control.Ban, len(described))
	for i, b := range described {
		out[i] = listed(b)
	}
	return picked.Total, out, err
}

// liveAlerts returns the open conditions, and the latest event of each kind that has none open.
func (s *Service) liveAlerts(most int) []control.Alert {
	out := []control.Alert{}
	open := make(map[string]bool)
	for _, c := range s.Book.Open() {
		open[c.Kind] = true
		shown := liveAlert(&c.Alert, c.Since)
		shown.ID, shown.Open, shown.Last, shown.Count = c.ID(), true, c.Last, c.Count
		out = append(out, shown)
	}
	for _, seen := range s.Book.Latest() {
		if !open[seen.Kind] {
			shown := liveAlert(&seen.Alert, seen.At)
			shown.Count = seen.Count
			out = append(out, shown)
		}
	}

	// A compromised account is an event, and worse than many a condition.
	slices.SortStableFunc(out, func(a, b control.Alert) int {
		return cmp.Compare(alerts.KindOf(a.Kind).Severity, alerts.KindOf(b.Kind).Severity)
	})
	return out[:min(most, len(out))]
}

func liveAlert(a *alerts.Alert, at time.Time) control.Alert {
	return control.Alert{
		At: at, Kind: a.Kind, Source: a.Source, Account: a.Account, Server: a.Server,
		Reason: a.Text, Do: a.Do, Severity: alerts.KindOf(a.Kind).Severity.String(),
	}
}
