package finding

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of docs/audit.md")

const (
	document = "../../../../../docs/audit.md"
	begin    = "<!-- made by: go test ./cmd/amifend/internal/audit/finding -update -->\n"
	end      = "<!-- end -->\n"
)

// The document has a row for each kind.
func TestDocument(t *testing.T) {
	var table strings.Builder
	table.WriteString("| name | severity | what is wrong |\n|---|---|---|\n")
	for _, k := range kinds {
		fmt.Fprintf(&table, "| `%s` (%s) | %s | %s |\n", k.Name, k.Depth, k.Severity, k.Title)
	}

	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	have, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("docs/audit.md has no place for the table")
	}
	if *update {
		out := before + begin + table.String() + end + after
		if err := os.WriteFile(document, []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if have != table.String() {
		t.Error("the table differs from the kinds; run: go test ./cmd/amifend/internal/audit/finding -update")
	}
}

// Every kind is whole, and its name is one.
func TestKinds(t *testing.T) {
	name := regexp.MustCompile(`^[a-z_]+$`)
	seen := map[string]bool{}
	for _, k := range Kinds() {
		if !name.MatchString(k.Name) || seen[k.Name] {
			t.Errorf("name %q", k.Name)
		}
		seen[k.Name] = true
		if k.Severity == 0 || k.Sure == "" || k.Depth == "" || k.Title == "" || k.Why == "" || k.Do == "" {
			t.Errorf("%+v lacks something", k)
		}
	}
}

func TestSort(t *testing.T) {
	all := []Finding{
		New("maxcalls", ""), New("web_manager", ""), New("strict_rtp", "").Of("b"),
		New("strict_rtp", "").Of("a"),
	}
	Sort(all)
	got := ""
	for _, f := range all {
		got += f.Kind + f.Server + " "
	}
	if got != "web_manager strict_rtpa strict_rtpb maxcalls " {
		t.Error(got)
	}
}

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"plain é": "plain é", "\x1b[2J": `"\x1b[2J"`, "a\nb": `"a\nb"`, "\xff": `"\xff"`,
	} {
		if got := Plain(in); got != want {
			t.Errorf("Plain(%q) = %s, want %s", in, got, want)
		}
	}
	if got := Plain(strings.Repeat("é", 500)); len(got) > mostShown+len("…") {
		t.Errorf("%d bytes", len(got))
	}
}

func TestSeverityJSON(t *testing.T) {
	out, err := json.Marshal(New("strict_rtp", ""))
	if err != nil || !strings.Contains(string(out), `"severity":"medium"`) {
		t.Errorf("%s, %v", out, err)
	}
	var s Severity
	if err := s.UnmarshalText([]byte("bad")); err == nil {
		t.Error("bad is a severity")
	}
}
