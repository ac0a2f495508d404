package metrics

import (
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/feed"
	"github.com/amifend/amifend/cmd/amifend/internal/histogram"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
)

// collector makes the metrics of each scrape from the numbers of the owners.
type collector struct {
	asker

	started time.Time
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range all() {
		out <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	p := page{metrics: all(), out: out}
	a := c.ask()

	p.put("build_info", 1, c.from.Version, runtime.Version())
	p.put("start_time_seconds", float64(c.started.UnixNano())/1e9)
	p.put("observing", boolean(c.from.Config().Dry()))
	for _, s := range c.from.Sessions() {
		p.server(s)
	}
	p.put("waiting_events", float64(c.from.Waiting()))

	c.putEngine(&p, a)
	c.putBans(&p, a)
	c.putSensor(&p)
	c.putLimiter(&p)
	c.putDeny(&p, a)
	c.putFeeds(&p, a)
	p.put("protected_prefixes", float64(len(c.from.Watcher.Current().Entries)))

	for kind, n := range c.from.Book.Counts() {
		p.put("alerts_total", float64(n.Reported), kind)
		p.put("open_conditions", float64(n.Open), kind)
	}
	c.putJournal(&p)
}

// page receives the metrics of one scrape.
type page struct {
	metrics map[string]metric
	out     chan<- prometheus.Metric
}

// put adds a value of the metric with that name. A wrong name or number of labels is a mistake in this
// package, which every test would run into.
func (p *page) put(name string, value float64, labels ...string) {
	m, ok := p.metrics[name]
	if !ok {
		panic("metrics: nobody has described " + name)
	}

	// The decoder of TOML refuses invalid UTF-8, and so does Prometheus.
	for i := range labels {
		labels[i] = strings.ToValidUTF8(labels[i], "?")
	}
	p.out <- prometheus.MustNewConstMetric(m.desc, m.typ, value, labels...)
}

func (p *page) putHistogram(name string, c histogram.Counts) {
	p.out <- prometheus.MustNewConstHistogram(p.metrics[name].desc, c.Count, c.Sum.Seconds(), c.Buckets)
}

// server adds the metrics of a session.
func (p *page) server(s *stream.Session) {
	st, name := s.Status(), s.Name()
	up := st.Phase == ami.PhaseConnected

	p.put("server_up", boolean(up), name)
	for kind, n := range st.Decoder.Events {
		p.put("server_events_total", float64(n), name, ami.Kind(kind).String())
	}
	p.put("server_untrusted_events_total",
		float64(sum(st.Decoder.Tainted[:])+sum(st.Decoder.Dropped[:])), name)
	p.put("server_received_bytes_total", float64(st.Decoder.Bytes), name)
	p.put("server_gaps_total", float64(st.Gaps), name)
	p.put("server_stalls_total", float64(st.Stalls), name)
	p.put("server_stalled_seconds_total", st.Stalled.Seconds(), name)

	// What was measured before the connection was lost says nothing about now.
	if up {
		p.put("server_lag_seconds", s.Lag().Seconds(), name)
		p.put("server_clock_offset_seconds", s.ClockAhead().Seconds(), name)
		p.put("server_round_trip_seconds", st.Latency.Seconds(), name)
	}
}

// putSensor adds what the kernel sensor saw.
func (c *collector) putSensor(p *page) {
	if c.from.Sensor == nil {
		return
	}

	s := c.from.Sensor()
	p.put("sensor_up", boolean(s.On))
	p.put("sensor_hidden_requests_total", float64(s.Evidence))
	p.put("sensor_accepted_requests_total", float64(s.Accepted))
	p.put("sensor_lost_total", float64(s.Lost))
	p.put("sensor_proven_events_total", float64(s.Proven))
	p.put("sensor_astray_answers_total", float64(s.Astray))
	p.put("sensor_gaps_total", float64(s.Gaps))
	for _, one := range s.Servers {
		p.put("sensor_comparing", boolean(one.Judging), one.Name)
		p.put("sensor_silent_addresses", float64(one.Silent), one.Name)
		p.put("sensor_proves", boolean(one.Proves), one.Name)
	}
}

// putLimiter adds what the limiter for strangers does.
func (c *collector) putLimiter(p *page) {
	if c.from.Limiter == nil {
		return
	}

	l := c.from.Limiter()
	p.put("limiter_up", boolean(l.On))
	p.put("limiter_dropping", boolean(l.Drops))
	p.put("limiter_known_sources", float64(l.Known))
	p.put("limiter_dropped_packets_total", float64(l.Counts.Dropped), "source")
	p.put("limiter_dropped_packets_total", float64(l.Counts.StrangersDropped), "strangers")
	p.put("limiter_passed_packets_total", float64(l.Counts.Passed), "source")
	p.put("limiter_passed_packets_total", float64(l.Counts.StrangersPassed), "strangers")
}

// putEngine adds what the policy engine counts.
func (c *collector) putEngine(p *page, a asked) {
	e := a.engine
	p.put("engine_up", boolean(a.engineUp))
	p.put("observations_total", float64(e.Observed))
	p.put("attempts_total", float64(e.Counted))
	for kind, n := range map[string]uint64{
		"protected": e.Protected, "shielded": e.Shielded, "shared": e.Shared, "excused": e.Excused,
		"banned": e.Covered, "folded": e.Folded,
	} {
		p.put("attempts_not_counted_total", float64(n), kind)
	}

	p.put("sources", float64(e.Sources))
	p.put("sources_limit", float64(c.from.Config().Policy.MaxSources))
	for kind, n := range map[string]uint64{
		"source": e.Evicted, "prefix": e.EvictedPrefixes, "request": e.EvictedRequests,
	} {
		p.put("forgotten_total", float64(n), kind)
	}

	counts := c.from.Judge.Counts()
	for rule, n := range counts.Verdicts {
		p.put("verdicts_total", float64(n), rule.String())
	}
	p.put("bans_refused_total", float64(e.BansRefused))
	p.put("bans_postponed_total", float64(e.Postponed))
	p.putHistogram("event_to_verdict_seconds", counts.Way)
}

// putBans adds what the enforcer counts. Bans that are only observed have metrics of their own: they
// must not look as if they had been made.
func (c *collector) putBans(p *page, a asked) {
	counts, observed := c.from.Enforcer.Counts(), c.from.Judge.Counts().Observed
	for _, scope := range bans.Scopes() {
		made, running := counts.Banned[scope], a.firewall.Scopes[scope]
		would, wouldRun := observed[scope], 0
		if counts.Dry {
			made, would, running, wouldRun = 0, would+made, 0, running
		}

		name := scope.String()
		p.put("bans_total", float64(made), name)
		p.put("running_bans", float64(running), name)
		p.put("observed_bans_total", float64(would), name)
		p.put("observed_running_bans", float64(wouldRun), name)
		if a.dropped != nil {
			p.put("dropped_packets_total", float64(a.dropped[scope].Packets), name)
			p.put("dropped_bytes_total", float64(a.dropped[scope].Bytes), name)
		}
	}

	p.put("firewall_up", boolean(a.firewallUp))
	p.put("bans_limit", float64(c.from.Config().Firewall.MaxBans))
	p.put("waiting_bans", float64(a.firewall.Waiting))
	p.put("pending_changes", float64(a.firewall.Pending))
	if !counts.Dry {
		p.putHistogram("event_to_kernel_seconds", counts.Way)
	}
}

// putDeny adds the deny lists.
func (c *collector) putDeny(p *page, a asked) {
	p.put("deny_entries", float64(len(c.from.Config().Deny)))
	ranges, spared := 0, 0
	if list := c.from.Denier.Status().List; list != nil {
		ranges, spared = len(list.Set.Ranges()), len(list.Out)
	}
	p.put("deny_ranges", float64(ranges))
	p.put("deny_exceptions", float64(spared))

	if a.denied != nil {
		p.put("deny_dropped_packets_total", float64(a.denied.Packets))
		p.put("deny_dropped_bytes_total", float64(a.denied.Bytes))
	}
}

// putFeeds adds the feeds. Their names are those of the config, so there are few.
func (c *collector) putFeeds(p *page, a asked) {
	if c.from.Keeper == nil {
		return
	}

	cuts := c.from.Feeder.Status().Cuts
	for _, f := range c.from.Keeper.Status() {
		p.put("feed_prefixes", float64(f.Prefixes), f.Name)
		p.put("feed_up", boolean(f.Problem == ""), f.Name)
		p.put("feed_waiting_prefixes", float64(f.Waiting), f.Name)
		if f.State != feed.StateNone && !f.Fetched.IsZero() {
			p.put("feed_age_seconds", f.Age.Seconds(), f.Name)
		}
		if cut := cuts[f.Name]; cut != nil {
			p.put("feed_exceptions", float64(len(cut.Out)), f.Name)
		}
		if d, ok := a.feeds[f.Name]; ok {
			p.put("feed_dropped_packets_total", float64(d.Packets), f.Name)
			p.put("feed_dropped_bytes_total", float64(d.Bytes), f.Name)
		}
	}
}

// putJournal adds the journal. Without one there are no metrics of it.
func (c *collector) putJournal(p *page) {
	if c.from.Journal == nil {
		return
	}

	h := c.from.Journal.Health()
	p.put("journal_up", boolean(h.Problem == ""))
	p.put("journal_waiting_entries", float64(h.Waiting))
	p.put("journal_lost_entries_total", float64(h.Lost))
	p.put("journal_size_bytes", float64(h.Size))
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func sum(counts []uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}
