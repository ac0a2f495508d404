package demo

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/firewall"
)

// spoiled is a network that changes what somebody sends.
type spoiled struct {
	direct
	who    netip.Addr
	change func(t *try)
}

func (s *spoiled) exchange(ctx context.Context, t try) (result, error) {
	if t.from == s.who {
		s.change(&t)
	}
	return s.direct.exchange(ctx, t)
}

// A play in which amifend is wrong, or seems so, fails and says who was judged wrong.
func TestPlayFails(t *testing.T) {
	t.Parallel()
	guess := request{method: "REGISTER", account: "nobody", call: "x"}
	for name, tc := range map[string]struct {
		who    string
		change func(t *try)
		want   string
	}{
		"an attacker that does no harm": {
			"198.51.100.20", func(t *try) {
				t.requests = nil
			}, "password cracker (198.51.100.20) was not banned",
		},
		"a user who attacks": {
			"198.51.100.150", func(t *try) {
				t.requests = append(t.requests, guess, guess, guess)
			}, "198.51.100.150 should never have been banned: 4 attempts",
		},
		"a phone that is not let in": {
			"10.20.0.9", func(t *try) {
				t.requests = t.requests[:1]
			}, "the office's phones (10.20.0.8/30) was let in",
		},
		"a home in which no phone works": {
			"198.51.100.200", func(t *try) {
				t.requests = t.requests[2:4]
			}, "a home with an old password (198.51.100.200) was let in 0 times of 7, not 7",
		},
		"a phone that guesses": {
			"10.20.0.9", func(t *try) {
				t.requests = slices.Concat(t.requests,
					[]request{guess, guess, guess, guess, guess, guess}, t.requests)
			},
			"10.20.0.9 should not have raised the alert proved_source_guessing: ",
		},
		"a flood that says nothing": {
			"10.20.0.11", func(t *try) {
				for i := range t.requests {
					if t.forged {
						t.requests[i].method = "OPTIONS"
					}
				}
			}, "a phone whose name is forged (10.20.0.11) raised no alert proved_source_guessing",
		},
		"a flood that is none": {
			"10.20.0.11", func(t *try) {
				if t.forged {
					t.requests, t.to = t.requests[:1], &pbx{manager: t.to.manager}
				}
			}, "so that nothing is shown",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder

			// One actor behaves otherwise than its part says.
			bad := &spoiled{who: netip.MustParseAddr(tc.who), change: tc.change}
			err := play(t.Context(), Options{For: 3 * time.Second, Out: &out},
				func(context.Context, ...*pbx) stage {
					return stage{network: bad, close: noClose}
				})
			if !errors.Is(err, ErrFailed) {
				t.Errorf("got %v, want %v", err, ErrFailed)
			}

			// The summary wraps its lines, so all blanks are made equal.
			text := strings.Join(strings.Fields(out.String()), " ")
			if _, wrong, _ := strings.Cut(text, "WRONG:"); !strings.Contains(wrong, tc.want) {
				t.Errorf("it does not report %q:\n%s", tc.want, &out)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	right := func() outcome {
		return outcome{
			actor: actor{
				name: "scanner", role: attacker, scope: firewall.ScopeSIP,
				source: netip.MustParsePrefix("203.0.113.5/32"),
			},
			deeds: deeds{tries: 10, sent: 10, answered: 4}, reached: 4, dropped: 6, inKernel: true,
			ban: &verdict{
				bans.Ban{Scope: firewall.ScopeSIP, Duration: 10 * time.Minute},
				time.Now(),
			},
		}
	}

	// Without this check, a judge that always complains would pass.
	real := stage{kernel: true, packets: true}
	if wrong := right().judge(real); wrong != nil {
		t.Fatalf("it finds fault with what is right: %v", wrong)
	}

	for want, spoil := range map[string]func(o *outcome){
		"was not banned":           func(o *outcome) { o.ban = nil },
		"with scope all, not sip":  func(o *outcome) { o.ban.Scope = firewall.ScopeAll },
		"for 1h0m0s, not 10m0s":    func(o *outcome) { o.ban.Duration = time.Hour },
		"raised no alert x":        func(o *outcome) { o.alert, o.due = "x", true },
		"let in 9 times of 10":     func(o *outcome) { o.role, o.times, o.letIn = mixed, 10, 9 },
		"of 10, not 11 times":      func(o *outcome) { o.role, o.times, o.letIn = mixed, 11, 10 },
		"is not in the kernel":     func(o *outcome) { o.inKernel = false },
		"still reached a PBX 1":    func(o *outcome) { o.late = 1 },
		"had no packet dropped":    func(o *outcome) { o.dropped, o.reached = 0, 10 },
		"4 arrived and 5 were":     func(o *outcome) { o.dropped = 5 },
		"could not play its part":  func(o *outcome) { o.err = errors.New("no socket") },
		"had 4 answers to 10":      func(o *outcome) { o.role = caller },
		"was let in 0 times of 10": func(o *outcome) { o.role = phones },
		"not once at the last":     func(o *outcome) { o.role, o.times = user, 10 },
		"forged 10 times": func(o *outcome) {
			o.role, o.times, o.reached = forger, 50, 10
		},
		"got 4 packets through": func(o *outcome) { o.role, o.times = forger, 10 },
	} {
		// One thing is wrong, and exactly that must be reported.
		o := right()
		spoil(&o)
		if wrong := o.judge(real); len(wrong) != 1 || !strings.Contains(wrong[0], want) {
			t.Errorf("got %v, want %q", wrong, want)
		}
	}
}
