package layout

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fuzzTargets are the fuzz targets of the module as Go sees them, each as ".ci/fuzz list" prints
// it.
func fuzzTargets(t *testing.T) (targets []string) {
	t.Helper()
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "node_modules":
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Fuzz") {
				dir, _ := filepath.Rel("../..", filepath.Dir(path))
				targets = append(targets, "./"+filepath.ToSlash(dir)+" "+f.Name.Name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(targets)
	return targets
}

func TestTheNightlyRunFuzzesEachTarget(t *testing.T) {
	t.Parallel()
	workflow, err := os.ReadFile("../../.github/workflows/fuzz.yml")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(workflow), "run: .ci/fuzz") {
		t.Error("the workflow does not run .ci/fuzz")
	}
	out, err := exec.Command("../../.ci/fuzz", "list").Output()
	if err != nil {
		t.Skipf("the script needs bash, grep and sed: %v", err)
	}
	listed := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(listed)
	want := fuzzTargets(t)
	if len(want) < 20 {
		t.Errorf("only %d fuzz targets were found", len(want))
	}
	if !slices.Equal(listed, want) {
		t.Errorf(".ci/fuzz fuzzes\n%q, the module has\n%q", listed, want)
	}
}
