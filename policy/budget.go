package policy

// budget counts the bans on forgeable evidence that began in a minute of the clock.
type budget struct {
	minute  uint32
	used    int
	reserve int // of busy sources, beyond it
}

const (
	// forgeablePrefix is how many bans the ban of a prefix on forgeable evidence counts as.
	forgeablePrefix = 16

	// busyAttempts is from how many attempts on a source is busy. A flood that bans one victim
	// after another takes a few packets for each. Whoever guesses sends on and on.
	busyAttempts = 16

	// busyShare is which part of the budget there is once more for busy sources: one in so many.
	busyShare = 8
)

// affordable reports whether one more ban on forgeable evidence may begin. In a minute of the clock
// a limited number may. Beyond it, only bans of patient sources may, and a few of busy ones.
func (e *Engine) affordable(k key, c banCase) bool {
	if !e.on(RuleForgeableBudget) {
		return true
	}
	if minute := e.sec / 60; minute != e.budget.minute {
		e.budget = budget{minute: minute}
	}

	// A prefix may take more than what is left, so that it is never kept waiting.
	if e.budget.used < e.opt.ForgeablePerMinute {
		e.budget.used++
		if c.wide {
			e.budget.used += forgeablePrefix - 1
		}
		return true
	}

	e.spoofFlood(k)
	if c.patient {
		return true
	}

	most := max(1, e.opt.ForgeablePerMinute/busyShare)
	if c.attempts >= busyAttempts && !c.wide && e.budget.reserve < most {
		e.budget.reserve++
		return true
	}
	e.stats.Postponed++
	return false
}

// spoofFlood notes that the budget of this minute is used up.
func (e *Engine) spoofFlood(k key) {
	if !e.on(RuleSpoofFlood) {
		return
	}
	e.lasting(lasting{
		verdict: Verdict{
			Rule: RuleSpoofFlood, About: AboutAll, Scope: ScopeSIP, Prefix: k.prefix(),
		},
		about: aboutAll, since: e.sec, certain: true,
	})
}
