package mutants

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var (
	which = flag.String("mutants", "", "run the tests against the mutants whose name matches this regular expression")
	seeds = flag.Int("mutants.seeds", 30, "how many seeds the oracle runs against each mutant; 0: package tests only")
)

// What the tests must catch of all mutants, in percent.
const (
	byPackageTests = 95
	byOracle       = 70 // alone, of those in its world
)

// A mutant is one bug: file has replace where it has find.
type mutant struct {
	name          string
	file          string
	find, replace string
	// outside says why the oracle can't see the bug: it changes neither which events come out nor
	// how.
	outside string
}

// The tests of a mutant are given up after this time: it hangs, which is noticed too.
const patience = 10 * time.Minute

func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// apply returns the file with the bug in it.
func (m *mutant) apply(root string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(root, m.file))
	if err != nil {
		return nil, err
	}
	if n := bytes.Count(text, []byte(m.find)); n != 1 {
		return nil, fmt.Errorf("%s has %q %d times, want once: the code has changed, so change the row too", m.file, m.find,
			n)
	}
	return bytes.Replace(text, []byte(m.find), []byte(m.replace), 1), nil
}

func TestEachMutantStillApplies(t *testing.T) {
	names := map[string]bool{}
	for _, m := range table {
		if names[m.name] {
			t.Errorf("two mutants have the name %q", m.name)
		}
		names[m.name] = true
		text, err := m.apply(root(t))
		if err == nil {
			_, err = parser.ParseFile(token.NewFileSet(), m.file, text, parser.SkipObjectResolution)
		}
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
	if len(table) < 40 {
		t.Errorf("the table has %d mutants, want at least 40", len(table))
	}
}

// A bench runs tests in a module with a bug in it.
type bench struct {
	root string
	env  []string
}

// with writes the overlay of a mutant; without one the module is as it is.
func with(t *testing.T, m *mutant) bench {
	t.Helper()
	b := bench{root: root(t), env: os.Environ()}
	if m == nil {
		return b
	}
	text, err := m.apply(b.root)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	changed := filepath.Join(dir, filepath.Base(m.file))
	overlay, err := json.Marshal(map[string]any{
		"Replace": map[string]string{filepath.Join(b.root, m.file): changed},
	})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	for path, data := range map[string][]byte{changed: text, list: overlay} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// In the environment, because some tests build programs.
	b.env = append(b.env, strings.TrimSpace("GOFLAGS="+os.Getenv("GOFLAGS")+" -overlay="+list))
	return b
}

// run runs the go command. A nil error means that it succeeded.
func (b bench) run(t *testing.T, args ...string) (output string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, "go", args...)
	c.Dir, c.Env, c.WaitDelay = b.root, b.env, 10*time.Second
	out, err := c.CombinedOutput()
	return string(out), err
}

func (b bench) packageTests(t *testing.T, file string) (string, error) {
	t.Helper()
	return b.run(t, "test", "-failfast", "-timeout", patience.String(), "./"+path.Dir(file))
}

// oracle runs the oracle, without what an outage costs and without real time.
func (b bench) oracle(t *testing.T) (string, error) {
	t.Helper()
	return b.run(t, "test", "-failfast", "-timeout", patience.String(), "-skip", "OutageCosts|BuiltBinaries",
		"./integration/oracle",
		"-seeds", fmt.Sprint(*seeds))
}

// failure is the first line that says which test failed.
func failure(output string) string {
	found := regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)|^panic: .*|^fatal error: .*`).FindAllString(output, -1)
	if len(found) == 0 {
		return "the test did not end"
	}
	return strings.TrimPrefix(strings.TrimSpace(found[len(found)-1]), "--- FAIL: ")
}

func TestTheTestsCatchTheMutants(t *testing.T) {
	if *which == "" {
		t.Skip("it takes an hour: run it with -mutants . and -timeout 3h")
	}
	name, err := regexp.Compile(*which)
	if err != nil {
		t.Fatal(err)
	}
	if *seeds > 0 {
		if out, err := with(t, nil).oracle(t); err != nil {
			t.Fatalf("the oracle fails without a mutant: %v\n%s", err, out)
		}
	}
	tested := map[string]bool{}
	var all, world, packages, oracle int
	for i := range table {
		m := &table[i]
		if !name.MatchString(m.name) {
			continue
		}
		if _, err := m.apply(root(t)); err != nil {
			t.Errorf("%s: %v", m.name, err)
			continue
		}
		if dir := path.Dir(m.file); !tested[dir] {
			tested[dir] = true
			if out, err := with(t, nil).packageTests(t, m.file); err != nil {
				t.Fatalf("the tests of %s fail without a mutant: %v\n%s", dir, err, out)
			}
		}
		b := with(t, m)
		if out, err := b.run(t, "build", "./"+path.Dir(m.file)); err != nil {
			t.Errorf("%s: does not compile: %v\n%s", m.name, err, out)
			continue
		}
		all++
		caught := [2]string{"NOT CAUGHT", "NOT CAUGHT"}
		if out, err := b.packageTests(t, m.file); err != nil {
			packages++
			caught[0] = failure(out)
		}
		switch {
		case m.outside != "":
			caught[1] = "outside: " + m.outside
		case *seeds == 0:
			caught[1] = "not run"
		default:
			world++
			if out, err := b.oracle(t); err != nil {
				oracle++
				caught[1] = failure(out)
			}
		}
		t.Logf("%-70s package tests: %-60s oracle: %s", m.name, caught[0], caught[1])
	}
	t.Logf("%d mutants: the package tests catch %d, the oracle alone %d of %d", all, packages, oracle, world)
	if 100*packages < byPackageTests*all {
		t.Errorf("the package tests catch %d of %d mutants, want %d %%", packages, all, byPackageTests)
	}
	if 100*oracle < byOracle*world {
		t.Errorf("the oracle alone catches %d of %d mutants, want %d %%", oracle, world, byOracle)
	}
}
