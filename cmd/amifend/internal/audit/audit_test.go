package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/audit/finding"
	"github.com/amifend/amifend/cmd/amifend/internal/audit/probe"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
)

func kindsOf(all []finding.Finding) (out []string) {
	for _, f := range all {
		out = append(out, f.Kind)
	}
	slices.Sort(out)
	return out
}

// What the facts of a server mean.
func TestJudge(t *testing.T) {
	now := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	far := netip.MustParseAddrPort("192.0.2.10:5038")
	server := config.Server{Name: "office", Host: "192.0.2.10", Address: far.String(), Username: "amifend"}
	challenged := probe.Answer{Transport: "tls", Port: 5061, Status: 401, Challenge: "realm=x"}
	fine := probe.Facts{SIP: []probe.Answer{challenged}, Stranger: challenged, Known: challenged}
	for _, tt := range []struct {
		name   string
		change func(*probe.Facts, *config.Server)
		want   string
	}{
		{"nothing", func(*probe.Facts, *config.Server) {}, ""},
		{"plain AMI", func(_ *probe.Facts, s *config.Server) { s.TLS = nil }, "ami_without_tls"},
		{
			"all addresses", func(f *probe.Facts, _ *config.Server) { f.AMI.Everywhere = true },
			"ami_everywhere",
		},
		{
			"beside", func(f *probe.Facts, _ *config.Server) { f.AMI.Plain = true },
			"ami_plain_beside_tls",
		},
		{
			"rights", func(f *probe.Facts, _ *config.Server) {
				f.AMI.Actions = []ami.Action{{Name: "Ping"}, {Name: "Getvar", Privilege: "call"}}
			}, "manager_user_rights",
		},
		{
			"a wrong login proves nothing", func(f *probe.Facts, _ *config.Server) {
				f.AMI = probe.AMI{Everywhere: true, Err: errors.New("refused")}
			}, "",
		},
		{"guest", func(f *probe.Facts, _ *config.Server) { f.Stranger.Status = 404 }, "guests_served"},
		{"guest, 400", func(f *probe.Facts, _ *config.Server) { f.Stranger.Status = 400 }, "guests_served"},
		{
			"guest, 400, no account", func(f *probe.Facts, _ *config.Server) {
				f.Stranger.Status, f.Known.Status, f.SIP[0].Status = 400, 0, 200
			}, "guests_served",
		},
		{
			"a proxy, 400, no account", func(f *probe.Facts, _ *config.Server) {
				f.Stranger.Status, f.Known.Status = 400, 0
			}, "",
		},
		{
			"both 400", func(f *probe.Facts, _ *config.Server) {
				f.Stranger.Status, f.Known.Status = 400, 400
			}, "",
		},
		{
			"told apart", func(f *probe.Facts, _ *config.Server) { f.Stranger.Status = 403 },
			"accounts_enumerable",
		},
		{
			"realm", func(f *probe.Facts, _ *config.Server) { f.Stranger.Challenge = "realm=y" },
			"accounts_enumerable",
		},
		{"no account", func(f *probe.Facts, _ *config.Server) { f.Known.Status = 0 }, ""},
		{
			"no TLS", func(f *probe.Facts, _ *config.Server) {
				f.SIP = []probe.Answer{{Transport: "udp", Port: 5060, Status: 401}}
			}, "sip_without_tls",
		},
		{
			"version", func(f *probe.Facts, _ *config.Server) { f.SIP[0].Server = "Asterisk PBX 22.10.0" },
			"version_shown",
		},
		{
			"another product", func(f *probe.Facts, _ *config.Server) { f.SIP[0].Server = "Kamailio (5.7.4)" },
			"",
		},
		{
			"web", func(f *probe.Facts, _ *config.Server) {
				f.HTTP = []probe.Page{{Port: 8088, StatusPage: true, WebManager: true}}
			}, "http_status web_manager_answers",
		},
		{
			"TLS", func(f *probe.Facts, _ *config.Server) {
				f.TLS = []probe.Handshake{
					{What: "SIP", Port: 5061, Answers: true, Old: true, NotAfter: now.AddDate(0, 0, 3)},
					{What: "AMI", Port: 5039, Answers: true, NotAfter: now.AddDate(1, 0, 0)},
					{What: "HTTPS", Port: 8089},
				}
			}, "certificate tls_old",
		},
	} {
		f, s := fine, server
		f.SIP = slices.Clone(fine.SIP)
		s.TLS = &config.TLS{}
		tt.change(&f, &s)
		if got := strings.Join(kindsOf(judge(s, f, now)), " "); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// Without a daemon the section says so, and nothing fails.
func TestWithoutDaemon(t *testing.T) {
	for _, d := range []Daemon{nil, daemonOf{err: errors.New("no daemon serves the socket")}} {
		r, err := Run(t.Context(), Options{Daemon: d})
		if err != nil || r.Exit() != ExitFine || len(r.Findings) != 0 {
			t.Errorf("%+v, %v", r, err)
		}
		if s := r.Sections[1]; s.Looked || !strings.Contains(fmt.Sprint(s.Missed), "what the daemon") {
			t.Errorf("%+v", s)
		}
	}
}

// The versions that servers show, or that the operator names.
func TestVersion(t *testing.T) {
	changelog := filepath.Join(t.TempDir(), "changelog")
	err := os.WriteFile(changelog, []byte("* Fix CVE-2022-42706\n"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	for version, want := range map[string]string{
		"Asterisk 22.10.1":                         "",
		"Asterisk 22.10.0":                         "advisories",
		"Asterisk 18.26.4":                         "branch_ended",
		"Asterisk 16.28.0~dfsg-0+deb11u4":          "ask_distribution branch_ended",
		"Asterisk 22.10.1+dfsg+~cs6.17.60671434-1": "",
		"Asterisk certified-20.7-cert11":           "",
		"Asterisk PBX":                             "",
		"Asterisk 20.8.0 built by root @ x on x86": "advisories",
	} {
		r, err := Run(t.Context(), Options{
			Offline: true, Version: version, PBXConfig: t.TempDir(), Changelog: changelog,
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(kindsOf(r.Findings), " "); got != want {
			t.Errorf("%s: got %q, want %q", version, got, want)
		}
		if strings.HasPrefix(version, "Asterisk 16.28") {
			if notes := fmt.Sprint(r.Sections[3].Notes); !strings.Contains(notes, "names 1 of ") {
				t.Errorf("the changelog was not read: %s", notes)
			}
		}
		if strings.HasPrefix(version, "Asterisk 20.8.0") && r.Findings[0].Severity != finding.Critical {
			t.Errorf("%+v", r.Findings[0])
		}
	}
}

// The changelog of a package says which fixes it has, in the forms of Debian and of RPM. A file that
// was named and is not there is missed; one that was only guessed is not.
func TestChangelog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "changelog")
	text := "* Tue Jan 09 2024 A <a@example.com> - 18.12.1-1.el9.2\n- Fixes GHSA-98rc-4j27-74hh " +
		"(CVE-2023-49786)\n- cve-2022-42705: use after free\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		named, own, config string
		read               bool
		missed             int
	}{
		{named: path, read: true},
		{own: path, config: t.TempDir(), read: true},
		{own: path}, // the version may be of another machine
		{own: path + ".none", config: t.TempDir()},
		{named: path + ".none", missed: 1},
	} {
		r, err := Run(t.Context(), Options{
			Offline: true, Version: "Asterisk 18.12.1-1.el9.2", Changelog: tt.named, OwnChangelog: tt.own,
			PBXConfig: tt.config,
		})
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(r.Findings, func(f finding.Finding) bool {
			return f.Kind == "ask_distribution"
		})
		s := r.Sections[3]
		if i < 0 || strings.Contains(r.Findings[i].Seen, "changelog names 2 of them") != tt.read ||
			len(s.Missed) != tt.missed {
			t.Errorf("%+v: %+v, %+v", tt, r.Findings, s)
		}
	}
}

// play starts a PBX that speaks AMI, and nothing else.
func play(t *testing.T, b amitest.Behaviour) *config.Config {
	t.Helper()
	b.Commands = []string{"Ping: Keepalive command.  (Priv: <none>)"}
	pbx := amitest.Run(t, amitest.Config{Username: "amifend", Secret: "zq-the-secret", Behaviour: b})
	return &config.Config{Servers: []config.Server{{
		Name: "office", Address: pbx.Addr(), Host: "127.0.0.1", Username: "amifend",
		Secret: ami.NewSecret("zq-the-secret"),
	}}}
}

// The probes are named before they are sent, and nothing is sent where nothing answers.
func TestOutside(t *testing.T) {
	c := play(t, amitest.Behaviour{})
	var plan bytes.Buffer
	r, err := Run(t.Context(), Options{Config: c, Plan: &plan})
	if err != nil {
		t.Fatal(err)
	}
	// amitest listens on all addresses, as Asterisk does without bindaddr.
	if got := kindsOf(r.Findings); !slices.Equal(got, []string{"ami_everywhere"}) ||
		!r.Sections[0].Looked || r.Exit() != ExitFindings {
		t.Errorf("%+v", r)
	}
	if len(r.Sections[0].Missed) != 1 {
		t.Errorf("no SIP port was given: %q", r.Sections[0].Missed)
	}
	if !strings.Contains(plan.String(), "amifend asks office (127.0.0.1), from 127.0.0.1:\n") {
		t.Errorf("plan:\n%s", plan.String())
	}
	if notes := fmt.Sprint(r.Sections[3].Notes); !strings.Contains(notes, "Asterisk 22, by the banner") {
		t.Errorf("%s", notes)
	}
	out, err := json.Marshal(r)
	if err != nil || strings.Contains(string(out)+plan.String(), "zq-the-secret") {
		t.Errorf("the secret is in %s (%v)", out, err)
	}
}

// A wrong secret is told, and the other sections go on.
func TestOutsideWrongSecret(t *testing.T) {
	c := play(t, amitest.Behaviour{})
	c.Servers[0].Secret = ami.NewSecret("zq-wrong")
	r, err := Run(t.Context(), Options{Config: c})
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(r.Sections[0].Missed)
	if !strings.Contains(text, "AMI:") || r.Exit() != ExitBlind || strings.Contains(text, "zq-") {
		t.Errorf("%+v", r)
	}
}

// Nothing but the login is sent from an address that amifend could ban.
func TestVantage(t *testing.T) {
	local, far := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.77")
	watcher := protect.New(protect.Config{Servers: []protect.Server{{Name: "office"}}})
	seenAs := func(a netip.Addr) (m probe.AMI) {
		m.Report.Own = netip.AddrPortFrom(a, 40000)
		return m
	}
	ctx := t.Context()
	if err := vantage(ctx, watcher, "office", local, probe.AMI{}); err != nil {
		t.Errorf("loopback: %v", err)
	}
	if err := vantage(ctx, watcher, "office", far, probe.AMI{}); err == nil {
		t.Error("sent from an address that the PBX may see otherwise")
	}
	if err := vantage(ctx, watcher, "office", local, seenAs(far)); err == nil {
		t.Error("sent, although the PBX sees an address that is not protected")
	}

	// The daemon learns the same address from its own login.
	watcher.Learn("office", far, protect.OwnAddress)
	if err := vantage(ctx, watcher, "office", local, seenAs(far)); err != nil {
		t.Errorf("behind NAT: %v", err)
	}
	if err := vantage(ctx, watcher, "other", local, seenAs(far)); err == nil {
		t.Error("an address that another server named counts")
	}
}

// A name that no server has is told.
func TestNoSuchServer(t *testing.T) {
	r, err := Run(t.Context(), Options{Config: play(t, amitest.Behaviour{}), Server: "elsewhere"})
	if err != nil || r.Exit() != ExitBlind {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestExit(t *testing.T) {
	low, medium := finding.New("maxcalls", "", "x"), finding.New("strict_rtp", "", "x")
	missed := Section{Wanted: true, Missed: []string{"x"}}
	for _, tt := range []struct {
		r    Result
		want int
	}{
		{Result{}, ExitFine},
		{Result{Findings: []finding.Finding{low}}, ExitFine},
		{Result{Findings: []finding.Finding{low, medium}}, ExitFindings},
		{Result{Findings: []finding.Finding{low}, Sections: []Section{missed}}, ExitBlind},
		{Result{Findings: []finding.Finding{medium}, Sections: []Section{missed}}, ExitFindings},
		{Result{Sections: []Section{{Missed: []string{"x"}}}}, ExitFine},
	} {
		if got := tt.r.Exit(); got != tt.want {
			t.Errorf("%+v: %d, want %d", tt.r, got, tt.want)
		}
	}
}

// sample returns a result with all kinds, and with text of others.
func sample(t *testing.T) Result {
	t.Helper()
	r := Result{At: time.Unix(0, 0), Advisories: "2026-08-05", Sections: []Section{
		{Depth: finding.Config, Looked: true, Notes: []string{"/etc/asterisk"}},
		{Depth: finding.Seen, Missed: []string{"no daemon"}},
	}}
	for _, k := range finding.Kinds() {
		r.Findings = append(r.Findings, finding.New(k.Name, "what was seen", "a place").Of("office"))
	}
	evil := finding.New("guests", "\x1b[2J<script>", "<b>x</b>", "é", strings.Repeat("a", 1000))
	for i := range 60 {
		evil.Places = append(evil.Places, fmt.Sprintf("place %d", i))
	}
	r.Findings = append(r.Findings, evil)
	finding.Sort(r.Findings)
	return r
}

// No line is wider than the screen, unless one word is, and nothing changes the terminal.
func TestText(t *testing.T) {
	r := sample(t)
	var b bytes.Buffer
	if err := WriteText(&b, r, screen.Screen{Width: 80}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		line = strings.TrimSuffix(line, "\n")
		if len([]rune(line)) > 80 && strings.Contains(strings.TrimSpace(line[10:]), " ") {
			t.Errorf("too wide: %q", line)
		}
		if strings.ContainsRune(line, '\x1b') {
			t.Errorf("not printable: %q", line)
		}
	}
	for _, want := range []string{
		"result: ", "critical  office: ", "57 more (--json lists all)", "not looked at", "no daemon",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing", want)
		}
	}
}

// The page escapes what others wrote, and loads nothing.
func TestHTML(t *testing.T) {
	var b bytes.Buffer
	if err := WriteHTML(&b, sample(t)); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, bad := range []string{"<script", "<b>x", "src=", "href=", "@import", "url("} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	for _, want := range []string{"&lt;b&gt;x", "23 more", "no daemon", "what was seen", "2026-08-05"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing", want)
		}
	}
}

func TestSummarize(t *testing.T) {
	s := Summarize(sample(t))
	if len(s.Worst) != mostWorst || s.Serious < 40 || len(s.Missed) != 1 || len(s.Counts) != 4 ||
		!strings.HasPrefix(s.Worst[0], "critical: ") {
		t.Errorf("%+v", s)
	}
	if empty := Summarize(Result{}); empty.Verdict != "nothing found" || empty.Worst == nil {
		t.Errorf("%+v", empty)
	}
}

// The JSON of a result can be read again.
func TestJSON(t *testing.T) {
	r := sample(t)
	out, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var again Result
	if err := json.Unmarshal(out, &again); err != nil || len(again.Findings) != len(r.Findings) ||
		again.Findings[0].Severity != finding.Critical {
		t.Errorf("%v: %+v", err, again.Findings[:1])
	}
}
