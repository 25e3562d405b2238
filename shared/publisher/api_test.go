package publisher_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
)

const (
	module  = "github.com/spillwayhq/spillway/"
	library = module + "shared/publisher"
)

// An apiWalk follows everything that a package exports, as far as a program of another module can
// reach it, and collects the types of Spillway packages that are no part of the library.
type apiWalk struct {
	own   func(pkgPath string) bool // the library's packages
	seen  map[types.Type]bool
	leaks []string
}

// leaks are the places in a package's exported API that mention a type of a Spillway package for
// which own is false.
func leaks(pkg *types.Package, own func(pkgPath string) bool) []string {
	w := &apiWalk{own: own, seen: map[types.Type]bool{}}
	for _, name := range pkg.Scope().Names() {
		if object := pkg.Scope().Lookup(name); object.Exported() {
			w.walk(name, object.Type())
		}
	}
	return w.leaks
}

// walk follows one type; where says how it is reached.
func (w *apiWalk) walk(where string, t types.Type) {
	if w.seen[t] {
		return
	}
	w.seen[t] = true
	switch t := t.(type) {
	case *types.Alias:
		w.arguments(where, t.TypeArgs())
		w.walk(where, t.Rhs())
	case *types.Named:
		w.arguments(where, t.TypeArgs())
		w.named(where, t)
	case *types.TypeParam:
		w.walk(where, t.Constraint())
	case *types.Struct:
		for field := range t.Fields() {
			if field.Exported() || field.Embedded() { // what is embedded promotes what it exports
				w.walk(where+"."+field.Name(), field.Type())
			}
		}
	case *types.Interface:
		for method := range t.Methods() {
			if method.Exported() {
				w.walk(where+"."+method.Name(), method.Type())
			}
		}
		for embedded := range t.EmbeddedTypes() {
			w.walk(where, embedded)
		}
	case *types.Union:
		for term := range t.Terms() {
			w.walk(where, term.Type())
		}
	case *types.Signature:
		w.parameters(where, t.TypeParams())
		w.walk(where, t.Params())
		w.walk(where, t.Results())
	case *types.Tuple:
		for v := range t.Variables() {
			w.walk(where, v.Type())
		}
	case *types.Map:
		w.walk(where, t.Key())
		w.walk(where, t.Elem())
	case interface{ Elem() types.Type }: // pointer, slice, array, channel
		w.walk(where, t.Elem())
	}
}

func (w *apiWalk) named(where string, t *types.Named) {
	pkg := t.Obj().Pkg()
	switch {
	case pkg == nil || !strings.HasPrefix(pkg.Path(), module):
		return // another module's types can't mention Spillway's
	case !w.own(pkg.Path()):
		w.leaks = append(w.leaks, fmt.Sprintf("%s: %s", where, t))
		return
	}
	w.parameters(where, t.TypeParams())
	for method := range types.NewMethodSet(types.NewPointer(t)).Methods() { // promoted ones included
		if method.Obj().Exported() {
			w.walk(where+"."+method.Obj().Name(), method.Type())
		}
	}
	w.walk(where, t.Underlying())
}

func (w *apiWalk) arguments(where string, list *types.TypeList) {
	for t := range list.Types() {
		w.walk(where, t)
	}
}

func (w *apiWalk) parameters(where string, list *types.TypeParamList) {
	for t := range list.TypeParams() {
		w.walk(where, t)
	}
}

func inLibrary(pkgPath string) bool {
	return pkgPath == library || strings.HasPrefix(pkgPath, library+"/")
}

func TestAPIMentionsNoTypeOfAnotherSpillwayPackage(t *testing.T) {
	t.Parallel()
	from := built(t)
	for _, path := range []string{library, library + "/publishertest"} {
		pkg, err := from.Import(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, leak := range leaks(pkg, inLibrary) {
			t.Errorf("%s: a program of another module can't be held to a type of Spillway's internals: declare one in "+
				"the publisher", leak)
		}
	}
}

func TestAPIWalkFindsEveryInternalType(t *testing.T) {
	t.Parallel()
	from := built(t)
	for name, source := range map[string]string{
		"a field":                 `type Config struct { W *emf.Writer }`,
		"an embedded type":        `type hidden struct { *emf.Writer }; type Config struct { hidden }`,
		"a method's result":       `type C struct{}; func (C) Metrics() []emf.Metric { return nil }`,
		"a promoted method":       `type c struct{}; func (*c) M(emf.Metric) {}; type C struct{ *c }`,
		"a function's parameter":  `func F(func(map[string]chan emf.Metric)) {}`,
		"an interface's method":   `type I interface { M(...emf.Metric) }`,
		"an embedded interface":   `type m interface { M(emf.Metric) }; type I interface { m }`,
		"an alias":                `type Metric = emf.Metric`,
		"a variable":              `var V [1]emf.Metric`,
		"a type argument":         `type g[T any] struct{}; var V g[emf.Metric]`,
		"a constraint":            `func F[T emf.Metric | int]() {}`,
		"a type's constraint":     `type C[T interface{ M() emf.Metric }] struct{}`,
		"an unexported result":    `type c struct { M emf.Metric }; func F() c { return c{} }`,
		"nothing: hidden fields":  `type C struct { w *emf.Writer; s struct { M emf.Metric } }`,
		"nothing: hidden methods": `type C struct{}; func (C) m(emf.Metric) {}; func f(emf.Metric) {}`,
		"nothing: its text":       `const C = emf.Namespace`,
	} {
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, "p.go", "package p\nimport \""+module+"shared/emf\"\n"+source, 0)
		if err != nil {
			t.Fatal(err)
		}
		pkg, err := (&types.Config{Importer: from}).Check(module+"p", files, []*ast.File{file}, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		found := leaks(pkg, func(path string) bool { return path == pkg.Path() })
		if leaky := !strings.HasPrefix(name, "nothing"); leaky != (len(found) > 0) {
			t.Errorf("%s: found %q", name, found)
		}
	}
}

// built reads the library and what it imports from the build cache. Each test has an importer of its own:
// none is safe for concurrent use.
func built(t *testing.T) types.Importer {
	t.Helper()
	exports, err := listBuilt()
	if err != nil {
		t.Fatal(err)
	}
	return importer.ForCompiler(token.NewFileSet(), "gc",
		func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
}

// listBuilt returns the files of the build cache by import path.
var listBuilt = sync.OnceValues(func() (map[string]string, error) {
	list, err := goList(nil, "-export", "-json=ImportPath,Export", library, library+"/...")
	if err != nil {
		return nil, err
	}
	exports := map[string]string{}
	for decoder := json.NewDecoder(bytes.NewReader(list)); ; {
		var p struct{ ImportPath, Export string }
		if err := decoder.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			return nil, err
		}
		exports[p.ImportPath] = p.Export
	}
	return exports, nil
})

func goList(env []string, args ...string) ([]byte, error) {
	cmd := exec.Command("go", append([]string{"list", "-deps"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%v: %w\n%s", cmd, err, &stderr)
	}
	return out, nil
}

var update = flag.Bool("update", false, "write testdata/closure.txt anew")

const closureFile = "testdata/closure.txt"

// TestImportsMatchTheList holds all packages that a program links when it imports the
// publisher against a list, so that a new dependency is a decision and no accident.
func TestImportsMatchTheList(t *testing.T) {
	t.Parallel()
	sameEverywhere := []string{"GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS="}
	list, err := goList(sameEverywhere, "-f={{if not .Standard}}{{.ImportPath}}{{end}}", library)
	if err != nil {
		t.Fatal(err)
	}
	closure := strings.Fields(string(list))
	slices.Sort(closure)
	if *update {
		if err := os.WriteFile(closureFile, []byte(strings.Join(closure, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(closureFile)
	if err != nil {
		t.Fatal(err)
	}
	listed := strings.Fields(string(text))
	for _, path := range closure {
		if !slices.Contains(listed, path) {
			t.Errorf("shared/publisher now imports %s, which every program that uses it will link", path)
		}
	}
	for _, path := range listed {
		if !slices.Contains(closure, path) {
			t.Errorf("shared/publisher no longer imports %s", path)
		}
	}
	if t.Failed() {
		t.Logf("if this is what you want, update the list:\n\tgo test ./shared/publisher -run %s -update", t.Name())
	}
}
