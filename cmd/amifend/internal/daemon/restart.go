package daemon

import (
	"reflect"
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
)

// This file knows which parts of the config take a restart, and reports that one is needed.

// fixedKey is a part of the config whose change takes a restart.
type fixedKey struct {
	name  string // as the answer of a reload has it
	value func(c *config.Config) any
	keep  func(next, old *config.Config) // gives next the value of old
}

// fixedKeys returns the parts of the config that change only by a restart. All others can change by
// a reload.
func fixedKeys() []fixedKey {
	return []fixedKey{
		{
			"[state]",
			func(c *config.Config) any { return c.State },
			func(next, old *config.Config) { next.State = old.State },
		},
		{
			"[control]",
			func(c *config.Config) any { return c.Control },
			func(next, old *config.Config) { next.Control = old.Control },
		},
		{
			"[log]",
			func(c *config.Config) any { return c.Log },
			func(next, old *config.Config) { next.Log = old.Log },
		},
		{
			"[sensor]",
			func(c *config.Config) any { return c.Sensor },
			func(next, old *config.Config) { next.Sensor = old.Sensor },
		},
		{
			"[limiter]",
			func(c *config.Config) any {
				l := c.Limiter
				if l.Enabled() {
					l.Mode = config.LimiterOn // observing and dropping have the same rules
				}
				return l
			},
			keepLimiter,
		},
		{
			"[firewall] backend, table or max_bans",
			func(c *config.Config) any {
				f := c.Firewall
				f.SIPPorts, f.WSPorts = nil, nil // these alone can change
				return f
			},
			func(next, old *config.Config) {
				sip, ws := next.Firewall.SIPPorts, next.Firewall.WSPorts
				next.Firewall = old.Firewall
				next.Firewall.SIPPorts, next.Firewall.WSPorts = sip, ws
			},
		},
	}
}

// keepLimiter keeps the rules of the limiter. Whether they drop can change.
func keepLimiter(next, old *config.Config) {
	mode := next.Limiter.Mode
	enabled := next.Limiter.Enabled()
	next.Limiter = old.Limiter
	if enabled && old.Limiter.Enabled() {
		next.Limiter.Mode = mode
	}
}

// needRestart returns the names of the keys that differ between the config in force and the file,
// and take a restart.
func needRestart(running, file *config.Config) (names []string) {
	for _, k := range fixedKeys() {
		if !reflect.DeepEqual(k.value(running), k.value(file)) {
			names = append(names, k.name)
		}
	}
	return names
}

// keepFixed returns next with the old values where a change takes a restart.
func keepFixed(old, next *config.Config) *config.Config {
	merged := *next
	for _, k := range fixedKeys() {
		k.keep(&merged, old)
	}

	// The policy's max_bans follows that of the firewall, and max_sources must fit it.
	if next.Policy.MaxBans != old.Policy.MaxBans {
		merged.Policy.MaxBans = old.Policy.MaxBans
		merged.Policy.MaxSources = old.Policy.MaxSources
	}

	return &merged
}

// statusText returns what systemctl shows after a reload; "": nothing is wrong.
func statusText(restart []string, err error) string {
	switch {
	case err != nil:
		return "the last reload failed, and what was goes on: see the log"
	case len(restart) > 0:
		return "restart needed: the config file has other values of " + strings.Join(restart, ", ")
	}
	return ""
}

// tellRestart opens a condition while a change of the config waits for a restart, and ends it when
// the config has the old values again.
func (r *reloader) tellRestart(keys []string) {
	key := alerts.Key(alerts.RestartNeeded)
	if len(keys) == 0 {
		r.alerts.Resolve(key, alerts.Span{})
		return
	}
	r.alerts.Raise(key, alerts.Alert{
		Kind: alerts.RestartNeeded,
		Text: "the config has changes that a reload cannot put in force: " +
			strings.Join(keys, ", "),
		Do: "systemctl restart amifend",
	}, alerts.Span{})
}

// restartNeeded returns the names of the keys of the config file, as last read, that wait for a
// restart.
func (r *reloader) restartNeeded() []string {
	if names := r.restart.Load(); names != nil {
		return *names
	}
	return nil
}
