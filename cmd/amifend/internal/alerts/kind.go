package alerts

import "time"

// Severity orders the kinds of alerts.
type Severity uint8

// The severities, the worst first.
const (
	Critical Severity = 1 + iota // somebody must act now
	Warning                      // somebody should look today
	Notice                       // worth knowing
)

// String returns the severity's name, such as "critical".
func (s Severity) String() string {
	switch s {
	case Critical:
		return "critical"
	case Warning:
		return "warning"
	case Notice:
		return "notice"
	}
	return "unknown"
}

// Kind describes a kind of alert.
type Kind struct {
	Name     string
	Severity Severity
	// forged packets alone can raise it in everybody's name, so it must not crowd out the others
	Forgeable bool
	// the silence after which a condition is over; 0: an event, or a condition that only
	// [Book.Resolve] ends
	Quiet time.Duration
}

// The kinds that the policy does not decide.
const (
	SourcesHidden  = "sources_hidden"
	IneffectiveBan = "ineffective_ban"
	ServerDown     = "server_down"
	JournalFailing = "journal_failing"
	RestartNeeded  = "restart_needed"
	NotifyFailing  = "notify_failing"
	UnseenRequests = "unseen_requests"
	FeedStale      = "feed_stale"

	AnswersLedAstray = "answers_led_astray"

	UnexpectedCountry = "unexpected_country"
)

const day = 24 * time.Hour

// kinds are all kinds of alerts. Quiet ends conditions that nobody resolves: sources_hidden,
// ineffective_ban, and those of the policy after a crash, when the engine has forgotten them. The
// engine's own pause is shorter.
var kinds = []Kind{
	{"compromised_account", Critical, false, 0},
	{"bans_full", Critical, false, 0},
	{ServerDown, Critical, false, 0},
	{SourcesHidden, Critical, true, day},
	{IneffectiveBan, Critical, false, 2 * time.Hour},
	{"suspect_login", Warning, true, 0},
	{"account_attacked", Warning, true, 3 * time.Hour},
	{"server_attacked", Warning, true, 3 * time.Hour},
	{"shared_source_guessing", Warning, true, day + 2*time.Hour},
	{"proved_source_guessing", Warning, true, 8 * time.Hour},
	// over UDP a sender can have the answers sent to somebody else
	{UnseenRequests, Warning, true, 15 * time.Minute},
	{AnswersLedAstray, Warning, true, 15 * time.Minute},
	{JournalFailing, Warning, false, 0},
	{NotifyFailing, Warning, false, 0},
	{FeedStale, Warning, false, 0},
	{RestartNeeded, Warning, false, 0},
	{UnexpectedCountry, Warning, true, day + 2*time.Hour},
	{"misconfigured_endpoint", Notice, true, day + 2*time.Hour},
	{"spoof_suspected", Notice, true, 0},
	{"spoof_flood", Notice, true, 3 * time.Hour},
}

// KindOf returns the description of a kind. One that is not known is a warning.
func KindOf(name string) Kind {
	for _, k := range kinds {
		if k.Name == name {
			return k
		}
	}
	return Kind{Name: name, Severity: Warning}
}

// Kinds returns all kinds, the worst first.
func Kinds() []Kind { return append([]Kind(nil), kinds...) }
