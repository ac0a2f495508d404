package operate

import (
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/journal"
)

// A report of more than two days has days, without a gap, and each hour is in its own. A shorter one
// has hours.
func TestSteps(t *testing.T) {
	from := time.Date(2026, 11, 16, 8, 0, 0, 0, time.Local)
	hours := []journal.Hour{
		{At: from, Failures: 1, Bans: 1},
		{At: from.Add(3 * time.Hour), Failures: 2},
		{At: from.AddDate(0, 0, 1).Add(16 * time.Hour), Failures: 4}, // midnight of the 18th
		{At: from.AddDate(0, 0, 7), Logins: 8},
		{At: from.AddDate(0, 0, -7), Failures: 1000}, // not of this time
	}

	days := steps(hours, from, from.AddDate(0, 0, 7).Add(time.Hour))
	if len(days) != 8 || days[0].At.Hour() != 0 || days[0].Failures != 3 || days[0].Bans != 1 ||
		days[1].Failures != 0 || days[2].Failures != 4 || days[7].Logins != 8 {
		t.Errorf("days: %+v", days)
	}
	short := steps(hours, from, from.Add(24*time.Hour))
	if len(short) != 24 || short[0].Failures != 1 || short[3].Failures != 2 || short[1].Failures != 0 {
		t.Errorf("hours: %+v", short)
	}
}
