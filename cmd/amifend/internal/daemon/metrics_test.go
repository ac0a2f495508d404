package daemon

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

const metricsServed = "metrics are served"

// scrape returns the page of metrics at an address, and the status.
func scrape(t *testing.T, address, password string) (string, int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	if password != "" {
		req.SetBasicAuth("prometheus", password)
	}

	web := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := web.Do(req)
	if err != nil {
		return err.Error(), 0
	}
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(page), res.StatusCode
}

// A real attack on a real kernel moves the numbers. No page holds a secret, a source or an account.
func TestScrapeOfAnAttack(t *testing.T) {
	s := newSite(t, 2)
	s.config.Metrics = config.Metrics{Listen: "127.0.0.1:0", Username: "prometheus"}
	s.config.Servers[1].Secret = ami.NewSecret("Wr0ng-secret")
	r := s.startUp(t)
	address := r.Wait(t, metricsServed, "").Text("address")

	logins(t, s.pbxs[0], 1)
	p := amitest.NewPeer("203.0.113.6:5062")
	p.Transport = "TCP"
	for range 5 {
		s.pbxs[0].Emit(p.GuessAccount(`4"} 1` + "\\n" + `amifend_owned{x="`)...)
	}
	r.Wait(t, "banned", "203.0.113.6")

	var page string
	eventually(t, "a scrape shows the ban", func() bool {
		page, _ = scrape(t, address, "")
		return strings.Contains(page, "\namifend_running_bans{scope=\"all\"} 1\n")
	})
	for _, line := range []string{
		`amifend_server_up{server="pbx1"} 1`, `amifend_server_up{server="pbx2"} 0`,
		`amifend_server_events_total{kind="InvalidAccountID",server="pbx1"} 5`,
		`amifend_verdicts_total{rule="proven_score"} 1`, `amifend_bans_total{scope="all"} 1`,
		`amifend_dropped_packets_total{scope="all"} 0`, `amifend_observing 0`,
		`amifend_event_to_kernel_seconds_count 1`, `amifend_firewall_up 1`, `amifend_engine_up 1`,
	} {
		if !strings.Contains(page, "\n"+line+"\n") {
			t.Errorf("the page lacks %s", line)
		}
	}
	for _, text := range []string{pbxSecret, "Wr0ng", "203.0.113", "owned"} {
		if strings.Contains(page, text) {
			t.Errorf("the page has %q", text)
		}
	}
	if t.Failed() {
		t.Log(page)
	}
}

// What a dry run only observes has metrics of its own.
func TestScrapeOfADryRun(t *testing.T) {
	s := newSite(t, 1)
	s.config.Observe = true
	s.config.Metrics = config.Metrics{Listen: "127.0.0.1:0"}
	r := s.startUp(t)
	address := r.Wait(t, metricsServed, "").Text("address")
	logins(t, s.pbxs[0], 1)
	guess(s.pbxs[0], "203.0.113.6:5062", "TCP", 5)
	r.Wait(t, "would ban", "203.0.113.6")

	var page string
	eventually(t, "a scrape shows the ban", func() bool {
		page, _ = scrape(t, address, "")
		return strings.Contains(page, "\namifend_observed_running_bans{scope=\"all\"} 1\n")
	})
	for _, line := range []string{
		"amifend_observing 1", `amifend_observed_bans_total{scope="all"} 1`,
		`amifend_bans_total{scope="all"} 0`, `amifend_running_bans{scope="all"} 0`,
	} {
		if !strings.Contains(page, "\n"+line+"\n") {
			t.Errorf("the page lacks %s", line)
		}
	}
	if strings.Contains(page, "amifend_event_to_kernel_seconds") {
		t.Error("the page tells of bans that the kernel took")
	}
}

// A reload moves the metrics, asks for a password from then on, and ends them.
func TestReloadOfMetrics(t *testing.T) {
	r := startReloading(t, 1)
	r.change(func(c *config.Config) { c.Metrics.Listen = "127.0.0.1:0" })
	if out := r.reload(t); !slices.Equal(out.Changed, []string{"[metrics]"}) || len(out.Restart) != 0 {
		t.Fatalf("%+v", out)
	}
	first := r.waitFor(metricsServed, "").Text("address")
	if page, code := scrape(t, first, ""); code != http.StatusOK {
		t.Fatalf("%d %s", code, page)
	}

	// The port of the first server stays taken if it is not closed before the second one listens.
	r.change(func(c *config.Config) {
		c.Metrics = config.Metrics{
			Listen: first, Username: "prometheus", Password: ami.NewSecret("n3w"),
		}
	})
	r.reload(t)
	eventually(t, "the password is asked for", func() bool {
		_, code := scrape(t, first, "")
		return code == http.StatusUnauthorized
	})
	if page, code := scrape(t, first, "n3w"); code != http.StatusOK {
		t.Errorf("%d %s", code, page)
	}
	if out := r.reload(t); len(out.Changed) != 0 {
		t.Errorf("changed without a change: %v", out.Changed)
	}

	r.change(func(*config.Config) {})
	r.reload(t)
	eventually(t, "nothing is served any more", func() bool {
		_, code := scrape(t, first, "n3w")
		return code == 0
	})
}

// An address that is taken is a warning of status, and nothing else suffers.
func TestMetricsThatCannotBeServed(t *testing.T) {
	s := newSite(t, 1)
	s.config.Metrics.Listen = s.pbxs[0].Addr()
	c := s.withControl(t)
	r := s.start(t)
	r.Wait(t, "metrics cannot be served", "")
	st, err := c.Status(t.Context())
	if err != nil || !slices.ContainsFunc(st.Health, func(w control.Warning) bool {
		return w.About == "metrics"
	}) {
		t.Errorf("%v, %+v", err, st.Health)
	}
}
