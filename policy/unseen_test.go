package policy

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// unseen is a request over UDP that the PBX refused, and of which it raised no event.
func unseen(source string) Observation {
	return event(KindUnseenRequest, ServicePJSIP, source, "1007", "c")
}

func accepted(o Observation) Observation { o.Accepted = true; return o }

// An unseen request bans at once, within the limits of its class.
func TestUnseenRequest(t *testing.T) {
	chanSIP := unseen(attacker)
	chanSIP.Service = ServiceSIP
	proved := []Observation{registered(attacker)}
	provedOverTCP := []Observation{overStream(registered(attacker))}

	for _, tt := range []struct {
		name   string
		before []Observation
		o      Observation
		want   []string
	}{
		{"over UDP", nil, unseen(attacker), []string{"ban 203.0.113.5/32 sip 10m0s unseen_request"}},
		{
			"over TCP", nil, overStream(unseen(attacker)),
			[]string{"ban 203.0.113.5/32 all 1h0m0s unseen_request"},
		},
		{"of chan_sip", nil, chanSIP, []string{"ban 203.0.113.5/32 sip 10m0s unseen_request"}},
		{
			"of a proved source, over UDP", proved, unseen(attacker),
			[]string{"alert 203.0.113.5/32 none 0s proved_source_guessing"},
		},
		{
			"of a proved source, over TCP", provedOverTCP, overStream(unseen(attacker)),
			[]string{
				"ban 203.0.113.5/32 stream 10m0s unseen_request",
				"alert 203.0.113.5/32 stream 0s proved_source_guessing",
			},
		},
		{"of loopback", nil, unseen("127.0.0.1"), nil},
		{
			"accepted", nil, accepted(unseen(attacker)),
			[]string{
				"alert 203.0.113.5/32 sip 0s compromised_account",
				"ban 203.0.113.5/32 sip 10m0s unseen_request",
			},
		},
		{
			"accepted over TCP", nil, accepted(overStream(unseen(attacker))),
			[]string{
				"alert 203.0.113.5/32 all 0s compromised_account",
				"ban 203.0.113.5/32 all 1h0m0s unseen_request",
			},
		},
		{
			"accepted from a proved source, over UDP", proved, accepted(unseen(attacker)),
			[]string{
				"alert 203.0.113.5/32 none 0s compromised_account",
				"alert 203.0.113.5/32 none 0s proved_source_guessing",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t)
			l.feed(tt.before...)
			l.got = nil
			l.feed(tt.o)
			if got := plain(l.told()); !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

// It proves nothing, and a guessed password is told once an hour, also where nobody is banned.
func TestUnseenSuccessOfAProtectedSource(t *testing.T) {
	l := newLab(t)
	l.e.Protect(l.now, NewProtected([]ProtectedEntry{
		{Prefix: hostKey(hostAddr(attacker)).prefix(), Reason: "allow"},
	}, nil))

	for range 3 {
		l.feed(accepted(unseen(attacker)))
		l.wait(time.Minute)
	}
	want := []string{"alert 203.0.113.5/32 none 0s compromised_account"}
	if got := plain(l.told()); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if x := l.e.Explain(hostAddr(attacker)); x.Proved || x.Owns != 0 {
		t.Errorf("proved %t, owns %d", x.Proved, x.Owns)
	}
}

// TestPropertyUnseen: unseen requests over UDP ban no proved source, and nobody from everything, for
// whatever else happens.
func TestPropertyUnseen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := mustNew(t, nil)
		os := forgeableObservations(t, 20, 200)
		for i := range os {
			if i%2 == 0 {
				os[i].Kind, os[i].Injected = KindUnseenRequest, false
			}
		}

		play(e, os, func(o Observation, vs []Verdict) {
			for _, v := range vs {
				if v.Action == ActionBan && v.Scope != ScopeSIP {
					t.Fatalf("%s", brief(v))
				}
				if v.Action == ActionBan && v.Rule == RuleUnseen && o.Kind != KindUnseenRequest {
					t.Fatalf("%s for %v", brief(v), o.Kind)
				}
			}
		})
	})
}

// plain cuts the details off verdicts.
func plain(told []string) (out []string) {
	for _, s := range told {
		before, _, _ := strings.Cut(s, " score ")
		out = append(out, before)
	}
	return out
}
