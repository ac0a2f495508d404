package policy

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// switches has, for each rule that can be switched off, a situation that it decides: the verdicts
// with it and without it.
var switches = map[Rule]struct {
	options func(*Options)
	play    func(l *lab)
	on, off []string // action, prefix, scope, duration, rule
}{
	RuleProvenScore: {
		play: func(l *lab) { l.feed(all(guesses(4, attacker), overStream)...) },
		on:   []string{"ban 203.0.113.5/32 all 1h0m0s proven_score"},
		off:  []string{"ban 203.0.113.5/32 sip 10m0s score"},
	},
	RuleScore: {
		play: func(l *lab) { l.feed(guesses(5, attacker)...) },
		on:   []string{"ban 203.0.113.5/32 sip 10m0s score"},
	},
	RuleLongMemory: {
		play: func(l *lab) { l.every(time.Hour, repeat(7, forged(attacker))...) },
		on:   []string{"ban 203.0.113.5/32 sip 10m0s long_memory"},
	},
	RuleSecondOffender: {
		play: func(l *lab) { l.scan(host6(0)); l.wait(40 * time.Hour); l.scan(host6(1)) },
		on: []string{
			"ban 2001:db8:bad::1/128 all 1h0m0s proven_score",
			"ban 2001:db8:bad::/64 all 1h0m0s second_offender",
		},
		off: []string{
			"ban 2001:db8:bad::1/128 all 1h0m0s proven_score",
			"ban 2001:db8:bad::2/128 all 1h0m0s proven_score",
		},
	},
	RuleSpreadScore: {
		play: func(l *lab) {
			for i := range 4 {
				l.feed(forged(host6(i)))
			}
		},
		on: []string{"ban 2001:db8:bad::/64 sip 10m0s spread_score"},
	},
	RuleInjection: {
		play: func(l *lab) { l.feed(injected(registered(attacker))) },
		on:   []string{"ban 203.0.113.5/32 sip 10m0s injection"},
	},
	RuleUnseen: {
		play: func(l *lab) { l.feed(unseen(attacker)) },
		on:   []string{"ban 203.0.113.5/32 sip 10m0s unseen_request"},
	},
	RuleCanary: {
		options: func(o *Options) { o.Canaries = []string{"canary"} },
		play:    func(l *lab) { l.feed(wrong(attacker, "canary")) },
		on:      []string{"ban 203.0.113.5/32 sip 10m0s canary_account"},
	},
	RuleUnanswered: {
		play: func(l *lab) { l.feed(challenges(18, attacker)...); l.wait(time.Minute) },
		on:   []string{"ban 203.0.113.5/32 sip 10m0s unanswered_challenges"},
	},
	RuleSpoofFlood: {
		options: func(o *Options) { o.ForgeablePerMinute = 1 },
		play: func(l *lab) {
			l.feed(
				slices.Concat(
					guesses(4, "10.0.1.1"),
					guesses(4, "10.0.2.1"),
					guesses(4, "10.0.3.1"),
				)...)
		},
		on:  []string{"ban 10.0.1.1/32 sip 10m0s score", "alert 10.0.2.1/32 sip 0s spoof_flood"},
		off: []string{"ban 10.0.1.1/32 sip 10m0s score"},
	},
	RuleCompromised: {
		play: func(l *lab) {
			l.feed(all(repeat(5, wrong(attacker, "1007")), overStream)...)
			l.feed(overStream(registered(attacker)))
		},
		on: []string{
			"alert 203.0.113.5/32 all 0s compromised_account",
			"ban 203.0.113.5/32 all 1h0m0s compromised_account",
		},
	},
	RuleSpoofSuspected: {
		play: func(l *lab) {
			l.feed(registered(phone))
			l.feed(repeat(25, wrong(phone, "1007"))...)
			l.feed(registered(phone))
		},
		on: []string{"alert 10.20.0.107/32 none 0s spoof_suspected"},
	},
	RuleAccountAttacked: {
		play: func(l *lab) {
			for i := range accountAttackers {
				l.feed(wrong(fmt.Sprintf("192.%d.0.1", 16+i), "1007"))
			}
		},
		on: []string{"alert invalid Prefix none 0s account_attacked"},
	},
	RuleServerAttacked: {
		play: func(l *lab) { l.crowd(serverAttackers) },
		on:   []string{"alert invalid Prefix none 0s server_attacked"},
	},
	RuleSuspectLogin: {
		play: func(l *lab) { l.strangers(6, "1007"); l.feed(registered(phone)) },
		on:   []string{"alert 10.20.0.107/32 none 0s suspect_login"},
	},
	RuleMisconfigured: {
		play: func(l *lab) {
			l.feed(success(office, "1007"))
			l.every(15*time.Second, all(repeat(8, wrong(office, "1008")), overStream)...)
			l.every(5*time.Minute, all(repeat(2, wrong(office, "1008")), overStream)...)
		},
		on: []string{"alert 198.51.100.44/32 none 0s misconfigured_endpoint"},
		off: []string{
			"ban 198.51.100.44/32 stream 10m0s proven_score",
			"alert 198.51.100.44/32 stream 0s proved_source_guessing",
		},
	},
	RuleProvedGuessing: {
		play: func(l *lab) { l.feed(registered(phone)); l.feed(guesses(9, phone)...) },
		on:   []string{"alert 10.20.0.107/32 none 0s proved_source_guessing"},
	},
	RuleRequests: {
		play: func(l *lab) {
			for range 3 { // retries of a deleted extension's phone
				l.feed(
					slices.Concat(unknownUser("a", "c"), unknownUserWithCredentials("a", "c"))...)
			}
		},
		off: []string{"ban 198.51.100.13/32 sip 10m0s score"},
	},
	RuleEnumeration: {
		play: func(l *lab) {
			for i := range 4 {
				l.feed(wrong(attacker, fmt.Sprint(i)))
			}
		},
		on: []string{"ban 203.0.113.5/32 sip 10m0s score"},
	},
	RuleAccountUnderAttack: {
		options: off(RuleAccountAttacked),
		play:    func(l *lab) { l.strangers(10, "1007"); l.feed(repeat(2, wrong(attacker, "1007"))...) },
		on:      []string{"ban 203.0.113.5/32 sip 10m0s score"},
	},
	RuleServerUnderAttack: {
		play: func(l *lab) { l.crowd(120); l.drop(); l.feed(guesses(3, attacker)...) },
		on:   []string{"ban 203.0.113.5/32 sip 10m0s score"},
	},
	RuleTrust: {
		play: func(l *lab) {
			for i := range 5 {
				l.feed(success(office, fmt.Sprint("100", i)))
			}
			for range 8 {
				l.every(
					7*time.Second,
					overStream(wrong(office, "1008")),
					overStream(wrong(office, "1009")),
				)
			}
			l.wait(505 * time.Second)
			l.feed(overStream(wrong(office, "1008")), overStream(wrong(office, "1009")))
		},
		on: []string{
			"alert 198.51.100.44/32 none 0s misconfigured_endpoint",
			"alert 198.51.100.44/32 none 0s misconfigured_endpoint",
		},
		off: []string{
			"ban 198.51.100.44/32 stream 10m0s proven_score",
			"alert 198.51.100.44/32 stream 0s proved_source_guessing",
		},
	},
	RuleSharedGuessing: {
		play: func(l *lab) {
			l.feed(sharing(office, 5)...)
			l.feed(all(guesses(4, office), overStream)...)
		},
		on: []string{"alert 198.51.100.44/32 none 0s shared_source_guessing"},
	},
	RuleStrikes: {
		play: func(l *lab) { l.scan(attacker); l.wait(2 * time.Hour); l.scan(attacker) },
		on: []string{
			"ban 203.0.113.5/32 all 1h0m0s proven_score",
			"ban 203.0.113.5/32 all 4h0m0s proven_score",
		},
		off: []string{
			"ban 203.0.113.5/32 all 1h0m0s proven_score",
			"ban 203.0.113.5/32 all 1h0m0s proven_score",
		},
	},
	RuleForgeableBudget: {
		play: func(l *lab) { l.feed(guesses(4, attacker)...) },
		on:   []string{"ban 203.0.113.5/32 sip 10m0s score"},
		off:  []string{"ban 203.0.113.5/32 sip 1h0m0s score"},
	},
	RuleAMIGuessing: {
		play: func(l *lab) { l.feed(repeat(9, event(KindInvalidPassword, ServiceAMI, attacker, "admin", "c"))...) },
		on:   []string{"ban 203.0.113.5/32 all 1h0m0s proven_score"},
	},
}

// injected is an observation whose packet bore an injection attempt.
func injected(o Observation) Observation { o.Injected = true; return o }

// challenges is n challenges for n known accounts, over UDP.
func challenges(n int, source string) []Observation {
	out := make([]Observation, n)
	for i := range out {
		out[i] = event(KindChallengeSent, ServicePJSIP, source, fmt.Sprint("ext", i), fmt.Sprint(i))
	}
	return out
}

// strangers lets n sources, each in a /24 of its own, fail once on an account, all within a second.
func (l *lab) strangers(n int, account string) {
	for i := range n {
		l.feed(wrong(fmt.Sprintf("192.%d.%d.1", 16+i/250, i%250), account))
	}
}

// crowd lets n sources, each in a /24 of its own, try an unknown account each, all within a second.
func (l *lab) crowd(n int) {
	for i := range n {
		l.feed(
			event(
				KindInvalidAccountID,
				ServicePJSIP,
				fmt.Sprintf("192.%d.%d.1", 32+i/250, i%250),
				fmt.Sprint("crowd", i),
				"c",
			),
		)
	}
}

func TestEveryRuleCanBeSwitchedOff(t *testing.T) {
	for _, r := range Rules() {
		sw, ok := switches[r.Rule]
		if ok == r.Fixed {
			t.Errorf("%s: a situation for its switch: %v, fixed: %v", r.Name, ok, r.Fixed)
		}
		if r.Fixed {
			if s, ok := RuleSet(0).With(r.Rule); ok || s != 0 {
				t.Errorf("%s is fixed, and yet can be switched", r.Name)
			}
			continue
		}
		if sw.options == nil {
			sw.options = func(*Options) {}
		}
		t.Run(r.Name, func(t *testing.T) {
			for _, run := range []struct {
				change func(*Options)
				want   []string
			}{{sw.options, sw.on}, {func(o *Options) { sw.options(o); off(r.Rule)(o) }, sw.off}} {
				l := newLab(t, run.change)
				sw.play(l)
				var got []string
				for _, v := range l.got {
					got = append(
						got,
						fmt.Sprintf(
							"%v %v %v %v %s",
							v.Action,
							v.Prefix,
							v.Scope,
							v.Duration,
							v.Rule,
						),
					)
				}
				if !slices.Equal(got, run.want) {
					t.Errorf(
						"switched off %v:\n got %q\nwant %q",
						l.e.opt.Off.Has(r.Rule),
						got,
						run.want,
					)
				}
			}
		})
	}
	if _, ok := RuleSet(0).With(ruleCount); ok || RuleSet(1<<63).Has(ruleCount) {
		t.Error("a rule that is none can be switched")
	}
}

// README.md is the specification: it names every rule, which of them are fixed, and all kinds of
// alerts.
func TestRulesAreThoseOfTheReadme(t *testing.T) {
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	var documented, fixed, names, fixedNames, alerts []string
	rules := text[strings.Index(text, "## The rules"):strings.Index(text, "**The kinds of alerts**")]
	row := regexp.MustCompile("^\\| \\[`([a-z_]+)`\\]\\(#([a-z_]+)\\) \\| (.+) \\| `(\\w+)` in ([a-z]+\\.go) \\|$")
	for line := range strings.SplitSeq(rules, "\n") {
		if !strings.HasPrefix(line, "| [") {
			continue
		}
		m := row.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("the line of a rule has another form: %s", line)
			continue
		}
		documented = append(documented, m[1])
		if strings.HasPrefix(m[3], "*fixed.* ") {
			fixed = append(fixed, m[1])
		}

		// Each rule has a section, and a function where the table says.
		if m[2] != m[1] || !strings.Contains(text, "\n### "+m[1]+"\n") {
			t.Errorf("%s has no section", m[1])
		}
		code, err := os.ReadFile(m[5])
		if err != nil || !regexp.MustCompile(`(?m)^func \([a-z]+ \*\w+\) `+m[4]+`\(`).Match(code) {
			t.Errorf("%s: %s has no method %s: %v", m[1], m[5], m[4], err)
		}
	}
	kinds := regexp.MustCompile(`\*\*The kinds of alerts\*\*, a closed list: (.*)\.\n`).
		FindStringSubmatch(text)
	for _, r := range Rules() {
		names = append(names, r.Name)
		if r.Fixed {
			fixedNames = append(fixedNames, r.Name)
		}
		if r.Alert {
			alerts = append(alerts, "`"+r.Name+"`")
		}
		if r.Meaning == "" || strings.Contains(r.Meaning, "\n") {
			t.Errorf("%s: its meaning is not one line: %q", r.Name, r.Meaning)
		}
	}
	for _, list := range []*[]string{&documented, &fixed, &names, &fixedNames, &alerts} {
		slices.Sort(*list)
	}
	if !slices.Equal(documented, names) {
		t.Errorf("rules: README has %q, the engine %q", documented, names)
	}
	if !slices.Equal(fixed, fixedNames) {
		t.Errorf("fixed rules: README has %q, the engine %q", fixed, fixedNames)
	}
	if got := strings.Join(alerts, ", "); len(kinds) == 0 || kinds[1] != got {
		t.Errorf("kinds of alerts: README has %q, the engine %q", kinds, got)
	}
}

// Whatever happens, an alert is of one of those kinds and names its source, and every verdict a
// rule.
func TestRuleNamesRoundTrip(t *testing.T) {
	for i, info := range Rules() {
		got, ok := ParseRule(info.Name)
		if int(got) != i+1 || !ok || got != info.Rule || got.String() != info.Name {
			t.Errorf("%s: got rule %d, %v, %v", info.Name, got, got, ok)
		}
	}
	if r, ok := ParseRule(""); r != RuleNone || ok || RuleNone.String() != "" {
		t.Errorf("no name: got %v, %v", r, ok)
	}
	if r, ok := ParseRule("no such rule"); r != RuleNone || ok {
		t.Errorf("no such rule: got %v, %v", r, ok)
	}
	if ruleCount.String() != "unknown" || Rule(255).String() != "unknown" {
		t.Errorf("a number that is not a rule: got %q", Rule(255))
	}
}
