package app

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/firewall/firewalltest"
)

func TestIneffectiveBans(t *testing.T) {
	t.Parallel() // it waits most of the time
	s := newSite(t, 1)
	attacker := firewalltest.New(t)
	firewalltest.Join(t, attacker, s.NS, []string{"203.0.113.5/24", "203.0.113.6/24"}, []string{"203.0.113.1/24"})
	file := s.withState(t)
	r := s.start(t)
	port := amitest.NewPeer("203.0.113.5:5060") // reaches a port that is not in sip_ports
	port.Local = netip.MustParseAddrPort("192.0.2.10:5070")
	path := amitest.NewPeer("203.0.113.6:5060") // does not pass this machine
	path.Transport = "TCP"
	end := time.Now().Add(20 * time.Second)
	for n := 0; len(r.said("ban is ineffective", "")) < 2; n++ {
		s.pbxs[0].Emit(port.GuessAccount(strconv.Itoa(n))...)
		s.pbxs[0].Emit(path.GuessAccount(strconv.Itoa(n))...)
		if time.Sleep(50 * time.Millisecond); time.Now().After(end) {
			t.Fatal("not said")
		}
	}
	banned, err := time.Parse(time.RFC3339Nano, r.wait(t, "banned", "203.0.113.5").text("time"))
	if err != nil {
		t.Fatal(err)
	}
	for source, cause := range map[string]string{"203.0.113.5": causePort, "203.0.113.6": causePath} {
		l := r.wait(t, "ban is ineffective", source)
		if l.text("cause") != cause || l.text("do") == "" || l.text("dropped") != "0" || l.text("server") != "pbx1" {
			t.Errorf("said %v", l)
		}
		if at, err := time.Parse(time.RFC3339Nano, l.text("time")); err != nil || at.Sub(banned) < grace {
			t.Errorf("said at %v, %v; the ban was at %v", at, err, banned)
		}
	}
	if l := r.wait(t, "ban is ineffective", "203.0.113.5"); l.text("port") != "5070" {
		t.Errorf("said %v", l)
	}
	time.Sleep(200 * time.Millisecond)
	r.count(t, 2, "ban is ineffective", "")
	r.stop(t)
	want := "ineffective_ban 203.0.113.5 pbx1 a ban does nothing: " + causePort + ", ineffective_ban 203.0.113.6 pbx1 a ban does nothing: " + causePath
	if got := query(t, file, "SELECT kind || ' ' || source || ' ' || server || ' ' || text FROM alerts WHERE advice <> '' ORDER BY source"); got != want {
		t.Errorf("alerts: %s\nwant %s", got, want)
	}
}

// A PBX that is not there at the start, or goes away, is told and tried again; the others are judged meanwhile.
func TestOnePBXIsAway(t *testing.T) {
	s := newSite(t, 2)
	s.pbxs[1].Stop()
	pbxs := s.pbxs
	s.pbxs = pbxs[:1]
	r := s.start(t)
	if l := r.wait(t, "AMI session cannot be made", ""); l.text("server") != "pbx2" || l.text("problem") != "refused" || l.text("do") == "" {
		t.Errorf("said %v", l)
	}
	guess(pbxs[0], "203.0.113.5:5060", "TCP", 4)
	r.wait(t, "banned", "203.0.113.5")
	if err := pbxs[1].Start(); err != nil {
		t.Fatal(err)
	}
	if err := pbxs[1].WaitSessions(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	guess(pbxs[1], "203.0.113.6:5060", "TCP", 4)
	r.wait(t, "banned", "203.0.113.6")
	pbxs[0].Cut()
	if l := r.wait(t, "AMI session is lost: events may be missed until it is back", ""); l.text("server") != "pbx1" {
		t.Errorf("said %v", l)
	}
	eventually(t, "the gap is told", func() bool {
		for _, l := range r.said("AMI session is up", "") {
			if l.text("server") == "pbx1" && l.text("gaps") == "1" && l.text("gap") != "" {
				return true
			}
		}
		return false
	})
}

// Warnings are told at the start: of the config, and of how a server is reached.
func TestWarnings(t *testing.T) {
	s := newSite(t, 1)
	s.config.Warnings = []string{"config.toml can be read by every user of this machine"}
	server := s.config.Servers[0]
	server.Name, server.Address, server.Host = "far", net.JoinHostPort("192.0.2.200", "5038"), "192.0.2.200"
	server.TLS = &config.TLS{InsecureSkipVerify: true}
	d, err := newDaemon(Options{Config: &s.config, Log: slog.New(slog.DiscardHandler)}, dryTable{}, protectNothing())
	if err != nil {
		t.Fatal(err)
	}
	j, log := newJournal()
	d.Log = log
	plain := server
	plain.TLS, plain.Name = nil, "plain"
	c := s.config
	c.Servers = []config.Server{server, plain}
	d.Config = &c
	if _, err := d.sessions(nil); err != nil { // connects to nothing
		t.Fatal(err)
	}
	for server, want := range map[string]string{"far": "insecure_skip_verify", "plain": "AMI without TLS"} {
		if !strings.Contains(j.String(), want) || !strings.Contains(j.String(), `"server":"`+server+`"`) {
			t.Errorf("no warning %q of %s:\n%s", want, server, j)
		}
	}
	s.start(t).wait(t, s.config.Warnings[0], "")
}

// What a session heard before the end reaches the judge after it, however full its queue was.
func TestHeardBeforeTheEnd(t *testing.T) {
	s := newSite(t, 1)
	d, err := newDaemon(Options{Config: &s.config, Log: slog.New(slog.DiscardHandler)}, dryTable{}, protectNothing())
	if err != nil {
		t.Fatal(err)
	}
	sessions, err := d.sessions(protect.New(protect.Config{}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	in, done := make(chan sighting), make(chan error, 1)
	go func() { done <- sessions[0].run(ctx, in) }()
	<-in // our own login
	guess(s.pbxs[0], "203.0.113.5:5060", "UDP", 1)
	eventually(t, "the session hears it", func() bool { return sessions[0].Status().Events >= 2 })
	cancel()
	time.Sleep(50 * time.Millisecond) // nobody takes it
	heard := false
	for {
		select {
		case seen := <-in:
			heard = heard || seen.Source == netip.MustParseAddrPort("203.0.113.5:5060")
		case err := <-done:
			if err != nil || !heard {
				t.Errorf("heard: %v, %v", heard, err)
			}
			return
		case <-time.After(5 * time.Second):
			t.Fatal("the session does not end")
		}
	}
}
