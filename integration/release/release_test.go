// Package release builds what a release of this commit would be, twice, and uses it as those who
// install it do: from the archives and packages alone.
//
// The package holds tests only.
package release

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/integration/testutil"
)

var (
	build = flag.Bool("release", false, "build two snapshots of the release with .ci/release, which takes minutes of CPU")
	built = flag.String("built", "", "two `folders` of clones, with a comma between them, in which .ci/release --snapshot has "+
		"run: they are used instead of new ones")
)

// maxBinary is the size that a program of a release may have, in bytes.
const maxBinary = 45 << 20

func TestMain(m *testing.M) { testutil.Main(m) }

func TestARelease(t *testing.T) {
	one, other := snapshots(t)
	files := published(t, one)
	t.Run("has the same bytes whenever and wherever it is built", func(t *testing.T) {
		if got := published(t, other); !maps.Equal(files, got) {
			for name := range maps.All(files) {
				if got[name] != files[name] {
					t.Errorf("%s differs", name)
				}
			}
			t.Errorf("one has %q\nthe other %q", slices.Sorted(maps.Keys(files)), slices.Sorted(maps.Keys(got)))
		}
	})
	t.Run("has a checksum of each file", func(t *testing.T) { checkChecksums(t, one, files) })
	contents := unpack(t, one, files)
	t.Run("names the licence of every module in its programs", func(t *testing.T) { checkNotices(t, one, contents) })
	t.Run("lists every module of a program in its SBOM", func(t *testing.T) { checkSBOMs(t, one, contents) })
	t.Run("has small programs for every system", func(t *testing.T) { checkSizes(t, contents) })
	t.Run("runs from its archive and delivers an event", func(t *testing.T) {
		folder := contents[archiveOf(t, contents, runtime.GOOS, runtime.GOARCH)]
		delivers(t, filepath.Join(folder, "spillway"))
	})
	t.Run("is installed as docs/install.md says", func(t *testing.T) { checkPage(t, one, files) })
	t.Run("is installed by dpkg", func(t *testing.T) { checkDebs(t, one, files) })
	t.Run("is installed by rpm", func(t *testing.T) { checkRPMs(t, one, files) })
}

// snapshots returns two folders of clones in which a snapshot has been built, under circumstances
// that must not matter.
func snapshots(t *testing.T) (one, other string) {
	t.Helper()
	if *built != "" {
		one, other, _ = strings.Cut(*built, ",")
		return one, other
	}
	if !*build {
		t.Skip("run it with -release, as .ci/run does")
	}
	top, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	one, other = filepath.Join(t.TempDir(), "clone"), filepath.Join(t.TempDir(), "a", "deeper", "clone")
	for folder, circumstances := range map[string]string{one: "umask 022", other: "umask 077; export TZ=Asia/Tokyo GOAMD64=v3"} {
		for _, script := range []string{`git clone --quiet --no-tags "$1" "$2"`, `cd "$2" && .ci/release --snapshot`} {
			c := exec.Command("bash", "-c", circumstances+"; "+script, "release", "file://"+top, folder)
			if out, err := c.CombinedOutput(); err != nil {
				t.Fatalf("%s in %s: %v\n%s", script, folder, err, out)
			}
		}
	}
	return one, other
}

// places are where the files of a release are, below a clone.
var places = []string{"dist/goreleaser", "dist/parts/published"}

// find returns where a file of a release is.
func find(folder, name string) string {
	for _, place := range places {
		if path := filepath.Join(folder, place, name); exists(path) {
			return path
		}
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// published returns the SHA-256 of each file that a release publishes.
func published(t *testing.T, folder string) map[string]string {
	t.Helper()
	sums := map[string]string{}
	for _, place := range places {
		entries, err := os.ReadDir(filepath.Join(folder, place))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.IsDir() || slices.Contains([]string{"artifacts.json", "metadata.json", "config.yaml"}, e.Name()) {
				continue
			}
			content, err := os.ReadFile(filepath.Join(folder, place, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(content)
			sums[e.Name()] = hex.EncodeToString(sum[:])
		}
	}
	if len(sums) < 20 {
		t.Fatalf("%s has only %q", folder, slices.Sorted(maps.Keys(sums)))
	}
	return sums
}

func checkChecksums(t *testing.T, folder string, files map[string]string) {
	text, err := os.ReadFile(find(folder, "checksums.txt"))
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{"checksums.txt": files["checksums.txt"]}
	for line := range strings.Lines(string(text)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		listed[name] = sum
	}
	if !maps.Equal(listed, files) {
		t.Errorf("checksums.txt has\n%v\nthe files have\n%v", listed, files)
	}
}

// unpack unpacks every archive, and returns the folder of each.
func unpack(t *testing.T, folder string, files map[string]string) map[string]string {
	t.Helper()
	contents := map[string]string{}
	for name := range files {
		to := t.TempDir()
		switch path := find(folder, name); {
		case strings.HasSuffix(name, ".tar.gz"):
			untar(t, path, to)
		case strings.HasSuffix(name, ".zip"):
			unzip(t, path, to)
		default:
			continue
		}
		contents[name] = to
	}
	return contents
}

func untar(t *testing.T, path, to string) {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return
		}
		if err != nil || h.Typeflag != tar.TypeReg {
			t.Fatalf("%s: %+v, %v", path, h, err)
		}
		want := fs.FileMode(0o644)
		if strings.HasPrefix(h.Name, "spillway") {
			want = 0o755
		}
		if fs.FileMode(h.Mode) != want || h.Uname != "root" || h.Uid != 0 {
			t.Errorf("%s: %s has the mode %o and the owner %s, %d", path, h.Name, h.Mode, h.Uname, h.Uid)
		}
		write(t, filepath.Join(to, h.Name), r, want)
	}
}

func unzip(t *testing.T, path, to string) {
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(to, f.Name), r, f.Mode())
		if folder, ok := strings.CutSuffix(f.Name, ".zip"); ok { // of a function
			unzip(t, filepath.Join(to, f.Name), filepath.Join(to, folder))
		}
	}
}

func write(t *testing.T, path string, from io.Reader, mode fs.FileMode) {
	content, err := io.ReadAll(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = os.WriteFile(path, content, mode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// programs are the files below a folder that Go has built, with what is in them.
func programs(t *testing.T, folder string) map[string]*buildinfo.BuildInfo {
	t.Helper()
	found := map[string]*buildinfo.BuildInfo{}
	err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		if info, err := buildinfo.ReadFile(path); err == nil {
			found[path] = info
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

var heading = regexp.MustCompile(`(?m)^==== (.+): .+ ====$`)

// checkNotices compares the notices with what the programs themselves say is in them.
func checkNotices(t *testing.T, folder string, contents map[string]string) {
	want := map[string]bool{}
	for archive, unpacked := range contents {
		all := programs(t, unpacked)
		if len(all) == 0 {
			t.Errorf("%s has no program", archive)
		}
		notices := filepath.Join(unpacked, "THIRD_PARTY_NOTICES")
		if strings.HasSuffix(archive, "_aws.zip") {
			notices = find(folder, "THIRD_PARTY_NOTICES") // beside it
		}
		text, err := os.ReadFile(notices)
		if err != nil {
			t.Errorf("%s has no notices: %v", archive, err)
		}
		has := map[string]bool{}
		for _, h := range heading.FindAllStringSubmatch(string(text), -1) {
			has[h[1]] = true
		}
		for program, info := range all {
			if goes := "==== the Go standard library, " + info.GoVersion + " ====\n\nCopyright"; !strings.Contains(string(text), goes) {
				t.Errorf("%s is built with %s, whose licence is not in the notices", program, info.GoVersion)
			}
			for _, module := range info.Deps {
				if module.Replace != nil {
					module = module.Replace
				}
				name := module.Path + " " + module.Version
				want[name] = true
				if !has[name] {
					t.Errorf("the notices of %s have nothing of %s, which is in %s", archive, name, filepath.Base(program))
				}
			}
		}
	}
	if len(want) < 20 || !want["github.com/inconshreveable/mousetrap v1.1.0"] { // of Windows alone
		t.Errorf("in the programs are only %q", slices.Sorted(maps.Keys(want)))
	}
}

func checkSBOMs(t *testing.T, folder string, contents map[string]string) {
	checked := 0
	for _, unpacked := range contents {
		for program, info := range programs(t, unpacked) {
			settings := map[string]string{}
			for _, s := range info.Settings {
				settings[s.Key] = s.Value
			}
			base := strings.TrimSuffix(filepath.Base(program), ".exe")
			pattern := fmt.Sprintf("%s/dist/goreleaser/%s*_%s_%s.cdx.json", folder, base, settings["GOOS"], settings["GOARCH"])
			paths, _ := filepath.Glob(pattern)
			paths = slices.DeleteFunc(paths, func(path string) bool {
				return !strings.HasPrefix(filepath.Base(path), base+"_") && !strings.HasPrefix(filepath.Base(path), base+".exe_")
			})
			if base == "bootstrap" { // a function: its modules are among those of the command line or of the ingest server
				continue
			}
			if len(paths) != 1 {
				t.Errorf("%s has the SBOMs %q, of the pattern %s", program, paths, pattern)
				continue
			}
			text, err := os.ReadFile(paths[0])
			if err != nil {
				t.Fatal(err)
			}
			var sbom struct {
				BOMFormat  string
				Components []struct{ Name, Version string }
			}
			if err := json.Unmarshal(text, &sbom); err != nil || sbom.BOMFormat != "CycloneDX" {
				t.Errorf("%s: %q, %v", paths[0], sbom.BOMFormat, err)
			}
			listed := map[string]bool{}
			for _, c := range sbom.Components {
				listed[c.Name+" "+c.Version] = true
			}
			for _, module := range info.Deps {
				if !listed[module.Path+" "+module.Version] {
					t.Errorf("%s has no %s %s", paths[0], module.Path, module.Version)
				}
			}
			if !listed["std "+info.GoVersion] {
				t.Errorf("%s has no std %s", paths[0], info.GoVersion)
			}
			checked++
		}
	}
	if checked != 8 {
		t.Errorf("%d programs have an SBOM", checked)
	}
}

func checkSizes(t *testing.T, contents map[string]string) {
	for _, system := range []string{"linux", "darwin", "windows"} {
		for _, machine := range []string{"amd64", "arm64"} {
			folder := contents[archiveOf(t, contents, system, machine)]
			for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md", "completions/spillway.bash", "completions/_spillway",
				"completions/spillway.fish", "completions/spillway.ps1"} {
				if !exists(filepath.Join(folder, name)) {
					t.Errorf("the archive for %s on %s has no %s", system, machine, name)
				}
			}
			for program := range programs(t, folder) {
				if info, err := os.Stat(program); err != nil || info.Size() > maxBinary || info.Mode()&0o111 == 0 {
					t.Errorf("%s for %s on %s: %d bytes, %v, %v", filepath.Base(program), system, machine, info.Size(), info.Mode(), err)
				}
			}
		}
	}
}

func archiveOf(t *testing.T, contents map[string]string, system, machine string) string {
	t.Helper()
	for name := range contents {
		if strings.HasPrefix(name, "spillway_") && strings.Contains(name, "_"+system+"_"+machine+".") {
			return name
		}
	}
	t.Fatalf("no archive is for %s on %s", system, machine)
	return ""
}

// delivers runs a program as somebody does who has just unpacked it, until Segment has an event.
func delivers(t *testing.T, program string) {
	t.Helper()
	out, err := exec.Command(program, "version").CombinedOutput()
	if want := "spillway v0.0.1-snapshot."; err != nil || !strings.HasPrefix(string(out), want) {
		t.Fatalf("its version is %q, %v, want %s…", out, err, want)
	}
	began := time.Now()
	up := exec.Command(program, "up", "--sqs-port=0", "--ingest-port=0", "--segment-port=0", "--console-port=0")
	up.Dir = t.TempDir()
	process := testutil.Serve(t, up, regexp.MustCompile(`curl -u any-key: (http://\S+)/v1/track`))
	health, err := exec.Command(program, "health", "--url", process.Address).CombinedOutput()
	if err != nil {
		t.Errorf("health: %v\n%s", err, health)
	}
	post(t, process.Address+"/v1/track", `{"userId":"u1","event":"Run Started"}`)
	found := regexp.MustCompile(`Segment +(http://\S+) \(emulator\)`).FindStringSubmatch(process.Log.String())
	if found == nil {
		t.Fatalf("it does not say where Segment is:\n%s", &process.Log)
	}
	await(t, "the event", func() bool {
		answer, err := http.Get(found[1] + "/_segmentd/events?limit=3")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body) // half an answer has no event
		return strings.Contains(string(text), "Run Started")
	})
	t.Logf("from the start of the program to the delivered event: %v", time.Since(began))
	if log := process.Log.String(); !strings.Contains(log, program+" send --count") || strings.Contains(log, "go run") {
		t.Errorf("it suggests commands that only a clone has:\n%s", log)
	}
	if err := process.Stop(t); err != nil {
		t.Errorf("its end: %v", err)
	}
}

// checkPage runs the page's commands for an archive in a folder with the files of the release.
func checkPage(t *testing.T, folder string, files map[string]string) {
	page, err := os.ReadFile("../../docs/install.md")
	if err != nil {
		t.Fatal(err)
	}
	downloads := t.TempDir()
	for name := range files {
		if err := os.Symlink(find(folder, name), filepath.Join(downloads, name)); err != nil {
			t.Fatal(err)
		}
	}
	needs(t, "sha256sum") // of coreutils, as the page has it
	ran := 0
	for _, command := range regexp.MustCompile(`(?m)^    ((?:sha256sum|tar|\./spillway version).*)$`).FindAllString(string(page), -1) {
		command = strings.ReplaceAll(command, "_linux_amd64.", "_linux_"+runtime.GOARCH+".")
		c := exec.Command("bash", "-c", command)
		c.Dir = downloads
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
		ran++
	}
	if ran != 3 {
		t.Errorf("%d commands of the page were run", ran)
	}
	for _, of := range regexp.MustCompile(`docker build --target (\S+) `).FindAllStringSubmatch(string(page), -1) {
		if file, err := os.ReadFile("../../Dockerfile"); err != nil || !strings.Contains(string(file), "AS "+of[1]+"\n") {
			t.Errorf("the Dockerfile has no target %s, %v", of[1], err)
		}
	}
}

func post(t *testing.T, url, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth("any-key", "")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("POST %s: %s", url, answer.Status)
	}
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}

// inPackages are the files of each package, apart from those of its format.
var inPackages = map[string][]string{
	"spillway": {"/usr/bin/spillway", "/usr/share/doc/spillway/copyright", "/usr/share/doc/spillway/THIRD_PARTY_NOTICES",
		"/usr/share/bash-completion/completions/spillway", "/usr/share/fish/vendor_completions.d/spillway.fish"},
	"spillway-ingest": {"/usr/bin/spillway-ingest", "/usr/lib/systemd/system/spillway-ingest.service", "/etc/spillway/ingest.env",
		"/usr/share/doc/spillway-ingest/copyright", "/usr/share/doc/spillway-ingest/THIRD_PARTY_NOTICES"},
}

// packageOf is the file of a package for this machine.
func packageOf(t *testing.T, folder, name, format string, files map[string]string) string {
	t.Helper()
	for file := range files {
		if strings.HasPrefix(file, name+"_") && strings.HasSuffix(file, "_linux_"+runtime.GOARCH+"."+format) {
			return find(folder, file)
		}
	}
	t.Fatalf("no %s has %s", format, name)
	return ""
}

func checkDebs(t *testing.T, folder string, files map[string]string) {
	needs(t, "dpkg-deb")
	for name := range inPackages {
		deb, root := packageOf(t, folder, name, "deb", files), t.TempDir()
		for _, args := range [][]string{{"--info", deb}, {"--extract", deb, root}} {
			if out, err := exec.Command("dpkg-deb", args...).CombinedOutput(); err != nil {
				t.Fatalf("dpkg-deb %q: %v\n%s", args, err, out)
			}
		}
		checkInstalled(t, root, name)
	}
}

func checkRPMs(t *testing.T, folder string, files map[string]string) {
	needs(t, "rpm2cpio")
	needs(t, "cpio")
	for name := range inPackages {
		rpm, root := packageOf(t, folder, name, "rpm", files), t.TempDir()
		// Debian's rpm2cpio ends with 1 though it has written everything; what is missing is found below.
		c := exec.Command("bash", "-c", `rpm -K --nosignature "$1" && rpm2cpio "$1" | cpio -idm --quiet --no-absolute-filenames`, "rpm", rpm)
		c.Dir = root
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("unpack %s: %v\n%s", rpm, err, out)
		}
		checkInstalled(t, root, name)
	}
}

func needs(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		skip(t, program+" is not installed")
	}
}

// skip skips the test, where nobody says that it has to run.
func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("SPILLWAY_REQUIRE_RELEASE") == "1" {
		t.Fatal(why)
	}
	t.Skip(why)
}

func checkInstalled(t *testing.T, root, name string) {
	t.Helper()
	for _, file := range inPackages[name] {
		info, err := os.Stat(filepath.Join(root, file))
		want := fs.FileMode(0o644)
		switch {
		case strings.HasPrefix(file, "/usr/bin/"):
			want = 0o755
		case strings.HasPrefix(file, "/etc/"):
			want = 0o600
		}
		if err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v, want the mode %o", file, info, err, want)
		}
	}
	out, err := exec.Command(filepath.Join(root, "usr/bin", name), "version").CombinedOutput()
	if err != nil || !strings.Contains(string(out), " v0.0.1-snapshot.") {
		t.Errorf("the installed %s says %q, %v", name, out, err)
	}
	if name != "spillway-ingest" {
		return
	}
	unit, err := os.ReadFile(filepath.Join(root, "usr/lib/systemd/system/spillway-ingest.service"))
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(unit)); lines.Scan(); {
		for _, key := range []string{"ExecStart=", "EnvironmentFile="} {
			if file, ok := strings.CutPrefix(lines.Text(), key); ok && !exists(filepath.Join(root, file)) {
				t.Errorf("the unit has %s, which is not installed", lines.Text())
			}
		}
	}
}
