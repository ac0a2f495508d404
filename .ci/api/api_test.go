// Package api compares the exported API of the libraries with a golden listing, so that no change
// breaks the build of those who import them unnoticed.
package api

import (
	"bytes"
	"flag"
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden listings")

const module = "github.com/amifend/amifend/"

// libraries returns the packages that are promised to importers. A new one is added here.
func libraries() []string { return []string{"ami", "policy", "policy/fromami", "firewall"} }

func TestAPI(t *testing.T) {
	load := importer.ForCompiler(token.NewFileSet(), "gc", exportData(t))
	for _, name := range libraries() {
		t.Run(name, func(t *testing.T) {
			pkg, err := load.Import(module + name)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, strings.ReplaceAll(name, "/", "_")+".txt", listing(pkg))
		})
	}
}

// exportData compiles the libraries and returns the function that finds the compiler's export data
// of each package that they need.
func exportData(t *testing.T) importer.Lookup {
	t.Helper()
	args := []string{"list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}"}
	for _, name := range libraries() {
		args = append(args, module+name)
	}
	cmd := exec.Command("go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}

	files := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		files[path] = file
	}
	return func(path string) (io.ReadCloser, error) {
		if files[path] == "" {
			return nil, fmt.Errorf("no export data of %s", path)
		}
		return os.Open(files[path])
	}
}

// listing returns one line for each exported name, field and method, sorted. Names of parameters
// are left out: no importer depends on them.
func listing(pkg *types.Package) []string {
	var lines []string
	scope := pkg.Scope()
	for _, name := range scope.Names() {
		obj := scope.Lookup(name)
		if !obj.Exported() {
			continue
		}

		switch obj := obj.(type) {
		case *types.Const:
			lines = append(lines, fmt.Sprintf("const %s %s = %s", name, typeName(obj.Type()), obj.Val()))
		case *types.Var:
			lines = append(lines, fmt.Sprintf("var %s %s", name, typeName(obj.Type())))
		case *types.Func:
			lines = append(lines, "func "+name+signature(obj.Signature()))
		case *types.TypeName:
			lines = append(lines, typeLines(obj)...)
		}
	}

	slices.Sort(lines)
	return lines
}

// typeLines lists a type, its exported fields and the methods of its pointer, promoted ones too.
func typeLines(obj *types.TypeName) []string {
	name, under := obj.Name(), obj.Type().Underlying()

	var lines []string
	switch u := under.(type) {
	case *types.Struct:
		lines = append(lines, "type "+name+" struct")
		for f := range u.Fields() {
			if f.Exported() {
				lines = append(lines, fmt.Sprintf("type %s struct, %s %s", name, f.Name(), typeName(f.Type())))
			}
		}
	case *types.Interface:
		lines = append(lines, "type "+name+" interface")
		for m := range u.Methods() {
			lines = append(lines, fmt.Sprintf("type %s interface, %s%s", name, m.Name(), signature(m.Signature())))
		}
		return lines
	default:
		lines = append(lines, fmt.Sprintf("type %s %s", name, typeName(under)))
	}

	values := types.NewMethodSet(obj.Type())
	for m := range types.NewMethodSet(types.NewPointer(obj.Type())).Methods() {
		if !m.Obj().Exported() {
			continue
		}
		receiver := "*" + name
		if values.Lookup(obj.Pkg(), m.Obj().Name()) != nil {
			receiver = name
		}
		method := m.Obj().(*types.Func)
		lines = append(lines, fmt.Sprintf("method (%s) %s%s", receiver, method.Name(), signature(method.Signature())))
	}
	return lines
}

// signature returns parameters and results without names.
func signature(s *types.Signature) string {
	bare := types.NewSignatureType(nil, nil, nil, unnamed(s.Params()), unnamed(s.Results()), s.Variadic())
	return strings.TrimPrefix(typeName(bare), "func")
}

func unnamed(t *types.Tuple) *types.Tuple {
	var vars []*types.Var
	for v := range t.Variables() {
		vars = append(vars, types.NewParam(token.NoPos, nil, "", v.Type()))
	}
	return types.NewTuple(vars...)
}

func typeName(t types.Type) string {
	return types.TypeString(t, func(p *types.Package) string { return p.Name() })
}

// compare compares lines with the golden file, or writes it.
func compare(t *testing.T, file string, lines []string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	old := strings.Split(string(bytes.TrimSpace(golden)), "\n")
	gone, added := missing(old, lines), missing(lines, old)
	if len(gone)+len(added) == 0 {
		return
	}
	t.Errorf("the exported API is not that of %s:\n- %s\n+ %s\n"+
		"A line that is gone breaks importers: see \"Versions\" in CONTRIBUTING.md. If the change is meant:\n"+
		"go test ./.ci/api -update", path, strings.Join(gone, "\n- "), strings.Join(added, "\n+ "))
}

// missing returns the lines of a that are not in b.
func missing(a, b []string) (out []string) {
	for _, line := range a {
		if !slices.Contains(b, line) {
			out = append(out, line)
		}
	}
	return out
}
