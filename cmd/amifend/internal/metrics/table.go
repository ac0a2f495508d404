package metrics

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// namespace begins the names of all metrics of this package.
const namespace = "amifend"

// metric describes a metric.
type metric struct {
	desc *prometheus.Desc
	typ  prometheus.ValueType
}

// The types of the table. A histogram has no value type of its own.
const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
	hist    = prometheus.UntypedValue
)

// row is a line of the table.
type row struct {
	name   string // without the namespace
	typ    prometheus.ValueType
	help   string
	labels []string
}

// all returns all metrics by name, without the namespace. docs/metrics.md describes them.
func all() map[string]metric {
	out := make(map[string]metric)
	for _, r := range slices.Concat(
		ofProcess(), ofServers(), ofEngine(), ofBans(), ofSensor(), ofLimiter(), ofLists(),
		ofFeeds(), ofAlerts(), ofJournal(),
	) {
		out[r.name] = metric{
			prometheus.NewDesc(namespace+"_"+r.name, r.help, r.labels, nil), r.typ,
		}
	}
	return out
}

// ofProcess returns the metrics of what runs.
func ofProcess() []row {
	return []row{
		{
			"build_info", gauge, "The version of amifend and of Go; always 1.",
			[]string{"version", "goversion"},
		},
		{"start_time_seconds", gauge, "When this run of the parts began, in Unix time.", nil},
		{"observing", gauge, "1 if amifend bans nobody and only logs the bans it would make.", nil},
	}
}

// ofServers returns the metrics of the sessions.
func ofServers() []row {
	return []row{
		{"server_up", gauge, "1 if amifend is logged in to the PBX and gets its events.", server()},
		{
			"server_events_total", counter, "Security events, by Asterisk's name of the event.",
			[]string{"server", "kind"},
		},
		{
			"server_untrusted_events_total", counter,
			"Events that cannot be trusted, such as those with injected text.", server(),
		},
		{"server_received_bytes_total", counter, "Bytes received from the PBX.", server()},
		{"server_gaps_total", counter, "Losses of the session; events may be missing.", server()},
		{
			"server_stalls_total", counter, "How often events had to wait for the policy engine.",
			server(),
		},
		{
			"server_stalled_seconds_total", counter,
			"How long events had to wait for the policy engine in all.", server(),
		},
		{
			"server_lag_seconds", gauge,
			"How late the last event came, after its time on the PBX, clock errors removed.", server(),
		},
		{
			"server_clock_offset_seconds", gauge,
			"How far the clock of the PBX is ahead of ours; negative if it is behind.", server(),
		},
		{"server_round_trip_seconds", gauge, "The time of the last ping of the PBX.", server()},
		{"waiting_events", gauge, "Events that wait for the policy engine.", nil},
	}
}

// ofEngine returns the metrics of the policy engine.
func ofEngine() []row {
	return []row{
		{"engine_up", gauge, "1 if the policy engine answers within a second.", nil},
		{"observations_total", counter, "Events that the policy engine looked at.", nil},
		{
			"attempts_total", counter, "Failed attempts that were added to the score of a source.", nil,
		},
		{
			"attempts_not_counted_total", counter,
			"Failed attempts that were not added to a score, by reason: the source is protected, " +
				"shielded since it proved itself, shared by many users, excused as a misconfigured " +
				"endpoint, or banned already; or the attempt was folded into one that counts.", kind(),
		},
		{
			"verdicts_total", counter,
			"Verdicts of each rule: bans, lifts and alerts, whether or not bans are made.",
			[]string{"rule"},
		},
		{
			"bans_refused_total", counter, "Bans for which there was no room in max_bans.", nil,
		},
		{
			"bans_postponed_total", counter,
			"Bans on forgeable evidence beyond forgeable_bans_per_minute.", nil,
		},
		{"sources", gauge, "Addresses and prefixes that are remembered.", nil},
		{"sources_limit", gauge, "[policy] max_sources.", nil},
		{
			"forgotten_total", counter, "What was forgotten because there was no room.", kind(),
		},
		{
			"event_to_verdict_seconds", hist,
			"The time from an event's arrival to its verdict.", nil,
		},
	}
}

// ofBans returns the metrics of the bans and the kernel.
func ofBans() []row {
	return []row{
		{
			"firewall_up", gauge, "1 if the kernel answers within a second and takes the bans.", nil,
		},
		{"bans_total", counter, "Bans that the kernel took.", scope()},
		{"running_bans", gauge, "Bans that run, or wait for the kernel.", scope()},
		{
			"observed_bans_total", counter, "Bans that were only logged, since amifend observes.",
			scope(),
		},
		{
			"observed_running_bans", gauge, "Bans that would run if amifend did not observe.", scope(),
		},
		{"bans_limit", gauge, "[firewall] max_bans.", nil},
		{"waiting_bans", gauge, "Bans that wait because their set is full.", nil},
		{"pending_changes", gauge, "Bans and lifts that the kernel does not have yet.", nil},
		{
			"dropped_packets_total", counter,
			"Packets that bans dropped, since the rules were laid out.", scope(),
		},
		{
			"dropped_bytes_total", counter, "Bytes that bans dropped, since the rules were laid out.",
			scope(),
		},
		{
			"event_to_kernel_seconds", hist,
			"The time from the arrival of the event that led to a ban until the kernel had the ban.",
			nil,
		},
	}
}

// ofSensor returns the metrics of the kernel sensor.
func ofSensor() []row {
	return []row{
		{"sensor_up", gauge, "1 if the kernel sensor watches the answers of the PBXs.", nil},
		{
			"sensor_hidden_requests_total", counter,
			"Requests that Asterisk did not report, by the answers that were read.", nil,
		},
		{
			"sensor_accepted_requests_total", counter,
			"Requests that Asterisk did not report, and accepted.", nil,
		},
		{
			"sensor_lost_total", counter,
			"How often answers were not read in time, or the engine had no room.", nil,
		},
		{
			"sensor_comparing", gauge,
			"1 if what the PBX refuses is compared with its events.", server(),
		},
		{
			"sensor_silent_addresses", gauge,
			"Addresses with refusals of the PBX that no event explains.", server(),
		},
		{
			"sensor_proves", gauge,
			"1 if the senders of events of the PBX over UDP can be proven by their nonces.", server(),
		},
		{
			"sensor_proven_events_total", counter,
			"Events over UDP whose sender was proven by its nonce.", nil,
		},
		{
			"sensor_astray_answers_total", counter,
			"Refusals over UDP that went elsewhere than their request came from, or may have.", nil,
		},
		{
			"sensor_gaps_total", counter,
			"How often refusals over UDP may have been missed, so that nonces were forgotten.", nil,
		},
	}
}

// ofLimiter returns the metrics of the limiter for strangers.
func ofLimiter() []row {
	limit := []string{"limit"}
	return []row{
		{"limiter_up", gauge, "1 if the kernel measures what strangers send.", nil},
		{"limiter_dropping", gauge, "1 if it drops what is beyond the limits.", nil},
		{
			"limiter_known_sources", gauge,
			"Sources that logged in, and are not limited; of IPv6 each /64.", nil,
		},
		{
			"limiter_dropped_packets_total", counter,
			"Packets that were dropped beyond the limit of a source, or of all strangers together.",
			limit,
		},
		{
			"limiter_passed_packets_total", counter,
			"Packets beyond a limit that passed, since nothing was to be dropped.", limit,
		},
	}
}

// ofLists returns the metrics of the lists.
func ofLists() []row {
	return []row{
		{"deny_entries", gauge, "Entries of the [deny] lists in the config.", nil},
		{"deny_ranges", gauge, "Ranges of addresses that the [deny] lists drop in the kernel.", nil},
		{
			"deny_exceptions", gauge,
			"Parts of the [deny] lists that are not dropped, since they must never be banned.", nil,
		},
		{"deny_dropped_packets_total", counter, "Packets that the [deny] lists dropped.", nil},
		{"deny_dropped_bytes_total", counter, "Bytes that the [deny] lists dropped.", nil},
		{"protected_prefixes", gauge, "Addresses and prefixes that are never banned.", nil},
	}
}

// ofFeeds returns the metrics of the feeds. All have the feed's name as their label.
func ofFeeds() []row {
	feed := []string{"feed"}
	return []row{
		{"feed_prefixes", gauge, "Prefixes of the feed's list.", feed},
		{"feed_up", gauge, "1 if the feed's last list was taken, or is not known yet.", feed},
		{
			"feed_waiting_prefixes", gauge,
			"Prefixes of the list that waits for amifend feed accept; 0: none waits.", feed,
		},
		{"feed_age_seconds", gauge, "How long ago the publisher confirmed the feed's list.", feed},
		{
			"feed_exceptions", gauge,
			"Parts of the feed's list that are not dropped, since they must not be.", feed,
		},
		{"feed_dropped_packets_total", counter, "Packets that the feed dropped.", feed},
		{"feed_dropped_bytes_total", counter, "Bytes that the feed dropped.", feed},
	}
}

// ofAlerts returns the metrics of the alerts.
func ofAlerts() []row {
	return []row{
		{
			"alerts_total", counter, "Alerts: events, and conditions when they begin.", kind(),
		},
		{
			"open_conditions", gauge, "Conditions that are open and that nobody ignores.", kind(),
		},
	}
}

// ofJournal returns the metrics of the journal.
func ofJournal() []row {
	return []row{
		{"journal_up", gauge, "1 if the journal can be written.", nil},
		{"journal_waiting_entries", gauge, "Bans and lifts that wait to be written.", nil},
		{
			"journal_lost_entries_total", counter,
			"Bans and lifts that found no room to wait to be written.", nil,
		},
		{"journal_size_bytes", gauge, "The size of the journal's database.", nil},
	}
}

func server() []string { return []string{"server"} }
func scope() []string  { return []string{"scope"} }
func kind() []string   { return []string{"kind"} }
