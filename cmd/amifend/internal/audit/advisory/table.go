package advisory

import "github.com/amifend/amifend/cmd/amifend/internal/audit/finding"

// Date is the day of the table.
const Date = "2026-08-05"

// Advisory is one security advisory.
type Advisory struct {
	ID       string
	CVE      string // "": none is known here
	Date     string // of the releases with the fix
	Severity finding.Severity
	What     string            // what an attacker does
	Fixed    map[string]string // by branch: the first release with the fix
	Only     []string          // the only releases that have the weakness; nil: all before Fixed
}

type branch struct {
	last  string
	ended bool
}

var branches = map[string]branch{}
var table = []Advisory{}

// Newest returns it.
func Newest(branch string) string { return branches[branch].last }
