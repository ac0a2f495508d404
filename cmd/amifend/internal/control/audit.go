package control

import "time"

// Audit is what an attacker would find at the PBXs, in short. A weekly report has one.
type Audit struct {
	At time.Time `json:"at"`
	// the result in a few words, such as "1 critical, 2 low"
	Verdict string `json:"verdict"`
	// the findings by severity, the worst first; each severity is there
	Counts []AuditCount `json:"counts"`
	// the findings of severity medium or worse, in one line each, the worst first, at most ten
	Worst []string `json:"worst"`
	// the number of findings of severity medium or worse
	Serious int `json:"serious"`
	// what could not be looked at, and why
	Missed []string `json:"missed"`
}

// AuditCount is the number of findings of a severity.
type AuditCount struct {
	Severity string `json:"severity"`
	Count    int    `json:"count"`
}
