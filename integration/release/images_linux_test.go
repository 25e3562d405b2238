package release

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// An image is a final stage of the Dockerfile.
type image struct {
	copies                      [][]string // the words of its COPY instructions
	user                        string
	entrypoint, command, health []string
}

// readDockerfile reads what the project's Dockerfile needs of the format, and the command that
// builds.
func readDockerfile(t *testing.T) (run string, images map[string]*image) {
	t.Helper()
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	images = map[string]*image{}
	var stage *image
	joined := regexp.MustCompile(`\\\n\s*`).ReplaceAllString(string(text), "")
	for line := range strings.Lines(joined) {
		line = strings.TrimSpace(line)
		word, rest, _ := strings.Cut(line, " ")
		form := func(into *[]string) {
			if err := json.Unmarshal([]byte(rest), into); err != nil {
				t.Errorf("%s is not of the form that needs no shell: %v", line, err)
			}
		}
		switch word {
		case "", "#", "WORKDIR", "ARG", "EXPOSE", "VOLUME":
		case "FROM":
			stage = &image{}
			if from, name, _ := strings.Cut(rest, " AS "); from == "scratch" {
				images[name] = stage
			}
		case "RUN":
			run = regexp.MustCompile(`--mount=\S+ `).ReplaceAllString(rest, "")
		case "COPY":
			stage.copies = append(stage.copies, strings.Fields(rest))
		case "USER":
			stage.user = rest
		case "ENTRYPOINT":
			form(&stage.entrypoint)
		case "CMD":
			form(&stage.command)
		case "HEALTHCHECK":
			_, rest, _ = strings.Cut(rest, "CMD ")
			form(&stage.health)
		default:
			t.Errorf("this test does not know %s", line)
		}
	}
	return run, images
}

func TestTheImagesRunAsAUserWithoutANameAndNeedNoShell(t *testing.T) {
	run, images := readDockerfile(t)
	if len(images) != 3 || !strings.Contains(run, "go build ") {
		t.Fatalf("the images are %v", images)
	}
	for name, i := range images {
		if uid, gid, _ := strings.Cut(i.user, ":"); uid != gid || uid == "0" || !isNumber(uid) {
			t.Errorf("%s: the user is %q", name, i.user)
		}
		if len(i.entrypoint) != 1 || name != "exampleapi" && (len(i.health) != 2 || i.health[0] != i.entrypoint[0] ||
			i.health[1] != "health") {
			t.Errorf("%s: starts %q, is checked by %q", name, i.entrypoint, i.health)
		}
	}
}

func isNumber(text string) bool { _, err := strconv.Atoi(text); return err == nil }

// inside is the variable with the folder of the images' root file systems, for the process that
// runs them.
const inside = "SPILLWAY_TEST_IMAGES"

// TestTheImagesWork builds the images by hand, since no engine is needed for that: it runs the
// Dockerfile's own commands, copies what they copy, and starts what they start, with a read-only
// root, as their user, in namespaces of their own.
func TestTheImagesWork(t *testing.T) {
	if os.Getenv(inside) != "" {
		runImages(t, os.Getenv(inside))
		return
	}
	if !*build && *built == "" {
		t.Skip("run it with -release, as .ci/run does")
	}
	if os.Getuid() != 0 {
		skip(t, "only root makes namespaces and mounts: run this test as root, as CI does")
	}
	run, images := readDockerfile(t)
	stage := t.TempDir()
	c := exec.Command("bash", "-c", strings.ReplaceAll(run, "/out", stage))
	c.Dir, c.Env = "../..", append(os.Environ(), "TARGETOS=linux", "TARGETARCH=", "VERSION=v9.9.9")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("RUN: %v\n%s", err, out)
	}
	roots := t.TempDir()
	for name, i := range images {
		root := filepath.Join(roots, name)
		for _, words := range i.copies {
			i.copy(t, words, stage, root)
		}
	}
	self := exec.Command("/proc/self/exe", "-test.run=^TestTheImagesWork$", "-test.v", "-test.timeout=5m")
	self.Env = append(os.Environ(), inside+"="+roots)
	self.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID,
		Pdeathsig: syscall.SIGKILL}
	out, err := self.CombinedOutput()
	if errors.Is(err, syscall.EPERM) {
		skip(t, "namespaces are not allowed here: "+err.Error())
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: TestTheImagesWork") {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// copy does what a COPY instruction does.
func (i *image) copy(t *testing.T, words []string, stage, root string) {
	t.Helper()
	owner := 0
	words = slices.DeleteFunc(slices.Clone(words), func(w string) bool {
		if id, ok := strings.CutPrefix(w, "--chown="); ok {
			if id != i.user {
				t.Errorf("COPY %q gives the files to %s", words, id)
			}
			owner, _ = strconv.Atoi(strings.Split(id, ":")[0])
		}
		return strings.HasPrefix(w, "--")
	})
	to := filepath.Join(root, words[len(words)-1])
	for _, from := range words[:len(words)-1] {
		target := to
		if strings.HasSuffix(words[len(words)-1], "/") {
			target = filepath.Join(to, filepath.Base(from))
		}
		switch {
		case strings.HasPrefix(from, "/out/"):
			from = filepath.Join(stage, strings.TrimPrefix(from, "/out/"))
		case strings.HasPrefix(from, "/src/"):
			from = filepath.Join("../..", strings.TrimPrefix(from, "/src/"))
		}
		info, err := os.Stat(from)
		if os.IsNotExist(err) && strings.HasPrefix(from, "/etc/ssl/") {
			continue // of the image that builds; this machine has them elsewhere, or not at all
		}
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			err = os.MkdirAll(target, info.Mode())
		} else {
			f, openErr := os.Open(from)
			if openErr != nil {
				t.Fatal(openErr)
			}
			write(t, target, f, info.Mode())
			f.Close()
		}
		if err == nil {
			err = os.Chown(target, owner, owner)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// runImages is the test in its own namespaces: its network has the loopback interface only.
func runImages(t *testing.T, roots string) {
	_, images := readDockerfile(t)
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("start the loopback interface: %v\n%s", err, out)
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	for name := range images {
		root := filepath.Join(roots, name)
		// Every engine gives a container this file, without which nothing is called localhost.
		write(t, filepath.Join(root, "etc", "hosts"), strings.NewReader("127.0.0.1 localhost\n"), 0o644)
		if err := syscall.Mount(root, root, "", syscall.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		volume := filepath.Join(root, "data") // begins as the image's, as a new volume does
		if exists(volume) {
			if err := syscall.Mount(volume, volume, "", syscall.MS_BIND, ""); err != nil {
				t.Fatal(err)
			}
		}
		if err := syscall.Mount("", root, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY|syscall.MS_NOSUID, ""); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "x"), nil, 0o600); !errors.Is(err, syscall.EROFS) {
			t.Fatalf("the root of %s can be written: %v", name, err)
		}
	}
	up := images["up"].start(t, filepath.Join(roots, "up"), nil, nil)
	up.awaitHealth(t)
	queue := "SPILLWAY_QUEUE_URL=http://127.0.0.1:9324/000000000000/spillway-events"
	environment := []string{queue, strings.NewReplacer("QUEUE", "DEAD_LETTER_QUEUE", "events", "dead-letters").Replace(queue),
		"PORT=8081", "SPILLWAY_SPILL_DIR=/data", "AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local",
		"AWS_REGION=us-east-1", "AWS_ENDPOINT_URL_SQS=http://127.0.0.1:9324"}
	server := images["ingest"].start(t, filepath.Join(roots, "ingest"), environment, nil)
	server.awaitHealth(t)
	api := images["exampleapi"].start(t, filepath.Join(roots, "exampleapi"), nil, append(images["exampleapi"].command,
		"--queue-url", "http://127.0.0.1:9324/000000000000/spillway-events")) // a network without names
	await(t, "the example API", func() bool {
		answer, err := http.Get("http://127.0.0.1:8090/health")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return true
	})
	post(t, "http://127.0.0.1:8080/v1/track", `{"userId":"u1","event":"By up"}`)
	post(t, "http://127.0.0.1:8081/v1/track", `{"userId":"u1","event":"By the server"}`)
	post(t, "http://127.0.0.1:8090/runs?id=1", "")
	text := ""
	t.Cleanup(func() { t.Logf("Segment has %s", text) })
	await(t, "three events", func() bool {
		text = read("http://127.0.0.1:9325/_segmentd/events?limit=9")
		return strings.Contains(text, "By up") && strings.Contains(text, "By the server") && strings.Contains(text, "Run Started")
	})
	if page := read("http://127.0.0.1:9326/"); !strings.Contains(page, "<html") {
		t.Errorf("the operator's page is %q", page)
	}
	for _, p := range []*container{api, server, up} {
		p.stop(t)
	}
	if err := up.check(); err == nil {
		t.Error("the health check of an image that has ended passes")
	}
	if entries, err := os.ReadDir(filepath.Join(roots, "up", "data")); err != nil || len(entries) == 0 {
		t.Errorf("in the volume of up is %v, %v", entries, err)
	}
	again := images["up"].start(t, filepath.Join(roots, "up"), nil, nil)
	again.awaitHealth(t)
	again.stop(t)
}

func read(url string) string {
	answer, err := http.Get(url)
	if err != nil {
		return ""
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body) // half an answer lacks what is looked for
	return string(text)
}

// A container is a started image.
type container struct {
	*image
	root        string
	environment []string
	process     *exec.Cmd
	log         *os.File
}

func (i *image) program(root string, environment []string, words ...string) *exec.Cmd {
	uid, _ := strconv.Atoi(strings.Split(i.user, ":")[0])
	c := exec.Command(words[0], words[1:]...)
	c.Env, c.Dir = environment, "/"
	if environment == nil {
		c.Env = []string{}
	}
	c.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Pdeathsig: syscall.SIGKILL,
		Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	return c
}

// start starts the image's program; without a command, with that of the image.
func (i *image) start(t *testing.T, root string, environment, command []string) *container {
	t.Helper()
	if command == nil {
		command = i.command
	}
	log, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	p := &container{i, root, environment, i.program(root, environment, append(slices.Clone(i.entrypoint), command...)...), log}
	p.process.Stdout, p.process.Stderr = log, log
	if err := p.process.Start(); err != nil {
		t.Fatalf("start %q: %v", p.process.Args, err)
	}
	t.Cleanup(func() {
		if said, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("%q has said\n%s", p.process.Args, said)
		}
	})
	return p
}

func (p *container) check() error {
	out, err := p.program(p.root, p.environment, p.health...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return err
}

func (p *container) awaitHealth(t *testing.T) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if err = p.check(); err == nil {
			return
		}
		if time.Now().After(deadline) {
			said, _ := os.ReadFile(p.log.Name())
			t.Fatalf("%q is not healthy: %v\n%s", p.process.Args, err, said)
		}
	}
}

func (p *container) stop(t *testing.T) {
	t.Helper()
	err := p.process.Process.Signal(syscall.SIGTERM)
	if err == nil {
		err = p.process.Wait()
	}
	if err != nil {
		said, _ := os.ReadFile(p.log.Name())
		t.Errorf("the end of %q: %v\n%s", p.process.Args, err, said)
	}
}
