package metrics

import (
	"context"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

var update = flag.Bool("update", false, "write testdata/page.txt anew")

// scrape returns the page, as Prometheus gets it.
func (o *office) scrape(t testing.TB) string {
	t.Helper()
	s := New(config.Metrics{}, nil, o.Sources)
	w := httptest.NewRecorder()
	s.handler(config.Metrics{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// families returns the metrics of a page by name.
func families(t testing.TB, page string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	out, err := parser.TextToMetricFamilies(strings.NewReader(page))
	if err != nil {
		t.Fatalf("not a page of metrics: %v\n%s", err, page)
	}
	return out
}

// value returns the value of a metric with these values of labels, in the order of their names.
func value(t testing.TB, page, name string, labels ...string) float64 {
	t.Helper()
	for _, m := range families(t, page)["amifend_"+name].GetMetric() {
		var got []string
		for _, l := range m.GetLabel() {
			got = append(got, l.GetValue())
		}
		if slices.Equal(got, labels) {
			return m.GetGauge().GetValue() + m.GetCounter().GetValue() +
				float64(m.GetHistogram().GetSampleCount())
		}
	}
	t.Fatalf("no amifend_%s of %q:\n%s", name, labels, page)
	return 0
}

// The page has these metrics, with these types and labels. Names are an interface: a change of one
// goes into CHANGELOG.md.
func TestPageIsAsDocumented(t *testing.T) {
	o := newOffice(t, "office", "branch")
	o.run(t)
	o.Enforcer.SetAllow(nil)
	page := o.scrape(t)

	// Values and the version of Go change; what the libraries count of the process is theirs.
	var lines []string
	version := regexp.MustCompile(`goversion="[^"]*"`)
	series := regexp.MustCompile(`^(amifend_[^ {]+(?:\{.*\})?) \S+$`)
	for line := range strings.Lines(page) {
		line = strings.TrimSpace(line)
		if m := series.FindStringSubmatch(line); m != nil {
			lines = append(lines, version.ReplaceAllString(m[1], `goversion="…"`))
		} else if strings.Contains(line, " amifend_") {
			lines = append(lines, line)
		} else if !regexp.MustCompile(`^(# \w+ )?(go|process)_`).MatchString(line) {
			t.Errorf("a line of nobody: %s", line)
		}
	}
	got := strings.Join(lines, "\n") + "\n"

	const golden = "testdata/page.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the page is\n%s\nand not as %s: if that is intended, run go test "+
			"./cmd/amifend/internal/metrics -update, and say so in CHANGELOG.md", got, golden)
	}

	// Everything that is described is there, or belongs to what this office has not.
	shown := families(t, page)
	for name := range all() {
		absent := strings.HasPrefix(name, "server_lag") || strings.HasPrefix(name, "server_clock") ||
			strings.HasPrefix(name, "server_round")
		if (shown["amifend_"+name] == nil) != absent {
			t.Errorf("amifend_%s: shown %t, want %t", name, !absent, absent)
		}
	}
}

// docs/metrics.md has every metric.
func TestEveryMetricIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range all() {
		if !strings.Contains(string(text), "`amifend_"+name+"`") {
			t.Errorf("docs/metrics.md lacks amifend_%s", name)
		}
	}
	named := regexp.MustCompile("`amifend_([a-z_]+)`")
	for _, name := range named.FindAllStringSubmatch(string(text), -1) {
		if _, ok := all()[name[1]]; !ok {
			t.Errorf("docs/metrics.md has %s, which there is not", name[0])
		}
	}
}

// A name in the config that looks like metrics is one label. What attackers send is none: neither
// their address, nor the account that they guess, nor a kind of alert of a journal.
func TestHostileNamesMakeNoLabels(t *testing.T) {
	const evil = `x"} 1 amifend_evil{server="y\` + "\n# TYPE evil gauge"
	const account = `9"} 1 amifend_owned 1`
	o := newOffice(t, evil, "office")
	o.run(t)
	o.guess("203.0.113.6", account)
	o.Book.Event(alerts.Alert{
		Kind: account, Source: "203.0.113.7", Account: ami.Quote([]byte(account)), Text: account,
	})
	eventually(t, "a ban", func() bool { return o.Enforcer.Counts().Banned[firewall.ScopeAll] == 1 })
	page := o.scrape(t)

	known := map[string][]string{"server": {evil, "office"}, "feed": {"mine"}, "kind": {
		"protected", "shielded", "shared", "excused", "banned", "folded", "source", "prefix", "request",
		alerts.OtherKind,
	}}
	for _, r := range policy.Rules() {
		known["rule"] = append(known["rule"], r.Name)
	}
	for _, s := range bans.Scopes() {
		known["scope"] = append(known["scope"], s.String())
	}
	for _, k := range alerts.Kinds() {
		known["kind"] = append(known["kind"], k.Name)
	}
	for k := range ami.NumKinds {
		known["kind"] = append(known["kind"], ami.Kind(k).String())
	}
	known["limit"] = []string{"source", "strangers"}
	known["version"], known["goversion"] = []string{"1.2.3"}, nil

	for name, f := range families(t, page) {
		short, ours := strings.CutPrefix(name, "amifend_")
		if _, ok := all()[short]; ours != ok || strings.HasPrefix(name, "evil") {
			t.Errorf("a metric %s", name)
		}
		if !ours {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				values, ok := known[l.GetName()]
				if !ok || values != nil && !slices.Contains(values, l.GetValue()) {
					t.Errorf("%s has the label %s=%q", name, l.GetName(), l.GetValue())
				}
			}
		}
	}

	for _, text := range []string{"owned", "203.0.113", "s3cret"} {
		if strings.Contains(page, text) {
			t.Errorf("the page has %q", text)
		}
	}
	if value(t, page, "alerts_total", alerts.OtherKind) != 1 || value(t, page, "server_up", evil) != 0 {
		t.Error("what nobody knows is not counted")
	}
}

// An attack moves the numbers on its way from the event to the kernel.
func TestNumbersOfAnAttack(t *testing.T) {
	o := newOffice(t, "office")
	o.run(t)
	o.guess("203.0.113.6", "100")
	eventually(t, "all is judged, and the kernel has the ban", func() bool {
		return o.Judge.Counts().Way.Count == 8 && o.Enforcer.Counts().Banned[firewall.ScopeAll] == 1
	})
	o.kernel.Set(func() {
		for k := range o.kernel.Elems {
			o.kernel.Packets[k] = 5
		}
	})
	o.Book.Event(alerts.Alert{Kind: "compromised_account"})
	o.Book.Raise("x", alerts.Alert{Kind: alerts.ServerDown}, alerts.Span{})

	page := o.scrape(t)
	for _, tt := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"observations_total", nil, 8},
		{"attempts_total", nil, 7},
		{"attempts_not_counted_total", []string{"banned"}, 1},
		{"verdicts_total", []string{"proven_score"}, 1},
		{"verdicts_total", []string{"score"}, 0},
		{"bans_total", []string{"all"}, 1},
		{"running_bans", []string{"all"}, 1},
		{"observed_bans_total", []string{"all"}, 0},
		{"dropped_packets_total", []string{"all"}, 5},
		{"dropped_bytes_total", []string{"all"}, 500},
		{"event_to_verdict_seconds", nil, 8},
		{"event_to_kernel_seconds", nil, 1},
		{"alerts_total", []string{"compromised_account"}, 1},
		{"open_conditions", []string{"server_down"}, 1},
		{"engine_up", nil, 1},
		{"firewall_up", nil, 1},
		{"server_up", []string{"office"}, 0},
		{"bans_limit", nil, 1000},
	} {
		if got := value(t, page, tt.name, tt.labels...); got != tt.want {
			t.Errorf("%s %q: %v, want %v", tt.name, tt.labels, got, tt.want)
		}
	}
}

// While the kernel hangs, a scrape answers, and shows what is known.
func TestScrapeWhileTheKernelHangs(t *testing.T) {
	o := newOffice(t, "office")
	o.kernel.Gate = make(chan struct{})
	o.run(t)
	o.guess("203.0.113.6", "100")
	eventually(t, "the enforcer hangs", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err := o.Enforcer.Status(ctx)
		return err != nil && o.Judge.Counts().Way.Count == 8
	})

	page := o.scrape(t)
	if value(t, page, "firewall_up") != 0 || value(t, page, "engine_up") != 1 ||
		value(t, page, "observations_total") != 8 || value(t, page, "bans_total", "all") != 0 {
		t.Errorf("while it hangs:\n%s", page)
	}
	if _, ok := families(t, page)["amifend_dropped_packets_total"]; ok {
		t.Error("nobody knows what was dropped, and the page says so")
	}

	close(o.kernel.Gate)
	eventually(t, "the kernel is well again", func() bool {
		page := o.scrape(t)
		return value(t, page, "firewall_up") == 1 && value(t, page, "bans_total", "all") == 1
	})
}

// However many scrape, the owners are asked once a second.
func TestAnswersAreUsedForASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t, "office")
		o.run(t)
		a := asker{from: o.Sources}
		first := a.ask()
		o.guess("203.0.113.6", "100")
		synctest.Wait()

		if got := a.ask(); got.engine.Observed != first.engine.Observed {
			t.Error("asked again at once")
		}
		time.Sleep(time.Second)
		if got := a.ask(); got.engine.Observed != 8 || !got.engineUp || got.firewall.Bans != 1 {
			t.Errorf("a second later: %+v", got)
		}
	})
}

// A judge that hangs keeps its last numbers, and is reported as down.
func TestScrapeWhileTheEngineHangs(t *testing.T) {
	o := newOffice(t, "office") // its goroutines do not run
	page := o.scrape(t)
	if value(t, page, "engine_up") != 0 || value(t, page, "firewall_up") != 0 {
		t.Errorf("nobody answers:\n%s", page)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}
