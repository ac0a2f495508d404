package advisory

import (
	"bytes"
	"compress/gzip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"Asterisk/22.10.1+dfsg+~cs6.17.60671434-1": "22 22.10.1+dfsg+~cs6.17.60671434-1",
		"Asterisk PBX 16.28.0~dfsg-0+deb11u4":      "16 16.28.0~dfsg-0+deb11u4",
		"Asterisk PBX 20.9.1":                      "20 20.9.1",
		"Asterisk 21.4.0 built by root":            "21 21.4.0",
		"FPBX-16.0.40.7(18.24.1)":                  "18 18.24.1",
		"Asterisk/certified-20.7-cert5":            "certified-20.7 certified-20.7-cert5",
		"Asterisk certified/18.9-cert4":            "certified-18.9 certified-18.9-cert4",
		"22.5.0-rc1":                               "22 22.5.0",
		"PBX":                                      "",
		"":                                         "",
		"1.2.3.4":                                  "",
		"Asterisk 1.8.32.3":                        "",
		"Kamailio (5.7.4 (x86_64/linux))":          "",
		"amifend 22.1":                             "",
		"asterisk-22.10.0.":                        "", // an end that no release has
		strings.Repeat("9", 600) + " Asterisk 22.10.0": "",
	} {
		r, ok := Parse(text)
		got := ""
		if ok {
			got = r.Branch + " " + r.String()
		}
		if got != want {
			t.Errorf("Parse(%.60q) = %q, want %q", text, got, want)
		}
	}
}

// The figures are those of the tags: each branch's last release lacks nothing that the branch got,
// and the release before it does.
func TestMissing(t *testing.T) {
	for version, want := range map[string]string{
		"22.10.1": "", "20.20.1": "", "21.12.3": "", "23.4.1": "", "22.11.0": "",
		"18.26.4": "", "16.30.1": "", "certified-20.7-cert11": "", "24.0.0": "",
		"20.20.0":  "GHSA-589g-qgf8-m6mx",
		"20.8.0":   "GHSA-qqxj-v78h-hrf9",
		"16.30.0":  "GHSA-9pfh-r8x4-w26w",
		"16.29.0":  "CVE-2022-39244",
		"18.26.3":  "GHSA-557q-795j-wfx2",
		"17.9.3":   "AST-2021-008",
		"22.10.0":  "GHSA-589g-qgf8-m6mx",
		"18.9.0":   "AST-2022-004",
		"20.7.0":   "GHSA-c4cg-9275-6w44", // not GHSA-qqxj: only 20.8.0 has that
		"20.11.99": "GHSA-j29p-pvh2-pvqp",
	} {
		r, ok := Parse(version)
		if !ok {
			t.Fatalf("%s is not a version", version)
		}
		got := ""
		if missing := Missing(r); len(missing) > 0 {
			got = missing[0].ID
		}
		if got != want {
			t.Errorf("%s lacks %q first, want %q", version, got, want)
		}
	}

	lacks := func(version, id string) bool {
		r, _ := Parse(version)
		return slices.ContainsFunc(Missing(r), func(a Advisory) bool { return a.ID == id })
	}
	if lacks("22.1.1", "GHSA-64qc-9x89-rx5j") || !lacks("22.2.0", "GHSA-64qc-9x89-rx5j") ||
		!lacks("22.5.1", "GHSA-64qc-9x89-rx5j") || lacks("22.5.2", "GHSA-64qc-9x89-rx5j") {
		t.Error("GHSA-64qc-9x89-rx5j is in 22.2.0 to 22.5.1 only")
	}
}

func TestEnded(t *testing.T) {
	for version, want := range map[string]bool{
		"16.30.1": true, "18.26.4": true, "20.1.0": false, "22.0.0": false, "24.0.0": false,
		"13.38.3": true, "certified-18.9-cert18": true, "certified-22.8-cert1": false,
	} {
		r, _ := Parse(version)
		if _, ended := Ended(r); ended != want {
			t.Errorf("%s ended: %v", version, ended)
		}
	}
	if _, ended := Ended(Release{Branch: OfAMI("5.0.4")}); OfAMI("11.0.0") != "22" || !ended {
		t.Error("the branch by the banner of the AMI")
	}
}

// Each entry of the table is whole and fits its branches.
func TestTable(t *testing.T) {
	name := regexp.MustCompile(`^(CVE-20\d\d-\d{4,6}|AST-20\d\d-\d{3}|GHSA(-[0-9a-z]{4}){3})$`)
	seen := map[string]bool{}
	before := ""
	for _, a := range table {
		for _, n := range a.Names() {
			if !name.MatchString(n) || seen[n] {
				t.Errorf("name %q", n)
			}
			seen[n] = true
		}
		if _, err := time.Parse(time.DateOnly, a.Date); err != nil || a.Date < before ||
			a.Date > Date {
			t.Errorf("%s: date %s after %s", a.ID, a.Date, before)
		}
		before = a.Date
		if a.What == "" || a.Severity == 0 || len(a.Fixed) == 0 {
			t.Errorf("%+v lacks something", a)
		}
		for _, versions := range []map[string]string{a.Fixed, a.Since} {
			for b, version := range versions {
				r, ok := Parse(version)
				if _, known := branches[b]; !ok || !known || r.Branch != b {
					t.Errorf("%s: %s in branch %s", a.ID, version, b)
				}
				last, _ := Parse(branches[b].last)
				if last.before(version) {
					t.Errorf("%s: %s is newer than the branch", a.ID, version)
				}
			}
		}
	}
	if len(table) < 50 {
		t.Errorf("%d advisories", len(table))
	}
}

func TestMentioned(t *testing.T) {
	const text = "asterisk (1:16.28.0~dfsg-0+deb11u4)\n  * Fix CVE-2023-49786: x\n  * ghsa-64QC-9x89-rx5j\n"
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(text))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, in := range []string{text, packed.String()} {
		names, err := Mentioned(strings.NewReader(in))
		if err != nil || !names["CVE-2023-49786"] || !names["GHSA-64qc-9x89-rx5j"] || len(names) != 2 {
			t.Errorf("%v, %v", names, err)
		}
	}
	if _, err := Mentioned(strings.NewReader("\x1f\x8bnot gzip")); err == nil {
		t.Error("a broken file gave no error")
	}
}

func FuzzMentioned(f *testing.F) {
	f.Add([]byte("CVE-2023-49786 GHSA-64qc-9x89-rx5j"))
	f.Add([]byte("\x1f\x8b\x08\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		names, _ := Mentioned(bytes.NewReader(in))
		for n := range names {
			if canonical(n) != n {
				t.Errorf("%q", n)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("Asterisk/22.10.1+dfsg")
	f.Add("certified/18.9-cert4")
	f.Fuzz(func(t *testing.T, text string) {
		r, ok := Parse(text)
		if !ok {
			return
		}
		again, ok := Parse(r.String())
		if !ok || again.Branch != r.Branch || !slices.Equal(again.Numbers, r.Numbers) {
			t.Errorf("%q: %+v and %+v", text, r, again)
		}
		Missing(r)
		Ended(r)
	})
}
