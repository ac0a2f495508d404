package metrics

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

// examples is the folder of the files that users copy.
const examples = "../../../../examples/"

// promtool runs Debian's promtool. CI has it, see .ci/install.
func promtool(t *testing.T, stdin string, args ...string) {
	t.Helper()
	program, err := exec.LookPath("promtool")
	if err != nil {
		program = filepath.Join(cmp.Or(os.Getenv("AMIFEND_LAB_CACHE"), "/var/cache/amifend"),
			"prometheus/usr/bin/promtool")
		if _, err := os.Stat(program); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("there is no promtool: .ci/install unpacks it as root: %v", err)
			}
			t.Skip("there is no promtool: sudo .ci/install unpacks it")
		}
	}

	cmd := exec.Command(program, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Prometheus takes the config and the rules, and the rules fire when they should.
func TestPrometheusTakesTheExamples(t *testing.T) {
	promtool(t, "", "check", "config", examples+"prometheus/prometheus.yml")

	rules, err := filepath.Abs(examples + "prometheus/amifend.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	played := filepath.Join(t.TempDir(), "alerts_test.yml")
	text := strings.Replace(read(t, "testdata/alerts_test.yml"), "RULES", fmt.Sprintf("%q", rules), 1)
	if err := os.WriteFile(played, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "", "test", "rules", played)
}

// The names of the page follow the conventions of Prometheus.
func TestPageFollowsTheConventions(t *testing.T) {
	o := newOffice(t, "office")
	o.run(t)
	var ours strings.Builder
	for line := range strings.Lines(o.scrape(t)) {
		if strings.Contains(line, "amifend_") {
			ours.WriteString(line)
		}
	}
	promtool(t, ours.String(), "check", "metrics")
}

// queries returns the queries of the dashboard.
func queries(t *testing.T) (out []string) {
	t.Helper()
	var dashboard struct {
		UID    string
		Panels []struct {
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, examples+"grafana/amifend.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	if dashboard.UID == "" || len(dashboard.Panels) < 10 {
		t.Fatalf("not a dashboard: %+v", dashboard)
	}

	taken := map[[2]int]string{}
	for _, p := range dashboard.Panels {
		if len(p.Targets) == 0 {
			t.Errorf("%s: no query", p.Title)
		}
		for _, q := range p.Targets {
			out = append(out, q.Expr)
		}

		// No panel lies on another one, or beyond the 24 columns.
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s lies on %q", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
	return out
}

// Prometheus takes the queries of the dashboard.
func TestPrometheusTakesTheQueriesOfTheDashboard(t *testing.T) {
	variables := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*")
	text := "groups: [{name: dashboard, rules: [\n"
	for i, q := range queries(t) {
		text += fmt.Sprintf("  {record: r%d, expr: %q},\n", i, variables.Replace(q))
	}
	path := filepath.Join(t.TempDir(), "queries.yml")
	if err := os.WriteFile(path, []byte(text+"]}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "", "check", "rules", path)
}

// Rules and dashboard name only metrics, labels and values of labels that there are.
func TestExamplesNameWhatThereIs(t *testing.T) {
	o := newOffice(t, "office")
	o.run(t)
	page := o.scrape(t)
	shown := families(t, page)
	for name, m := range all() { // those of a session that is up
		if shown["amifend_"+name] == nil {
			shown["amifend_"+name] = &dto.MetricFamily{}
		}
		if m.typ == hist {
			for _, part := range []string{"_bucket", "_sum", "_count"} {
				shown["amifend_"+name+part] = shown["amifend_"+name]
			}
		}
	}

	texts := map[string]string{
		"rules": regexp.MustCompile(`(?m)^\s*(#|- alert:|summary:|action:).*$`).ReplaceAllString(
			read(t, examples+"prometheus/amifend.rules.yml"), ""),
		"dashboard": strings.Join(queries(t), "\n"),
	}
	metricName := regexp.MustCompile(`\b(?:amifend|process|go)_[a-z_]+`)
	kindValue := regexp.MustCompile(`kind=~?"([^"]+)"`)
	for what, text := range texts {
		found := metricName.FindAllString(text, -1)
		if len(found) < 15 {
			t.Errorf("%s: only %d metrics: the test looks at the wrong thing", what, len(found))
		}
		for _, name := range found {
			if shown[name] == nil {
				t.Errorf("%s: there is no %s", what, name)
			}
		}

		for _, m := range kindValue.FindAllStringSubmatch(text, -1) {
			for value := range strings.SplitSeq(m[1], "|") {
				if !strings.Contains(page, `kind="`+value+`"`) {
					t.Errorf("%s: there is no kind %s", what, value)
				}
			}
		}
	}
}
