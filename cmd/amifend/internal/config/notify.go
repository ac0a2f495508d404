package config

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/delivery"
)

// Target is where notifications go: a [[notify]] table.
type Target struct {
	Name    string // unique
	Service string // such as "mail" or "slack"
	URL     Hidden
	Secret  Hidden   // of a webhook's signature
	Kinds   []string // sorted, each once; nil: all
	// MinSeverity is "critical", "warning" or "notice".
	MinSeverity string
	Quiet       Hours         // when only critical messages are sent
	Digest      time.Duration // how long what is not urgent is gathered
	PerHour     int           // messages in an hour, at most
}

// Wants reports whether a target gets the alerts of a kind.
func (t *Target) Wants(kind string) bool {
	return t.Kinds == nil || slices.Contains(t.Kinds, kind)
}

// Hours is a part of the day, in minutes after midnight. It may hold midnight. From equal to To
// means none.
type Hours struct{ From, To int }

// Contain reports whether a time is in the hours, by its own time zone.
func (h Hours) Contain(t time.Time) bool {
	now := t.Hour()*60 + t.Minute()
	if h.From <= h.To {
		return now >= h.From && now < h.To
	}
	return now >= h.From || now < h.To
}

// The names of [[notify]] kinds that no alert has.
const (
	KindAttack = "attack" // the summary of an attack
	KindTest   = "test"
	KindReport = "weekly_report" // that of [report] weekly
)

// The bounds and defaults of [[notify]].
const (
	mostTargets    = 20
	defaultDigest  = time.Hour
	leastDigest    = time.Minute
	mostDigest     = 7 * 24 * time.Hour
	defaultPerHour = 20
	mostPerHour    = 1000
)

// NotifyKinds returns what [[notify]] kinds can name: the kinds of alerts, and the summary of an
// attack. A test compares it with the kinds of package alerts.
func NotifyKinds() []string {
	return []string{
		KindAttack, "compromised_account", "bans_full", "server_down", "sources_hidden",
		"ineffective_ban", "suspect_login", "account_attacked", "server_attacked",
		"shared_source_guessing", "proved_source_guessing", "journal_failing", "notify_failing",
		"feed_stale", "unseen_requests", "answers_led_astray", "restart_needed", "unexpected_country",
		"misconfigured_endpoint", "spoof_suspected", "spoof_flood", KindReport,
	}
}

// targets reads the [[notify]] tables.
func (l *loader) targets(raw []rawTarget) []Target {
	return tables(l, "notify", mostTargets, raw, l.target, func(t Target) string { return t.Name })
}

func (l *loader) target(key string, r rawTarget) Target {
	t := Target{
		Kinds:       l.kinds(key+".kinds", r.Kinds),
		MinSeverity: get(l, key+".min_severity", r.MinSeverity, "notice"),
		Quiet:       l.hours(key+".quiet_hours", get(l, key+".quiet_hours", r.QuietHours, "")),
		Digest:      get(l, key+".digest", r.Digest, defaultDigest),
		PerHour:     int(get(l, key+".max_per_hour", r.PerHour, defaultPerHour)),
	}
	if !slices.Contains([]string{"critical", "warning", "notice"}, t.MinSeverity) {
		l.problem(key+".min_severity",
			"is not a severity; write \"critical\", \"warning\" or \"notice\"")
	}
	if t.Digest < leastDigest || t.Digest > mostDigest {
		l.problem(key+".digest", "%v is out of range; write a duration from \"1m\" to \"7d\"",
			t.Digest)
	}
	if t.PerHour < 1 || t.PerHour > mostPerHour {
		l.problem(key+".max_per_hour", "%d is out of range; write a number from 1 to %d", t.PerHour,
			mostPerHour)
	}

	// A target without a URL that can be used still has a name for the other problems.
	url, okURL := l.hidden(key, "url", r.URL, r.URLFile, true)
	secret, okSecret := l.hidden(key, "secret", r.Secret, r.SecretFile, false)
	if okURL && okSecret {
		made, err := delivery.New(url, secret)
		if err != nil {
			at := key + ".url"
			if r.URLFile.set {
				at = key + ".url_file"
			}
			l.problem(at, "%s", err)
		} else {
			t.Service, t.URL, t.Secret = made.Service(), Hide(url), Hide(secret)
		}
	}

	t.Name = l.text(key+".name", r.Name, false)
	t.Name = cmp.Or(t.Name, t.Service)
	return t
}

// hidden returns a text that stands in the config, or in a file that it names. It reports false if
// there is none, for which a problem is noted unless it is not required.
func (l *loader) hidden(
	table, name string, text, file value[string], required bool,
) (string, bool) {
	key := table + "." + name
	out := get(l, key, text, "")
	path := get(l, key+"_file", file, "")
	switch {
	case text.wrong != "" || file.wrong != "":
		return "", false
	case text.set && file.set:
		l.problem(key, "%s and %[1]s_file exclude each other; delete one of them", name)
		return "", false
	case l.policyOnly:
		return "", false
	case file.set:
		key += "_file"
		var ok bool
		if out, ok = l.readSecret(key, path); !ok {
			return "", false
		}
	case !text.set && required:
		l.problem(key, `is missing; write %s_file = "FILE" (a file with the URL alone) `+
			`or %[1]s = "…"`, name)
		return "", false
	case !text.set:
		return "", true
	}

	// Editors leave blanks and line ends behind.
	if out = strings.TrimSpace(out); out == "" {
		l.problem(key, "is empty")
		return "", false
	}
	return out, true
}

// kinds reads the kinds that a target gets, sorted.
func (l *loader) kinds(key string, f value[[]string]) []string {
	names := get(l, key, f, nil)
	if f.set && f.wrong == "" && len(names) == 0 {
		l.problem(key, "is empty, so nothing would be sent; delete it for all kinds")
	}

	for i, name := range names {
		if slices.Contains(NotifyKinds(), name) {
			continue
		}
		advice := "possible are " + strings.Join(NotifyKinds(), ", ")
		if best, ok := Nearest(name, NotifyKinds()); ok {
			advice = "did you mean " + best + "?"
		}
		l.problem(key, "%s is not a kind; %s", entry(i), advice)
	}

	names = slices.Clone(names)
	slices.Sort(names)
	return slices.Compact(names)
}

var hours = regexp.MustCompile(`^([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])$`)

// hours reads a part of the day, such as "22:00-07:00".
func (l *loader) hours(key, text string) Hours {
	m := hours.FindStringSubmatch(text)
	if m == nil {
		if text != "" {
			l.problem(key, "is not a part of the day; write it like \"22:00-07:00\", in local time")
		}
		return Hours{}
	}

	var n [4]int
	for i := range n {
		_, _ = fmt.Sscan(strings.TrimPrefix(m[i+1], "0"), &n[i]) // "" for 00 is 0
	}
	h := Hours{n[0]*60 + n[1], n[2]*60 + n[3]}
	if h.From == h.To {
		l.problem(key, "begins and ends at the same time; delete it for no quiet hours")
	}
	return h
}
