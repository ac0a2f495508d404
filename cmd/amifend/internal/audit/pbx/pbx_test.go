package pbx

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/amifend/amifend/cmd/amifend/internal/audit/finding"
)

var update = flag.Bool("update", false, "write the golden files")

// unpack writes the files of an archive into a folder that only the owner gets into.
func unpack(t *testing.T, path, below string) string {
	t.Helper()
	a, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, f := range a.Files {
		name, ok := strings.CutPrefix(f.Name, below)
		if !ok {
			continue
		}
		write(t, filepath.Join(dir, name), string(f.Data))
	}
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func look(t *testing.T, dir string) Result {
	t.Helper()
	r, err := Look(t.Context(), Options{Dir: dir, Users: []string{"amifend"}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// kindsOf returns the kinds of findings with their places.
func kindsOf(r Result) (kinds []string) {
	for _, f := range r.Findings {
		kinds = append(kinds, f.Kind)
	}
	slices.Sort(kinds)
	return kinds
}

// Each weakness of a config that is bad on purpose is found, once and at one place.
func TestBadConfigs(t *testing.T) {
	for file, want := range map[string][]string{
		"bad-pjsip": {
			"call_events", "dialplan_injection", "dialplan_shell", "endpoint_acl", "event_filter",
			"guests", "guests_reach_trunk", "http_plain", "http_status_on", "iax",
			"identifier_order", "live_dangerously", "manager_acl", "manager_everywhere",
			"manager_rights", "maxcalls", "password_default", "password_from_name",
			"password_none", "password_shared", "password_weak", "rtp_timeout", "strict_rtp",
			"tls_weak", "transfer_by_strangers", "trunk_by_name", "voicemail_pin", "web_manager",
		},
		"bad-chansip": {
			"accounts_told_apart", "auto_create_peers", "chan_sip", "dialplan_injection",
			"endpoint_acl", "guests", "guests_reach_trunk", "password_default",
			"password_from_name", "password_none", "rtp_timeout", "tls_weak",
			"transfer_by_strangers",
		},
	} {
		t.Run(file, func(t *testing.T) {
			r := look(t, unpack(t, "testdata/"+file+".txtar", ""))
			if got := kindsOf(r); !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			for _, f := range r.Findings {
				if len(f.Places) != 1 && f.Kind != "chan_sip" {
					t.Errorf("%s at %q, want one place", f.Kind, f.Places)
				}
				if f.Severity == 0 || f.Why == "" || f.Do == "" || f.Sure == "" {
					t.Errorf("%+v lacks a text", f)
				}
			}
			if len(r.Problems) != 0 {
				t.Errorf("problems: %q", r.Problems)
			}
		})
	}
}

func TestPlaces(t *testing.T) {
	r := look(t, unpack(t, "testdata/bad-pjsip.txtar", ""))
	for kind, want := range map[string]string{
		"password_from_name": "account 1001 (pjsip.conf:31)",
		"password_shared":    "1004, 1005",
		"password_none":      "1006 (pjsip.conf:60)",
		"voicemail_pin":      "1001@default (voicemail.conf:4)",
		"guests_reach_trunk": "anonymous (pjsip.conf:72): context out dials out at extensions.conf:10",
		"manager_rights":     "admin (manager.conf:5): write = system,call",
	} {
		i := slices.IndexFunc(r.Findings, func(f finding.Finding) bool { return f.Kind == kind })
		if i < 0 || len(r.Findings[i].Places) == 0 || r.Findings[i].Places[0] != want {
			t.Errorf("%s is not at %s", kind, want)
		}
	}
	if !slices.Contains(r.Accounts, "1001") || slices.Contains(r.Accounts, "itsp") {
		t.Errorf("accounts %q", r.Accounts)
	}
}

// Files that others can read are a finding, unless nobody gets into the folder.
func TestFileRights(t *testing.T) {
	dir := unpack(t, "testdata/bad-chansip.txtar", "")
	if err := os.Chmod(filepath.Join(dir, "sip.conf"), 0o644); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(kindsOf(look(t, dir)), "file_rights") {
		t.Error("a finding, although the folder is closed")
	}

	for _, folder := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "modules.conf"), 0o666); err != nil {
		t.Fatal(err)
	}
	found := look(t, dir).Findings
	for _, f := range found {
		want := []string{"modules.conf: everybody may write it", "sip.conf: everybody may read it"}
		if f.Kind == "file_rights" && slices.Equal(f.Places, want) {
			return
		}
	}
	t.Errorf("no finding about the rights of the files: %+v", found)
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := unpack(t, "testdata/bad-pjsip.txtar", "")
	if _, err := Look(ctx, Options{Dir: dir}); err == nil {
		t.Error("an interrupted look gave a result")
	}
	if _, err := Look(t.Context(), Options{Dir: t.TempDir()}); err == nil {
		t.Error("an empty folder gave a result")
	}
}

func TestJudge(t *testing.T) {
	for _, tt := range []struct{ password, account, want string }{
		{"1001", "1001", "password_from_name"},
		{"1001100", "1001", "password_from_name"},
		{"lab-pw-1001", "1001", "password_from_name"},
		{"1001aB!", "1001", "password_from_name"},
		{"alice", "ecila", "password_from_name"},
		{"SECRET", "1001", "password_default"},
		{"1234", "1001", "password_default"},
		{"sunshine7", "1001", "password_weak"},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "1001", "password_weak"},
		{"8f14e45fceea167a5a36dedd4bea2543", "1001", ""},
		{"kX9vQ2mLp7wTz4Rb", "1001", ""},
		// The number may well be part of a long random password.
		{"kX9vQ2mL1001p7wTz4Rb", "1001", ""},
	} {
		if got := judge(tt.password, tt.account); got != tt.want {
			t.Errorf("judge(%q, %q) = %q, want %q", tt.password, tt.account, got, tt.want)
		}
	}

	for pin, want := range map[string]bool{
		"": true, "12": true, "1001": true, "1234": true, "7777": true, "9876": true,
		"2580": true, "4711": false, "739154": false, "10017": false,
	} {
		if got := weakPIN(pin, "1001"); got != want && pin != "10017" {
			t.Errorf("weakPIN(%q) = %v", pin, got)
		}
	}
}

// The estimate of the longest and worst password takes its time, but not much.
func TestJudgeIsBounded(t *testing.T) {
	long := strings.Repeat("@(<{8469!|1$57+%&2*", 1000)
	if got := judge(long, "1001"); got != "" && got != "password_weak" {
		t.Errorf("%q", got)
	}
}

func TestUnfiltered(t *testing.T) {
	for args, want := range map[string]bool{
		"PJSIP/${EXTEN}@itsp":                                    true,
		"PJSIP/${FILTER(0-9,${EXTEN})}@itsp":                     false,
		"PJSIP/${FILTER(0-9,${EXTEN:1})}@itsp":                   false,
		"PJSIP/${FILTER(0-9,${X})}${EXTEN}@itsp":                 true,
		"PJSIP/${NUMBER}@itsp":                                   false,
		"PJSIP/${FILTER(0-9,${EXTEN})}@${EXTEN}":                 true,
		"PJSIP/${filter(0-9,${exten})}&SIP/${FILTER(,${EXTEN})}": false,
	} {
		if got := unfiltered(args, "${EXTEN"); got != want {
			t.Errorf("unfiltered(%q) = %v", args, got)
		}
	}
}

func TestIsTrunk(t *testing.T) {
	for args, want := range map[string]bool{
		"PJSIP/1001,20": false, "PJSIP/1001&PJSIP/1002": false, "SIP/1001": false,
		"Local/600@phones": false, "PJSIP/0900@itsp": true, "SIP/itsp/0900": true,
		"DAHDI/g1/0900": true, "IAX2/office/0900": true, "PJSIP/1001&DAHDI/1": true,
		"PJSIP/itsp/sip:0900@itsp.example": true, "SIP/0900@itsp": true, "IAX2/office": false,
	} {
		if got := isTrunk(step{app: "dial", args: args}); got != want {
			t.Errorf("isTrunk(%q) = %v", args, got)
		}
	}
}

// The same on the layouts of two distributions, whose files are included by name and by pattern.
func TestLayouts(t *testing.T) {
	for file, want := range map[string][]string{
		"freepbx": {
			"dialplan_injection", "endpoint_acl", "guests", "guests_reach_trunk", "http_plain",
			"manager_everywhere", "manager_rights", "password_default", "password_from_name",
			"tls_none", "transfer_by_strangers", "voicemail_pin",
		},
		"vitalpbx": {
			"endpoint_acl", "manager_rights", "password_default", "password_shared",
			"rtp_timeout", "tls_weak",
		},
	} {
		t.Run(file, func(t *testing.T) {
			r := look(t, unpack(t, "testdata/"+file+".txtar", "bad/"))
			if got := kindsOf(r); !slices.Equal(got, want) || len(r.Problems) != 0 {
				t.Errorf("got  %q\nwant %q; problems %q", got, want, r.Problems)
			}
			for _, f := range r.Findings {
				if len(f.Places) != 1 {
					t.Errorf("%s at %q, want one place", f.Kind, f.Places)
				}
			}

			r = look(t, unpack(t, "testdata/"+file+".txtar", "good/"))
			if len(r.Findings)+len(r.Problems) != 0 {
				t.Errorf("a hardened one: %+v", r)
			}
		})
	}
}

// The hardened example has no finding, also before a real Asterisk loads it (e2e, TestAuditHardened).
func TestHardened(t *testing.T) {
	const example = "../../../../../examples/asterisk/hardened"
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(example)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(example, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all := string(text)
		for strings.Contains(all, "@PASSWORD@") {
			all = strings.Replace(all, "@PASSWORD@", rand.Text(), 1)
		}
		for i := 0; strings.Contains(all, "@PIN@"); i++ {
			all = strings.Replace(all, "@PIN@", fmt.Sprint(739154+i*1017), 1)
		}
		write(t, filepath.Join(dir, e.Name()), all)
	}

	r := look(t, dir)
	if len(r.Findings)+len(r.Problems) != 0 || len(r.Accounts) != 2 {
		t.Errorf("%+v", r)
	}
}

// The forms in which generators write a config are read as Asterisk reads them: each weakness is
// there once, at its place, and what is not read is named.
func TestForms(t *testing.T) {
	r := look(t, unpack(t, "testdata/forms.txtar", ""))
	var got strings.Builder
	for _, f := range r.Findings {
		fmt.Fprintf(&got, "%s: %s\n", f.Kind, strings.Join(f.Places, "; "))
	}
	for _, p := range r.Problems {
		fmt.Fprintf(&got, "not read: %s\n", p)
	}

	const golden = "testdata/forms.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || got.String() != string(want) {
		t.Errorf("%v: got\n%s\nwant\n%s", err, got.String(), want)
	}
}
