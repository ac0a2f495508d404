package judge

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
	"github.com/amifend/amifend/policy"
)

// What an attacker could call an account to colour a terminal or to end a quotation, and how it is
// printed.
const (
	hostile       = "10\x1b[31m\"1"
	hostileQuoted = `"10\x1b[31m\"1"`
)

// alertCase has events that make an alert, and the line that it must have.
type alertCase struct {
	change         func(o *policy.Options)
	play           func(emit func(...amitest.Event))
	source         string
	account        string // quoted; "": it is about none
	reason, advice string // some words of it
	bans           int
}

// alertCases have one case for each kind of alert.
func alertCases() map[string]alertCase {
	// scan is four requests for unknown accounts, over UDP.
	scan := func(emit func(...amitest.Event), addr string) {
		p := amitest.NewPeer(addr)
		for i := range 4 {
			emit(p.GuessAccount(fmt.Sprint(addr, i))...)
		}
	}

	twoScans := func(emit func(...amitest.Event)) {
		for _, addr := range []string{"203.0.113.4:5060", "192.0.2.5:5060"} {
			scan(emit, addr)
		}
	}

	const phone = "192.0.2.20"
	return map[string]alertCase{
		policy.RuleBansFull.String(): {
			func(o *policy.Options) { o.MaxBans = 2 }, twoScans, "192.0.2.5", "",
			"no room for more", "raise [firewall] max_bans", 1,
		},
		policy.RuleSpoofFlood.String(): {
			func(o *policy.Options) { o.ForgeablePerMinute = 1 }, twoScans, "192.0.2.5", "",
			"than forgeable_bans_per_minute", "into [allow] prefixes", 1,
		},
		policy.RuleCompromised.String(): {
			nil, func(emit func(...amitest.Event)) {
				p := amitest.NewPeer("203.0.113.5:40000")
				p.Transport = "TCP"
				for range 6 {
					emit(p.GuessPassword(hostile)...)
				}
				emit(p.Register(hostile)...)
			}, "203.0.113.5", hostileQuoted, "was guessed after 6 attempts",
			"change the account's password", 1,
		},
		policy.RuleSpoofSuspected.String(): {
			nil, func(emit func(...amitest.Event)) {
				p := amitest.NewPeer(phone + ":5060")
				emit(p.Register(hostile)...)
				for range 5 {
					emit(p.GuessPassword(hostile)...)
				}
				emit(p.Refresh(hostile)...)
			}, phone, hostileQuoted,
			"5 failures of account " + hostileQuoted + " of pbx between two successes",
			"nobody is banned for it", 0,
		},
		policy.RuleSuspectLogin.String(): {
			nil, func(emit func(...amitest.Event)) {
				for i := range 5 {
					emit(amitest.NewPeer(fmt.Sprintf("10.0.%d.1:5060", i)).GuessPassword(hostile)...)
				}
				emit(amitest.NewPeer("203.0.113.5:5060").Register(hostile)...)
			}, "203.0.113.5", hostileQuoted,
			"a stranger logged in to account " + hostileQuoted + " of pbx",
			"ask the account's user", 0,
		},
		policy.RuleMisconfigured.String(): {
			nil, func(emit func(...amitest.Event)) {
				p := amitest.NewPeer(phone + ":5060")
				emit(p.Register("201")...)
				emit(p.Register("202")...)
				for range 8 {
					emit(p.GuessPassword(hostile)...)
					time.Sleep(90 * time.Second)
				}
			}, phone, hostileQuoted, "fails 0.762 times a minute where others work",
			"correct the password", 0,
		},
		policy.RuleAccountAttacked.String(): {
			nil, func(emit func(...amitest.Event)) {
				for i := range 8 {
					p := amitest.NewPeer(fmt.Sprintf("198.51.%d.7:5060", i))
					emit(p.GuessPassword(hostile)...)
				}
			}, "", hostileQuoted, "is guessed from 8 sources within hours",
			"use passwords of 20 random characters", 0,
		},
		policy.RuleServerAttacked.String(): {
			nil, func(emit func(...amitest.Event)) {
				for i := range 50 {
					p := amitest.NewPeer(fmt.Sprintf("198.51.%d.7:5060", i))
					emit(p.GuessAccount(fmt.Sprint(i))...)
				}
			}, "", "", "server pbx is attacked from 50 sources within hours", "an ACL of the networks",
			0,
		},
		policy.RuleSharedGuessing.String(): {
			nil, func(emit func(...amitest.Event)) {
				p := amitest.NewPeer(phone + ":5060")
				p.Transport = "TLS"
				for i := range 5 {
					emit(p.Register(fmt.Sprint(200 + i))...)
				}
				for i := range 9 {
					emit(p.GuessAccount(fmt.Sprint(hostile, i))...)
				}
			}, phone, `"10\x1b[31m\"13"`, "share (\"200\", \"201\", \"202\", \"203\", \"204\"): nobody is banned",
			"let the PBX see real sources", 0,
		},
		policy.RuleProvedGuessing.String(): {
			nil, func(emit func(...amitest.Event)) {
				p := amitest.NewPeer(phone + ":5060")
				emit(p.Register("204")...)
				for i := range 20 {
					emit(p.GuessAccount(fmt.Sprint(hostile, i%2))...)
				}
			}, phone, `"10\x1b[31m\"10"`, `from a source that logged in before as "204"`,
			"ban_proved_guessers", 0,
		},
	}
}

// What the engine alerts of is told in one line, once: kind, source, account and server, why, and
// what to do.
func TestAlertLines(t *testing.T) {
	cases := alertCases()
	for _, rule := range policy.Rules() {
		if !rule.Alert {
			continue
		}
		tc, ok := cases[rule.Name]
		delete(cases, rule.Name)
		t.Run(rule.Name, func(t *testing.T) {
			if !ok {
				t.Fatal("has no case")
			}
			synctest.Test(t, func(t *testing.T) { tc.test(t, rule.Name) })
		})
	}

	if len(cases) > 0 {
		t.Errorf("no alerts: %v", slices.Collect(maps.Keys(cases)))
	}
}

func (tc alertCase) test(t *testing.T, kind string) {
	said, log := logtest.New()
	if tc.change == nil {
		tc.change = func(*policy.Options) {}
	}
	p := newPath(t, log, tc.change)
	tc.play(func(events ...amitest.Event) { p.play(amitest.Packets(events...)) })

	l := said.Count(t, 1, "alert", "")[0]
	want := []string{"do", "kind", "level", "msg", "reason", "severity", "source", "time"}
	if alerts.KindOf(kind).Quiet != 0 { // a condition
		want = append(want, "phase", "id", "since", "count")
	}
	if tc.account != "" {
		want = append(want, "account", "server")
	}
	if kind == policy.RuleServerAttacked.String() {
		want = append(want, "server")
	}
	if kind == policy.RuleBansFull.String() {
		want = append(want, "bans", "refused")
	}
	slices.Sort(want)
	if keys := slices.Sorted(maps.Keys(l)); !slices.Equal(keys, want) {
		t.Errorf("the line has %q, want %q", keys, want)
	}

	unquoted := strings.TrimSuffix(strings.TrimPrefix(tc.account, `"`), `"`)
	for key, value := range map[string]string{
		"level": "ERROR", "kind": kind, "source": tc.source, "account": unquoted,
	} {
		if l.Text(key) != value {
			t.Errorf("%s is %s, want %s", key, l.Text(key), value)
		}
	}

	if tc.account != "" && l.Text("server") != "pbx" {
		t.Errorf("server is %s", l.Text("server"))
	}
	if !strings.Contains(l.Text("reason"), tc.reason) ||
		!strings.Contains(l.Text("do"), tc.advice) {
		t.Errorf("reason %q, do %q; want %q, %q", l.Text("reason"), l.Text("do"), tc.reason,
			tc.advice)
	}
	if strings.ContainsAny(l.Text("reason")+l.Text("account"), "\x1b\r\n") {
		t.Errorf("an attacker's bytes as they are: %q", l)
	}
	if n := p.engine.Stats().Bans; n != tc.bans {
		t.Errorf("%d bans, want %d", n, tc.bans)
	}
}

// The engine judges by the options of the config, all of them.
func TestEngineHasTheConfigsOptions(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(o *policy.Options)
		play   func(emit func(...amitest.Event))
		rule   string // of the one ban; "": none
	}{
		"canary_accounts": {
			func(o *policy.Options) { o.Canaries = []string{"9999"} },
			func(emit func(...amitest.Event)) {
				emit(amitest.NewPeer("203.0.113.5:5060").GuessAccount("9999")...)
			},
			policy.RuleCanary.String(),
		},
		"rules": {
			func(o *policy.Options) { o.Off, _ = o.Off.With(policy.RuleScore) },
			func(emit func(...amitest.Event)) {
				p := amitest.NewPeer("203.0.113.5:5060")
				for i := range 5 {
					emit(p.GuessAccount(fmt.Sprint(i))...)
				}
			},
			"",
		},
		"ban_proved_guessers": {
			func(o *policy.Options) { o.BanProvedGuessers = true },
			alertCases()[policy.RuleProvedGuessing.String()].play,
			policy.RuleProvedGuessing.String(),
		},
		"all defaults": {
			func(*policy.Options) {},
			func(emit func(...amitest.Event)) {
				p := amitest.NewPeer("203.0.113.5:5060")
				for i := range 4 {
					emit(p.GuessAccount(fmt.Sprint(9996 + i))...)
				}
			},
			policy.RuleScore.String(),
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, log := logtest.New()
			p := newPath(t, log, tc.change)
			tc.play(func(events ...amitest.Event) { p.play(amitest.Packets(events...)) })
			var rules []string
			for b := range p.engine.Bans() {
				rules = append(rules, b.Rule.String())
			}

			if got := strings.Join(rules, " "); got != tc.rule {
				t.Errorf("banned by %q, want %q", got, tc.rule)
			}
		})
	}
}
