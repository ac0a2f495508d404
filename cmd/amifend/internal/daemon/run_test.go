package daemon

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/policy"
)

// Being asked to stop while it starts is no failure.
func TestStoppedAtTheStart(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := &config.Config{
		Policy: policy.DefaultOptions(), Observe: true,
		Servers: []config.Server{
			{Name: "pbx", Address: "127.0.0.1:1", Host: "127.0.0.1", Username: "u"},
		}, // no secret: refused
	}
	if err := Run(ctx, Options{Config: c, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Error(err)
	}

	if err := Run(t.Context(), Options{Config: c, Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("runs without a secret")
	}
}

// Warnings are told at the start: of the config, and of how a server is reached.
func TestWarnings(t *testing.T) {
	s := newSite(t, 1)
	s.config.Warnings = []string{"config.toml can be read by every user of this machine"}
	server := s.config.Servers[0]
	server.Name = "far"
	server.Host = "192.0.2.200"
	server.Address = net.JoinHostPort(server.Host, "5038")
	server.TLS = &config.TLS{InsecureSkipVerify: true}
	plain := server
	plain.TLS = nil
	plain.Name = "plain"
	s.config.Servers = append(s.config.Servers, server, plain)
	r := s.start(t)
	r.Wait(t, s.config.Warnings[0], "")

	for server, want := range map[string]string{
		"far": "insecure_skip_verify", "plain": "AMI without TLS",
	} {
		if !strings.Contains(r.String(), want) ||
			!strings.Contains(r.String(), `"server":"`+server+`"`) {
			t.Errorf("no warning %q of %s:\n%s", want, server, r)
		}
	}
}

func TestDryRunsLeaveTheKernelAlone(t *testing.T) {
	for name, change := range map[string]func(*config.Config){
		"observe": func(c *config.Config) { c.Observe = true },
		"log":     func(c *config.Config) { c.Firewall.Backend = config.BackendLog },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, 1)
			change(&s.config)
			r := s.start(t)
			guess(s.pbxs[0], "203.0.113.5:5060", "TCP", 4)
			if l := r.Wait(t, "would ban", "203.0.113.5"); l.Text("attempts") != "4" ||
				l.Text("undo") == "" {
				t.Errorf("said %v", l)
			}

			if out := s.NFT(t, "list ruleset"); out != "" {
				t.Errorf("the kernel has %s", out)
			}
			if n := len(r.Said("banned", "")); n != 0 {
				t.Error("said `banned`")
			}

			r.stop(t)
			if strings.Contains(r.String(), "stay in the kernel") {
				t.Errorf("no ban is in the kernel:\n%s", r)
			}
		})
	}
}
