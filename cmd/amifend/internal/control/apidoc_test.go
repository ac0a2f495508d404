package control

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write docs/api.md anew")

const apiFile = "../../../../docs/api.md"

// docs/api.md is made of the routes and the types: it must be what they are now.
func TestAPIDocument(t *testing.T) {
	d := newDocument(t)
	got := d.write()
	if *update {
		if err := os.WriteFile(apiFile, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	want, err := os.ReadFile(apiFile)
	if err != nil || string(want) != got {
		t.Errorf("docs/api.md is not up to date (%v): go test ./cmd/amifend/internal/control "+
			"-run APIDocument -update", err)
	}
}

// document writes the API's description.
type document struct {
	b        strings.Builder
	comments map[string]string // of types as T, of fields as T.F
	types    []reflect.Type    // that are used, in the order of their use
}

func newDocument(t *testing.T) *document {
	t.Helper()
	d := &document{comments: make(map[string]string)}
	names, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}

	for _, n := range names {
		if !strings.HasSuffix(n.Name(), ".go") || strings.HasSuffix(n.Name(), "_test.go") {
			continue
		}

		f, err := parser.ParseFile(token.NewFileSet(), n.Name(), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}

		ast.Inspect(f, d.collect)
	}

	return d
}

// collect notes the comments of types and their fields.
func (d *document) collect(n ast.Node) bool {
	g, ok := n.(*ast.GenDecl)
	if !ok {
		return true
	}

	for _, spec := range g.Specs {
		ts, ok := spec.(*ast.TypeSpec)
		if !ok {
			continue
		}

		d.comments[ts.Name.Name] = plain(g.Doc)
		st, ok := ts.Type.(*ast.StructType)
		if !ok {
			continue
		}

		for _, f := range st.Fields.List {
			for _, name := range f.Names {
				d.comments[ts.Name.Name+"."+name.Name] = plain(cmp.Or(f.Comment, f.Doc))
			}
		}
	}

	return true
}

func plain(c *ast.CommentGroup) string {
	return strings.NewReplacer("[ami.Quote]", "`ami.Quote`", "\n", " ", "|",
		"\\|").Replace(strings.TrimSpace(c.Text()))
}

func (d *document) line(format string, args ...any) { fmt.Fprintf(&d.b, format+"\n", args...) }

const apiHead = `# The API of the daemon

<!-- Made by go test ./cmd/amifend/internal/control -run APIDocument -update: change the comments there. -->

The daemon answers HTTP with JSON at its control socket, ` + "`[control] socket`" +
	`. The commands use nothing else, and so can you:

` + "```" + `
curl --unix-socket /run/amifend/amifend.sock 'http://amifend/v1/bans?sort=dropped&limit=5'
` + "```" + `

To read takes root or the group ` + "`[control] read_group`" + `, to change root or ` +
	"`admin_group`" + `; what operators change is journalled with
their uid. A request is at most 1 MB, and is answered within ten seconds (a reload: within a minute) or refused.

The version is in the path. Within a version fields and requests may be added, and nothing else changes: ignore what you do not
know. Times are RFC 3339; what ends in ` + "`_seconds`" +
	` is a number of seconds. Text that attackers wrote is quoted, as in the log. No
answer holds a secret.

A request that failed has a status of 400 or more, and an [Error](#error): ` + "`" +
	`{"error": {"code": …, "message": …, "do": …}}` + "`" + `.
The codes:
`

func (d *document) write() string {
	d.b.WriteString(apiHead + "\n")
	d.line("| status | code |\n|---|---|")
	var codes []string

	for code, status := range statuses {
		codes = append(codes, fmt.Sprintf("| %d | `%s` |", status, code))
	}

	slices.Sort(codes)
	d.line("%s\n", strings.Join(codes, "\n"))
	d.line("## Requests")

	for _, r := range Routes() {
		d.route(r)
	}

	d.line("\n## Types")
	d.use(reflect.TypeFor[Error]())
	for i := 0; i < len(d.types); i++ { // it grows
		d.object(d.types[i])
	}

	return d.b.String()
}

func (d *document) route(r Route) {
	d.line("\n### %s %s\n\n%s", r.Method, r.Path, r.About)
	right := "read"
	if r.Change {
		right = "change"
	}

	answer := "a file (`" + r.File + "`)"
	if r.File == "" {
		answer = d.name(reflect.TypeOf(r.Answer))
	}
	if r.Lines {
		answer = "a line each (`application/x-ndjson`), " + answer
	}

	d.line("\nRight: %s. Answer: %s.", right, answer)
	if r.Body != nil {
		d.line("Body: %s.", d.name(reflect.TypeOf(r.Body)))
	}
	if len(r.Query) > 0 {
		d.line("")
	}

	for _, p := range r.Query {
		d.line("- `%s`: %s", p.Name, p.About)
	}
}

func (d *document) object(t reflect.Type) {
	d.line("\n### %s\n\n%s\n\n| field | type | |\n|---|---|---|", t.Name(), d.comments[t.Name()])
	for f := range fields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		kind := d.name(f.Type)
		if strings.Contains(options, "omit") {
			kind += ", may be absent"
		}
		d.line("| `%s` | %s | %s |", name, kind, d.comments[t.Name()+"."+f.Name])
	}
}

func fields(t reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for f := range t.Fields() {
			if f.IsExported() && !yield(f) {
				return
			}
		}
	}
}

// name is a type as JSON has it; objects are described later.
func (d *document) name(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Time]():
		return "time"

	case reflect.TypeFor[netip.Addr](), reflect.TypeFor[netip.Prefix](),
		reflect.TypeFor[netip.AddrPort]():
		return map[string]string{
			"Addr": "address", "Prefix": "prefix",
			"AddrPort": "address and port",
		}[t.Name()]
	case reflect.TypeFor[json.RawMessage]():
		return "object"
	}

	switch t.Kind() {
	case reflect.Struct:
		d.use(t)
		return fmt.Sprintf("[%s](#%s)", t.Name(), strings.ToLower(t.Name()))
	case reflect.Pointer:
		return d.name(t.Elem())
	case reflect.Slice:
		return "array of " + d.name(t.Elem())
	case reflect.Map:
		return "object of " + d.name(t.Elem())
	case reflect.Bool, reflect.String:
		return t.Kind().String()
	default:
		return "number"
	}
}

func (d *document) use(t reflect.Type) {
	if !slices.Contains(d.types, t) {
		d.types = append(d.types, t)
	}
}

// Every field of an answer has a name in JSON, and every type says what it is.
func TestAPITypesAreDescribed(t *testing.T) {
	d := newDocument(t)
	d.write()
	for _, typ := range d.types {
		if d.comments[typ.Name()] == "" {
			t.Errorf("%s has no comment", typ.Name())
		}

		for f := range fields(typ) {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name == "" ||
				name != strings.ToLower(name) {
				t.Errorf("%s.%s has no name in JSON: %q", typ.Name(), f.Name, name)
			}
		}
	}

	for _, r := range Routes() {
		if !strings.HasPrefix(r.Path, "/v1/") || r.About == "" ||
			(r.Answer == nil) == (r.File == "") {
			t.Errorf("%s %s is not described", r.Method, r.Path)
		}
	}
}
