package daemon

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
)

// No answer holds a secret, whatever is asked: neither one that is right, nor one that a PBX
// refuses, nor one with bytes that formats and URLs change.
func TestNoAnswerHoldsASecret(t *testing.T) {
	s := newSite(t, 2)
	const refused = "Wr0ng %s\"&secret"
	s.config.Servers[1].Secret = ami.NewSecret(refused)
	const token = "t0ken-Of-A-Target"
	confineRequests(t)
	s.config.Notify = []config.Target{targetOf("dead", "http://127.0.0.1:1/"+token)}
	s.config.State = config.State{Directory: t.TempDir(), Retain: time.Hour, MaxSize: 1 << 24}
	c := s.withControl(t)
	ctx, cancel := context.WithCancel(t.Context())
	said, log := logtest.New()
	done := make(chan error, 1)
	cfg := s.config
	go func() {
		done <- Run(ctx, Options{
			Config: &cfg, Log: log, NetNS: s.FD(), Trial: time.Hour,
			Reload: func() (*config.Config, error) {
				return nil, &config.Error{
					File: "amifend.toml", Problems: []config.Problem{{Text: "is bad"}},
				}
			},
		})
	}()

	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})

	ready(t, c)
	eventually(t, "a server that refuses the secret, and one that does not", func() bool {
		st, err := c.Status(t.Context())
		return err == nil && st.Servers[0].Connected && st.Servers[1].Problem != ""
	})
	guess(s.pbxs[0], "203.0.113.6:5062", "TCP", 4)
	said.Wait(t, "banned", "203.0.113.6")

	web := &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, "unix", cfg.Control.Socket)
			},
		},
	}

	samples := map[string]string{ // of what needs a parameter or a body
		"GET /v1/explain":           "?address=203.0.113.6",
		"DELETE /v1/bans":           "?all=true",
		"DELETE /v1/allow":          "?prefix=203.0.113.9/32",
		"POST /v1/bans":             `{"bans":[{"prefix":"203.0.113.8/32","scope":"all","for_seconds":60}]}`,
		"POST /v1/deny":             `{"prefixes":["203.0.113.16/28"],"note":"x"}`,
		"DELETE /v1/deny":           "?prefix=203.0.113.16/28",
		"POST /v1/allow":            `{"prefix":"203.0.113.9/32","for_seconds":60}`,
		"POST /v1/alerts/ignored":   `{"id":"00000000","note":"x"}`,
		"DELETE /v1/alerts/ignored": "?id=00000000",
		"POST /v1/notify/test":      `{"name":"dead"}`,
		"POST /v1/feeds/accept":     `{"name":"nothing"}`,
		"POST /v1/reload":           "",
		"POST /v1/keep":             "",
		"POST /v1/nonsense":         "",
		"POST /v1/enforce":          `{"for_seconds":60}`,
	}

	routes := append(control.Routes(), control.Route{Method: "POST", Path: "/v1/nonsense"})
	for _, r := range routes {
		name := r.Method + " " + r.Path
		url, body := "http://amifend"+r.Path, samples[name]
		if strings.HasPrefix(body, "?") {
			url, body = url+body, ""
		}
		text, status := fetch(t, web, r.Method, url, body)
		bad := slices.Contains(
			[]string{
				"/v1/reload", "/v1/nonsense", "/v1/alerts/ignored", "/v1/enforce",
				"/v1/feeds/accept",
			}, r.Path) || name == "GET /v1/undo" // nothing was done yet
		if (status != http.StatusOK) != bad || len(text) == 0 && r.Path != "/v1/events" {
			t.Errorf("%s: %d %s", name, status, text)
		}

		for _, secret := range []string{pbxSecret, refused, "Wr0ng", token} {
			if strings.Contains(text, secret) {
				t.Errorf("%s: the answer holds a secret:\n%s", name, text)
			}
		}
	}

	if strings.Contains(said.String(), pbxSecret) || strings.Contains(said.String(), "Wr0ng") ||
		strings.Contains(said.String(), token) {
		t.Error("the log holds a secret")
	}
}

// fetch returns the answer to a request, of one that does not end what comes in half a second.
func fetch(t *testing.T, web *http.Client, method, url, body string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}

	res, err := web.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer res.Body.Close()
	if strings.HasSuffix(url, "/events") {
		time.AfterFunc(500*time.Millisecond, cancel)
	}
	text, err := io.ReadAll(res.Body)
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Fatalf("%s %s: %v", method, url, err)
	}

	return string(text), res.StatusCode
}
