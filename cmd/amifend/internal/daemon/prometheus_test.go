package daemon

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
)

// examplesPrometheus is the folder of the files that users copy.
const examplesPrometheus = "../../../../examples/prometheus/"

// prometheus runs Debian's Prometheus with the config and the rules of the examples until the test
// ends, and returns its address. It scrapes and judges once a second.
func prometheus(t *testing.T, target, password string) string {
	t.Helper()
	program := filepath.Join(cmp.Or(os.Getenv("AMIFEND_LAB_CACHE"), "/var/cache/amifend"),
		"prometheus/usr/bin/prometheus")
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("there is no Prometheus: .ci/install unpacks it as root: %v", err)
		}
		t.Skip("there is no Prometheus: sudo .ci/install unpacks it")
	}

	dir := t.TempDir()
	text, err := os.ReadFile(examplesPrometheus + "prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := os.ReadFile(examplesPrometheus + "amifend.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.NewReplacer("interval: 30s", "interval: 1s", "127.0.0.1:9797", target,
		"    # basic_auth:\n", "    basic_auth:\n", "    #   username:", "      username:",
		"    #   password_file: /etc/prometheus/amifend-password", "      password_file: password",
	).Replace(string(text))
	for name, text := range map[string]string{
		"prometheus.yml": changed, "amifend.rules.yml": string(rules), "password": password + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()

	var out bytes.Buffer
	cmd := exec.Command(program, "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("Prometheus says:\n%s", &out)
		}
	})
	return address
}

// ask decodes an answer of Prometheus' API.
func ask(t *testing.T, url string, to any) bool {
	t.Helper()
	web := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := web.Get(url)
	if err != nil {
		return false // it is starting
	}
	defer res.Body.Close()
	return json.NewDecoder(res.Body).Decode(to) == nil
}

// Debian's Prometheus scrapes amifend with the config of the examples, and after an account was
// compromised it fires the alert.
func TestPrometheusScrapesAndFires(t *testing.T) {
	s := newSite(t, 1)
	s.config.Metrics = config.Metrics{
		Listen: "127.0.0.1:0", Username: "prometheus", Password: ami.NewSecret("scr4pe"),
	}
	r := s.start(t)
	target := r.Wait(t, metricsServed, "").Text("address")
	address := prometheus(t, target, "scr4pe")

	patiently(t, "the first scrape", func() bool {
		var got struct {
			Data struct {
				ActiveTargets []struct{ Health, LastError string }
			}
		}
		return ask(t, "http://"+address+"/api/v1/targets", &got) && len(got.Data.ActiveTargets) == 1 &&
			got.Data.ActiveTargets[0].Health == "up"
	})
	firing := func() (names []string) {
		var got struct {
			Data struct {
				Alerts []struct {
					State  string
					Labels map[string]string
				}
			}
		}
		ask(t, "http://"+address+"/api/v1/alerts", &got)
		for _, a := range got.Data.Alerts {
			if a.State == "firing" {
				names = append(names, a.Labels["alertname"])
			}
		}
		return names
	}
	if names := firing(); len(names) != 0 {
		t.Errorf("before the attack: %q", names)
	}

	// Somebody guesses a password, and finds it.
	p := amitest.NewPeer("203.0.113.6:5062")
	p.Transport = "TCP"
	for range 6 {
		s.pbxs[0].Emit(p.GuessPassword("100")...)
	}
	s.pbxs[0].Emit(p.Refresh("100")...)
	if l := r.Wait(t, "alert", "203.0.113.6"); l.Text("kind") != "compromised_account" {
		t.Errorf("said %v", l)
	}
	patiently(t, "the alert fires", func() bool {
		return slices.Contains(firing(), "AmifendCompromisedAccount")
	})
	if names := firing(); len(names) != 1 {
		t.Errorf("after the attack: %q", names)
	}

	var got struct {
		Data struct{ Result []struct{ Value [2]any } }
	}
	query := "http://" + address + "/api/v1/query?query=sum(amifend_bans_total)"
	if !ask(t, query, &got) || len(got.Data.Result) != 1 ||
		fmt.Sprint(got.Data.Result[0].Value[1]) != "1" {
		t.Errorf("bans: %+v", got)
	}
}

// patiently waits a minute: Prometheus starts slowly on a busy machine, and scrapes once a second.
func patiently(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}
