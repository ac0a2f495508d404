package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
)

// envDaemon has the test binary be amifend itself, in the namespace of descriptor 3; its value is
// the config.
const envDaemon = "APPTEST_DAEMON"

// runDaemon runs a daemon in the test binary.
func runDaemon(text string) int {
	var c config.Config
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	c.Servers = []config.Server{{ // the secret is never written
		Name: "pbx1", Address: os.Getenv(envDaemon + "_PBX"), Host: "127.0.0.1", Username: pbxUser,
		Secret: ami.NewSecret(pbxSecret),
	}}
	if file := os.Getenv(envDaemon + "_FEED"); file != "" { // what is hidden in a feed is not written
		c.Feeds = []config.Feed{{Name: "one", File: file, Every: time.Hour}}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := Run(ctx, Options{
		Config: &c, Log: slog.New(slog.NewJSONHandler(os.Stdout, nil)), NetNS: 3,
	}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// process is amifend in a process of its own.
type process struct {
	*exec.Cmd
	lines chan logtest.Line
}

func (s *site) spawn(t testing.TB) *process {
	t.Helper()
	c := s.config
	c.Servers, c.Feeds = nil, nil
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}

	p := &process{Cmd: exec.Command("/proc/self/exe"), lines: make(chan logtest.Line, 10_000)}
	p.Env = append(os.Environ(), envDaemon+"="+string(text), envDaemon+"_PBX="+s.pbxs[0].Addr())
	if len(s.config.Feeds) > 0 {
		p.Env = append(p.Env, envDaemon+"_FEED="+s.config.Feeds[0].File)
	}
	p.Stderr = os.Stderr
	p.ExtraFiles = []*os.File{os.NewFile(uintptr(dup(t, s.FD())), "namespace")}
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}

	if err := p.Start(); err != nil {
		t.Fatal(err)
	}

	p.ExtraFiles[0].Close()
	go func() {
		defer close(p.lines)
		for in := bufio.NewScanner(out); in.Scan(); {
			var l logtest.Line
			if json.Unmarshal(in.Bytes(), &l) == nil {
				p.lines <- l
			}
		}
	}()

	t.Cleanup(func() { p.kill(t) })
	return p
}

func dup(t testing.TB, fd int) int {
	t.Helper()
	n, err := syscall.Dup(fd)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// kill is kill -9.
func (p *process) kill(t testing.TB) {
	t.Helper()
	if p.ProcessState != nil {
		return
	}
	if err := p.Process.Kill(); err != nil {
		t.Error(err)
	}

	for range p.lines { // until the pipe ends
	}
	_ = p.Wait() // it was killed
}

// Said waits for a line.
func (p *process) Said(t testing.TB, msg, source string) logtest.Line {
	t.Helper()
	return p.saidWithin(t, 10*time.Second, msg, source)
}

func (p *process) saidWithin(t testing.TB, d time.Duration, msg, source string) logtest.Line {
	t.Helper()
	end := time.After(d)
	for {
		select {
		case l, ok := <-p.lines:
			if !ok {
				t.Fatalf("it ended before it said %q", msg)
			}
			if l["msg"] == msg && (source == "" || l["source"] == source) {
				return l
			}

		case <-end:
			t.Fatalf("it does not say %q of %q", msg, source)
		}
	}
}

// A kill -9, again and again at a moment of its own, loses no ban that was told, in the same boot
// or over a reboot, and brings none back that was lifted.
func TestKilledDaemon(t *testing.T) {
	s := newSite(t, 1)
	s.withState(t)
	c := s.withControl(t)

	total := 0
	for round := range 5 {
		p := s.spawn(t)
		if l := p.Said(t, "amifend runs", ""); l.Text("adopted") != strconv.Itoa(total) {
			t.Fatalf("round %d: %v, want %d", round, l, total)
		}

		eventually(t, "it is logged in", func() bool { return s.pbxs[0].Sessions() >= 1 })
		for range 20 {
			total++

			// Each is in a /24 of its own: one with several banned addresses is banned as a whole.
			source := fmt.Sprintf("10.0.%d.1", total)
			guess(s.pbxs[0], source+":5060", "TCP", 4)
			p.Said(t, "banned", source)
		}

		if round == 4 { // and one is lifted
			s.Run(t, "ip", "addr", "add", "10.0.1.1/32", "dev", "lo")
			p.Said(t, "ban lifted", "10.0.1.1")
			wrote := fmt.Sprintf("%d, 1", total-1)
			eventually(t, "the disk has all of it: nobody waits for that", func() bool {
				return query(t, backedUp(t, c),
					"SELECT count(*) FROM bans WHERE running UNION ALL SELECT count(*) FROM ban "+
						"WHERE lifted IS NOT NULL") == wrote
			})
		}

		p.kill(t)
	}

	s.reboot(t)
	p := s.spawn(t)
	if l := p.Said(t, "amifend runs", ""); l.Text("adopted") != "0" ||
		l.Text("restored") != strconv.Itoa(total-1) {
		t.Errorf("%v, want %d", l, total-1)
	}

	p.Said(t, "firewall restored", "")
	bans, err := s.table(t).Bans(t.Context())
	if err != nil || len(bans) != total-1 {
		t.Errorf("%d in the kernel, %v, want %d", len(bans), err, total-1)
	}
	if s.element(t, s.table(t), "10.0.1.1/32", all) != nil {
		t.Error("what was lifted is back")
	}
}

// What a command was answered outlasts a kill -9 right after the answer, and a reboot.
func TestKilledAfterACommand(t *testing.T) {
	s := newSite(t, 1)
	s.withState(t)
	c := s.withControl(t)
	p := s.spawn(t)
	ready(t, c)
	eventually(t, "it is logged in", func() bool { return s.pbxs[0].Sessions() >= 1 })

	for _, source := range []string{"10.0.1.1", "10.0.2.1", "10.0.3.1"} {
		guess(s.pbxs[0], source+":5060", "TCP", 4)
		p.Said(t, "banned", source)
	}

	if _, err := c.Allow(t.Context(), control.NewAllow{
		Prefix: netip.MustParsePrefix("10.0.2.1/32"),
	}); err != nil {
		t.Fatal(err)
	}
	if l, err := c.Unban(t.Context(), netip.MustParsePrefix("10.0.1.1/32")); err != nil ||
		l.Count != 1 || l.Note != "" {
		t.Fatalf("%+v, %v", l, err)
	}

	p.kill(t)
	s.reboot(t)
	p = s.spawn(t)
	if l := p.Said(t, "amifend runs", ""); l.Text("restored") != "1" {
		t.Errorf("%v", l)
	}

	ready(t, c)
	eventually(t, "it is allowed", func() bool {
		l, err := c.Allowed(t.Context())
		return err == nil &&
			slices.ContainsFunc(l.Entries, func(a control.Allowed) bool {
				return a.Prefix.String() == "10.0.2.1/32" && a.Command
			})
	})

	s.wantLeft(t, "10.0.3.1/32", all, time.Hour)
	s.wantGone(t, "10.0.1.1/32", all)
	s.wantGone(t, "10.0.2.1/32", all)
}

// What unban --all was answered outlasts a kill -9 right after the answer, with the kernel as it is
// and over a reboot: what was banned before is not, and what was banned after it still is. Also where
// the kernel has elements of bans that were never written.
func TestKilledAfterAllWereLifted(t *testing.T) {
	s := newSite(t, 1)
	s.withState(t)
	c := s.withControl(t)
	for round := range 4 {
		p := s.spawn(t)
		ready(t, c)
		eventually(t, "it is logged in", func() bool { return s.pbxs[0].Sessions() >= 1 })

		var many []control.NewBan
		for i := range 300 {
			many = append(many, newBanOf(fmt.Sprintf("10.%d.%d.1/32", i/250, i%250), "all", time.Hour))
		}
		if _, err := c.Ban(t.Context(), many); err != nil {
			t.Fatal(err)
		}
		if l, err := c.Unban(t.Context(), netip.Prefix{}); err != nil || l.Count < 300 ||
			l.Note != "" || l.Pending != 0 {
			t.Fatalf("%d lifted, %d pending, %s, %v", l.Count, l.Pending, l.Note, err)
		}
		if _, err := c.Ban(t.Context(), []control.NewBan{
			newBanOf("10.9.9.9/32", "all", time.Hour),
		}); err != nil {
			t.Fatal(err)
		}

		p.kill(t)
		if round%2 == 1 {
			s.reboot(t)
		}
		p = s.spawn(t)
		p.Said(t, "amifend runs", "")
		ready(t, c)
		l, err := c.Bans(t.Context(), control.BanQuery{})
		if err != nil || l.Total != 1 || l.Bans[0].Prefix.String() != "10.9.9.9/32" {
			t.Fatalf("round %d: %d bans: %+v, %v", round, l.Total, l.Bans, err)
		}
		p.kill(t)
	}
}
