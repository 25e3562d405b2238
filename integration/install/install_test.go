// Package install installs the command line as its users do: from the module's zip, which is what
// the module proxy has of a version, without the repository around it.
//
// The package holds tests only.
package install

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"

	"github.com/spillwayhq/spillway/integration/testutil"
)

var install = flag.Bool("install", false,
	"install the command from the zip, which compiles everything anew, in a minute of CPU")

var version = module.Version{Path: "github.com/spillwayhq/spillway", Version: "v0.0.1"}

// proxy makes a folder that answers as a module proxy with this commit as the only version.
func proxy(t *testing.T) string {
	t.Helper()
	top, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	versions := filepath.Join(folder, filepath.FromSlash(version.Path), "@v")
	if err := os.MkdirAll(versions, 0o755); err != nil {
		t.Fatal(err)
	}
	gomod, err := os.ReadFile(filepath.Join(top, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"list": version.Version + "\n", version.Version + ".mod": string(gomod),
		version.Version + ".info": fmt.Sprintf(`{"Version":%q,"Time":"2026-01-01T00:00:00Z"}`, version.Version),
	} {
		if err := os.WriteFile(filepath.Join(versions, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	archive, err := os.Create(filepath.Join(versions, version.Version+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	clone := t.TempDir() // because zip does not know the worktrees of git
	if out, err := exec.Command("git", "clone", "--quiet", "--no-checkout", "file://"+top, clone).CombinedOutput(); err != nil {
		t.Fatalf("clone the repository: %v\n%s", err, out)
	}
	if err := zip.CreateFromVCS(archive, version, clone, "HEAD", ""); err != nil {
		t.Fatalf("make the module's zip of HEAD: %v", err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return folder
}

// A committed is a file of the repository, as package zip asks for it.
type committed struct{ name string }

func (c committed) Path() string                 { return c.name }
func (c committed) Lstat() (os.FileInfo, error)  { return os.Lstat(filepath.Join("../..", c.name)) }
func (c committed) Open() (io.ReadCloser, error) { return os.Open(filepath.Join("../..", c.name)) }

func TestEveryFileMayBeInAModulesZip(t *testing.T) {
	list := exec.Command("git", "ls-files", "-z")
	list.Dir = "../.."
	out, err := list.Output()
	if err != nil {
		t.Skipf("this is no git checkout, so the project's own files can't be told from others: %v", err)
	}
	var files []zip.File
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		if f := (committed{name}); exists(f) {
			files = append(files, f)
		}
	}
	checked, err := zip.CheckFiles(files)
	if err != nil || len(checked.Valid) < 100 {
		t.Errorf("%d files may be in the zip, and others may not: %v", len(checked.Valid), err)
	}
}

// exists reports whether a file was not deleted since the commit.
func exists(f committed) bool {
	_, err := f.Lstat()
	return err == nil
}

// TestTheCommandIsInstalledFromTheModulesZipAlone installs the command with an empty module cache and
// runs it in an empty folder, so that what it reads of the repository is missing.
func TestTheCommandIsInstalledFromTheModulesZipAlone(t *testing.T) {
	if _, err := os.Stat("../../.git"); err != nil {
		t.Skip("the zip is made of a commit: run this test in a clone of the repository")
	}
	if !*install {
		t.Skip("run it with -install, as .ci/run does")
	}
	versions := proxy(t)
	out, err := exec.Command("go", "env", "GOMODCACHE", "GOPROXY").Output()
	if err != nil {
		t.Fatal(err)
	}
	downloaded, elsewhere, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	folder, bin := t.TempDir(), t.TempDir()
	command := exec.Command("go", "install", version.Path+"/cmd/spillway@"+version.Version)
	command.Dir = folder
	command.Env = append(os.Environ(), "GOBIN="+bin, "GOMODCACHE="+t.TempDir(), "GOFLAGS=-modcacherw", "GOSUMDB=off",
		"GOWORK=off", "GOPROXY=file://"+versions+",file://"+filepath.Join(downloaded, "cache", "download")+","+elsewhere)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	spillway := filepath.Join(bin, "spillway")
	say := exec.Command(spillway, "version")
	say.Dir = folder
	if out, err := say.CombinedOutput(); err != nil || !strings.Contains(string(out), version.Version) {
		t.Errorf("spillway version: %v\n%s", err, out)
	}
	up := exec.Command(spillway, "up", "--sqs-port=0", "--ingest-port=0", "--segment-port=0", "--console-port=0")
	up.Dir = folder
	queue := testutil.Serve(t, up, regexp.MustCompile(`events queue\s+(http://\S+)`)).Address
	send := exec.Command(spillway, "send", "--count=10", "--queue-url="+queue)
	send.Dir = folder
	if out, err := send.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", send, err, out)
	}
}
