package cli

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
)

func TestWriteStatus(t *testing.T) {
	now := time.Date(2026, 11, 23, 6, 0, 0, 0, time.Local)
	seven := uint64(7)
	s := control.Status{
		Version: "1.2", Since: now.Add(-76 * time.Hour), Protected: 14,
		Servers: []control.ServerStatus{
			{
				Name: "office", Connected: true, Phase: "connected", Since: now.Add(-3 * time.Hour),
				EventsRate: 12.34, Lag: 0.0031,
				ClockError: -75.5, Gaps: 2, LastGap: 61, TLS: "TLS 1.3",
			},
			{
				Name: "hq", Connected: true, Since: now.Add(-5 * time.Second), TLS: "TLS 1.3",
				Verified: true,
			},
			{
				Name: "branch", Phase: "waiting", Since: now.Add(-time.Second),
				Down: now.Add(-2 * time.Minute), Problem: "refused",
				NextTry: now.Add(8 * time.Second),
			},
			{Name: "new", Phase: "connecting", Since: now},
		},
		Engine: control.Engine{Observed: 100, Counted: 40, Protected: 1, Shielded: 2, Covered: 3},
		Firewall: control.Firewall{
			Name: "nftables table inet amifend", State: "failing", Bans: 312,
			Pending: 4, Waiting: 1,
			Denied: &control.Denied{
				Listed: 1000, Ranges: 900, Spared: 2,
				State: control.StateInKernel, Dropped: &seven,
			},
		},
		Journal: &control.Journal{
			Path: "/var/lib/amifend/journal.db", Size: 1_250_000,
			Problem: "the disk is full", Waiting: 12,
		},
		Health: []control.Warning{{
			About: "server branch", What: "no events: refused",
			Do: "start Asterisk",
		}, {About: "firewall", What: "the kernel refuses"}},
	}

	at := now.Add(-time.Hour)
	dropped := uint64(1204)
	today := &day{Bans: 31, Last: &lastBan{"203.0.113.7", at}, Dropped: &dropped}

	// Servers in each state, a firewall with pending bans, a journal that fails, and warnings.
	var b strings.Builder
	if err := writeStatus(&b, s, today, screen.Screen{}, now); err != nil {
		t.Fatal(err)
	}

	want := `2 things need attention
  server branch: no events: refused
    do: start Asterisk
  firewall: the kernel refuses

amifend 1.2 runs since ` + now.Add(-76*time.Hour).Format(stamp) + ` (3d4h)

SERVER  LINK     EVENTS/S  LAG  CLOCK   GAPS          TLS
office  up 3h0m  12.3      3ms  -75.5s  2, last 1m1s  1.3, not verified
hq      up 5s    0.0       0s   0.0s    none          1.3
branch  DOWN 2m0s, next try in 8s
new     connecting

firewall  nftables table inet amifend, failing: 312 bans, 4 not in the kernel yet, 1 waiting for room
          today: 31 bans, the last of 203.0.113.7 at ` + at.Format("15:04:05 MST") + `; 1204 packets dropped in all
          never banned: 14 prefixes (amifend allow --list)
          always dropped: 1000 listed prefixes, 7 packets; 2 spared (amifend check)
journal   /var/lib/amifend/journal.db, 1.2 MB: FAILING: the disk is full, 12 changes of bans not written yet
events    100 since the start: 40 attempts counted
          not counted: 1 of protected sources, 2 in the name of proved ones, 3 of banned ones
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &b, want)
	}
}

func TestWriteBans(t *testing.T) {
	now := time.Now()
	seven := uint64(7)
	var b strings.Builder
	err := writeBans(&b, screen.Screen{}, control.BanList{Total: 312, Matched: 2, Bans: []control.Ban{
		{
			Prefix: netip.MustParsePrefix("203.0.113.5/32"), Scope: "all", Rule: "proven_score",
			Attempts: 4, Strike: 1, Servers: []string{"office", "hq"},
			Until: now.Add(90 * time.Minute), State: "in_kernel", Dropped: &seven,
		},
		{
			Prefix: netip.MustParsePrefix("2001:db8::/64"), Scope: "sip", Rule: "second_offender",
			Until: now.Add(50 * time.Hour), State: "waiting",
		},
	}}, false, now)

	const want = `SOURCE         ENDS IN  SCOPE  DROPPED  ATTEMPTS  RULE             SERVERS    STATE
203.0.113.5    1h30m    all    7        4         proven_score     office,hq  in kernel
2001:db8::/64  2d2h     sip    ?        0         second_offender             waiting
7 packets dropped
312 bans in all, 2 match, 2 shown
`
	if err != nil || b.String() != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, &b, want)
	}
}

// A daemon that bans nobody says so first. Its table has no column for packets, and fits 80 columns.
func TestWriteWouldBeBans(t *testing.T) {
	now := time.Now()
	list := control.BanList{Total: 2, Matched: 2}
	for _, prefix := range []string{"203.0.113.5/32", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff/128"} {
		list.Bans = append(list.Bans, control.Ban{
			Prefix: netip.MustParsePrefix(prefix), Scope: "all", Rule: "proven_score", Attempts: 4,
			Servers: []string{"office", "branch", "hq", "lab"}, Until: now.Add(90 * time.Minute),
			State: control.StateDry,
		})
	}

	var b strings.Builder
	err := writeBans(&b, screen.Screen{Width: 80}, list, false, now)
	const want = `nobody is banned; this daemon would ban:
SOURCE                  ENDS IN  SCOPE  ATTEMPTS  RULE          SERVERS
203.0.113.5             1h30m    all    4         proven_score  office,branch +2
2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff
                        1h30m    all    4         proven_score  office,branch +2
2 would-be bans
`
	if err != nil || b.String() != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, &b, want)
	}
}

// The day counts what happened: bans of a daemon that bans nobody are would-be bans.
func TestDayText(t *testing.T) {
	at := time.Date(2026, 11, 23, 7, 3, 10, 0, time.Local)
	d := day{Bans: 2, Last: &lastBan{"203.0.113.7", at}}
	if got, want := d.text("would-be ban"), "today: 2 would-be bans, the last of 203.0.113.7 at "+
		at.Format("15:04:05 MST"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := (&day{}).text("ban"); got != "today: no bans" {
		t.Errorf("got %q", got)
	}
}

func TestArguments(t *testing.T) {
	// Addresses and prefixes; "": refused.
	for text, want := range map[string]string{
		"203.0.113.5": "203.0.113.5/32", "::ffff:203.0.113.5": "203.0.113.5/32",
		"fe80::1%eth0": "fe80::1/128", "203.0.113.5:37679": "203.0.113.5/32",
		"[2001:db8::1]": "2001:db8::1/128", "[2001:db8::1]:5060": "2001:db8::1/128",
		"[203.0.113.5": "", "203.0.113.5:99999": "", "2001:db8::/64": "2001:db8::/64",
		"203.0.113.5/24": "", "::ffff:203.0.113.0/120": "", "host.example": "", "": "",
		"203.0.113.0/33": "",
	} {
		var a sourceArg
		if err := a.UnmarshalText([]byte(text)); (err == nil) != (want != "") || err == nil &&
			a.String() != want {
			t.Errorf("%q: %v, %v", text, a, err)
		}
	}

	// Durations; 0: refused.
	for text, want := range map[string]time.Duration{
		"30d": 720 * time.Hour,
		"90s": 90 * time.Second, "1d12h": 36 * time.Hour, "0s": 0, "-1h": 0, "5": 0, "": 0,
		"forever": 0,
	} {
		var d span
		if err := d.UnmarshalText([]byte(text)); (err == nil) != (want != 0) || err == nil &&
			time.Duration(d) != want {
			t.Errorf("%q: %v, %v", text, time.Duration(d), err)
		}
	}

	// And back: two units at most.
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m1s",
		3599600 * time.Millisecond: "1h0m", 25 * time.Hour: "1d1h",
	} {
		if got := rough(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestText(t *testing.T) {
	err := control.Errorf(control.CodeNotBanned, "%s is not banned",
		"203.0.113.5").Advise("amifend bans")
	if got := Text(err); got != "203.0.113.5 is not banned\n  do: amifend bans" {
		t.Errorf("%q", got)
	}

	for code, usage := range map[string]bool{
		control.CodeBadRequest:    true,
		control.CodeInvalidConfig: true, control.CodeNotBanned: false,
		control.CodeForbidden: false,
	} {
		if IsUsage(control.Errorf(code, "x")) != usage {
			t.Errorf("%s is the user's to mend: %t", code, !usage)
		}
	}
}

// The status says what the daemon's process may still do, and what could not be confined.
func TestConfinedText(t *testing.T) {
	for want, c := range map[string]control.Confined{
		"it executes nothing, and writes below /run/a and /var/a only; capabilities: net_admin; seccomp": {
			Landlock: 7, Writes: []string{"/run/a", "/var/a"}, Seccomp: true,
			Capabilities: []string{"net_admin"},
		},
		"it executes nothing and writes nowhere; no capabilities": {Landlock: 1},
		"without Landlock: this kernel has none in force; no capabilities\n          FAILING: why": {
			Error: "why",
		},
	} {
		if got := confinedText(c); got != want {
			t.Errorf("%+v: %q, want %q", c, got, want)
		}
	}
}
