package control

import "time"

// Trend shows how the time of a report went, and what was before.
type Trend struct {
	Now        Numbers   `json:"now"`
	Before     Numbers   `json:"before"`      // of the time before, equally long
	BeforeFrom time.Time `json:"before_from"` // its beginning; zero numbers may mean: not known
	// hours, or days by the daemon's zone if the report is about more than two days, without a gap
	Steps []Step `json:"steps"`
	// by countries and networks, of the thousand sources with the most failures; absent: no file of
	// [geo] knows
	Countries []Share `json:"countries,omitempty"`
	Networks  []Share `json:"networks,omitempty"`
	// phones to mend: conditions misconfigured_endpoint
	Phones []Alert `json:"phones"`
}

// Numbers are the totals of a time.
type Numbers struct {
	Failures uint64 `json:"failures"` // events; one attempt may raise several
	Logins   uint64 `json:"logins"`
	Sources  int    `json:"sources"`  // with failures
	Accounts int    `json:"accounts"` // with failures
	Bans     int    `json:"bans"`
	Alerts   int    `json:"alerts"`
}

// Step has the totals of an hour or a day.
type Step struct {
	At       time.Time `json:"at"` // its beginning
	Failures uint64    `json:"failures"`
	Logins   uint64    `json:"logins"`
	Bans     int       `json:"bans"`
}

// Share is the part of a country or a network.
type Share struct {
	Name     string `json:"name"`
	Failures uint64 `json:"failures"`
	Sources  int    `json:"sources"`
}
