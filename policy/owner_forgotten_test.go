package policy

import (
	"fmt"
	"testing"
	"time"
)

// A flood of forged sources may have an office forgotten whose proof has ended, while its accounts
// at it stay. When it comes back, it owns them again, and its stale phone does not get it banned.
func TestForgottenOfficeOwnsItsAccountsAgain(t *testing.T) {
	run := func(flood int) *lab {
		l := newLab(t, func(o *Options) { o.MaxSources, o.MaxBans = 10_000, 100 })
		register := func() {
			for a := range 20 {
				l.feed(overStream(success(office, fmt.Sprint(1000+a))))
			}
		}
		register()
		l.wait(25 * time.Hour) // a public holiday
		for i := range flood {
			l.every(
				time.Millisecond,
				forged(fmt.Sprintf("%d.%d.%d.9", 20+i/62500, i/250%250, i%250)),
			)
		}
		l.drop()
		register()
		l.every(
			30*time.Second,
			repeat(
				20,
				overStream(event(KindInvalidAccountID, ServicePJSIP, office, "deleted", "d")),
			)...)
		return l
	}
	if run(0).isBanned(office) {
		t.Fatal("the office is banned without a flood")
	}
	if l := run(12_000); l.isBanned(office) {
		t.Errorf("a flood made the office a stranger: %v; owns %d", l.told(), l.source(office).owns)
	}
}
