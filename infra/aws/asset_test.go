package main

import (
	"archive/zip"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/functions"
	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/settings"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

const module = "../.."

// ownArchitecture is Lambda's name for this machine's architecture.
func ownArchitecture() string {
	if runtime.GOARCH == "amd64" {
		return "x86_64"
	}
	return runtime.GOARCH
}

// builtCanary is the smallest function alone, built for this machine: all functions are built alike.
func builtCanary(t *testing.T, source string) assets {
	t.Helper()
	d := usual()
	f, _ := d.Function(d.Names.CanaryFunction)
	d.Functions = []topology.Function{f}
	code, err := functions.Build(d.Functions, nil, source, t.TempDir(), ownArchitecture())
	if err != nil {
		t.Fatal(err)
	}
	if len(code) != 1 {
		t.Fatalf("%d functions are built", len(code))
	}
	return code
}

// A deployment of the same sources must change nothing, whatever folder they are in, and whatever the
// variables of Go say: patch releases of Go make different bytes of the same sources, and so do some
// variables.
func TestTheSameSourcesMakeTheSameAssetInAnyFolderWithTheToolchainOfGoMod(t *testing.T) {
	here := assets{}
	if d := usual(); *every {
		var err error
		if here, err = functions.Build(d.Functions, nil, module, t.TempDir(), ownArchitecture()); err != nil || len(here) != 4 {
			t.Fatalf("%d functions are built: %v", len(here), err)
		}
	}
	// For the toolchain alone a program that does nothing is enough.
	elsewhere := withFunction(t, "canary", "package main\n\nfunc main() {}\n")
	if *every {
		copySources(t, elsewhere)
	}
	for variable, value := range map[string]string{"GOTOOLCHAIN": "go1.0.1+path", "GOFLAGS": "-race", "GOAMD64": "v3",
		"GOEXPERIMENT": "nocoverageredesign", "GOFIPS140": "latest", "GOWORK": "/nowhere/go.work"} {
		t.Setenv(variable, value)
	}
	content, err := os.ReadFile(filepath.Join(module, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(content), "\ntoolchain ")
	toolchain, _, _ := strings.Cut(rest, "\n")
	there := maps.Clone(here)
	for name, archive := range builtCanary(t, elsewhere) {
		info, err := buildinfo.ReadFile(unpack(t, archive))
		if err != nil || info.GoVersion != toolchain {
			t.Errorf("%s is built with %v, want %s of go.mod: %v", name, info, toolchain, err)
		}
		if !*every {
			return
		}
		there[name] = archive
		if a, b := digest(t, here[name]), digest(t, archive); a != b {
			t.Errorf("%s: %s here, %s elsewhere and with other variables", name, a, b)
		}
	}
	s := settings.Default(topology.DefaultNames(), "eu-west-1")
	first, second := t.TempDir(), t.TempDir()
	one, two := synthesiseWith(t, first, &s, environment{version: "v1.2.3", assets: here}),
		synthesiseWith(t, second, &s, environment{version: "v1.2.3", assets: there})
	if a, b := string(one["eu-west-1"].content), string(two["eu-west-1"].content); a != b ||
		strings.Count(a, `"S3Key"`) != 4 {
		t.Error("two syntheses differ")
	}
}

func digest(t *testing.T, archive string) string {
	t.Helper()
	content, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(content))
}

// unpack unpacks an archive as Lambda does, with the modes of its files, and returns the path of
// the binary.
func unpack(t *testing.T, archive string) string {
	t.Helper()
	z, err := zip.OpenReader(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	if len(z.File) != 1 || z.File[0].Name != "bootstrap" || z.File[0].Mode() != 0o755 ||
		z.File[0].Modified.Format(time.DateOnly) != "1980-01-01" {
		t.Fatalf("%s holds %v, want an executable bootstrap of 1980", archive, z.File)
	}
	content, err := fs.ReadFile(z, "bootstrap")
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "bootstrap")
	if err := os.WriteFile(binary, content, z.File[0].Mode()); err != nil {
		t.Fatal(err)
	}
	return binary
}

func TestAToolchainThatCannotBeHadIsAnError(t *testing.T) {
	t.Setenv("GOPROXY", "off")
	d := usual()
	for line, want := range map[string]string{
		"toolchain go1.26.999": "with go1.26.999, the toolchain of go.mod",
		"":                     "go.mod must have a line like toolchain go1.",
	} {
		elsewhere := t.TempDir()
		gomod := "module example.com/m\n\ngo 1.26.0\n\n" + line + "\n"
		if err := os.WriteFile(filepath.Join(elsewhere, "go.mod"), []byte(gomod), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := functions.Build(d.Functions, nil, elsewhere, t.TempDir(), "arm64"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", line, err, want)
		}
	}
}

// withFunction makes a folder with the module's go.mod and the program of one function.
func withFunction(t *testing.T, name, program string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	gomod, err := os.ReadFile(filepath.Join(module, "go.mod"))
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "go.mod"), gomod, 0o644)
	}
	source := filepath.Join(folder, "functions", name)
	if err == nil {
		err = os.MkdirAll(source, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(source, "main.go"), []byte(program), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// copySources copies the sources of the functions, without the repository around them.
func copySources(t *testing.T, to string) {
	t.Helper()
	for _, part := range []string{"go.mod", "go.sum", "functions", "shared"} {
		err := filepath.WalkDir(filepath.Join(module, part), func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			name, _ := filepath.Rel(module, path)
			if entry.IsDir() {
				return os.MkdirAll(filepath.Join(to, name), 0o755)
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(to, name), content, 0o644)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFunctionThatDoesNotCompileIsAnError(t *testing.T) {
	broken := withFunction(t, "deliver", "package main\n\nvar x int = \"\"\n\nfunc main() {}\n")
	d := usual()
	if _, err := functions.Build(d.Functions, nil, broken, t.TempDir(), "arm64"); err == nil ||
		!strings.Contains(err.Error(), "build the function spillway-deliver") ||
		!strings.Contains(err.Error(), "main.go:3") {
		t.Errorf("got %v", err)
	}
}

// world is what deployed functions call: SQS, Segment and an ingest endpoint of the local pipeline,
// and SSM.
type world struct {
	*local.Pipeline
	ssm      string
	template template
	arrivals *localtest.Arrivals
	log      testutil.Buffer // of the functions
}

// parameters are in SSM, as docs/deploy.md tells the user.
var parameters = map[string]string{
	"/spillway/write-key":  "wk-default",
	"/spillway/write-keys": `{"writeKeys":[{"name":"demo","writeKey":"wk-demo"}]}`,
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{arrivals: localtest.NewArrivals()}
	w.Pipeline = localtest.Start(t, local.Config{IngestAddr: "127.0.0.1:0", Hold: true, OnEvent: w.arrivals.Add})
	ssm := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var in struct {
			Name           string
			WithDecryption bool
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil ||
			r.Header.Get("X-Amz-Target") != "AmazonSSM.GetParameter" || parameters[in.Name] == "" || !in.WithDecryption {
			http.Error(rw, `{"__type":"ParameterNotFound"}`, http.StatusBadRequest)
			return
		}
		rw.Header().Set("Content-Type", "application/x-amz-json-1.1")
		json.NewEncoder(rw).Encode(map[string]any{"Parameter": map[string]string{"Name": in.Name,
			"Value": parameters[in.Name]}})
	}))
	t.Cleanup(ssm.Close)
	w.ssm = ssm.URL
	w.template = defaults(t)
	return w
}

// deployed is the function as the template has it, with its variables, timeout and memory, in a binary
// for this machine that the tests of other packages run too. That a function has its own archive in
// the template is what compareAssets looks at.
func (w *world) deployed(t *testing.T, name string) *lambda.Function {
	t.Helper()
	f := w.template.named(t, "AWS::Lambda::Function", "FunctionName", name)
	built, _ := new(usual()).Function(name)
	env := []string{
		"AWS_ACCESS_KEY_ID=" + local.AccessKey, "AWS_SECRET_ACCESS_KEY=" + local.AccessKey, "AWS_REGION=" + local.Region,
		"AWS_ENDPOINT_URL_SQS=" + w.SQSURL, "AWS_ENDPOINT_URL_SSM=" + w.ssm,
	}
	variables, _ := f.at("Environment", "Variables").(map[string]any)
	for variable, value := range variables {
		resolved := w.resolve(t, value)
		if variable == "SPILLWAY_SEGMENT_ENDPOINT" {
			if resolved != "https://api.segment.io" {
				t.Errorf("the endpoint is %s", resolved)
			}
			resolved = w.SegmentURL
		}
		env = append(env, variable+"="+resolved)
	}
	made := lambda.NewFunction(lambda.FunctionConfig{
		Name: name, Timeout: time.Duration(number(t, f.at("Timeout"))) * time.Second,
		MemoryMB: int(number(t, f.at("MemorySize"))),
		NewEnvironment: lambda.Process(lambda.ProcessConfig{
			Path: testutil.Build(t, "functions/"+built.Metrics), Env: env, Output: &w.log,
		}),
	})
	t.Cleanup(made.Close)
	return made
}

// resolve resolves a value as CloudFormation does.
func (w *world) resolve(t *testing.T, value any) string {
	t.Helper()
	if s, ok := value.(string); ok {
		return s
	}
	list := func(value any) []any { l, _ := value.([]any); return l }
	for name, argument := range value.(map[string]any) {
		switch args := list(argument); name {
		case "Ref":
			if argument == "AWS::StackId" {
				return "arn:aws:cloudformation:eu-west-1:123456789012:stack/spillway-eu-west-1/4f1c7a2e-0000-11ef-8000-0a1b2c3d4e5f"
			}
			if r := w.template.Resources[argument.(string)]; r.Type == "AWS::SQS::Queue" {
				return w.QueueURL(r.at("QueueName").(string))
			}
		case "Fn::GetAtt":
			if args[1] == "ApiEndpoint" {
				return w.IngestURL
			}
		case "Fn::Join":
			var parts []string
			for _, part := range list(args[1]) {
				parts = append(parts, w.resolve(t, part))
			}
			return strings.Join(parts, args[0].(string))
		case "Fn::Select":
			split := list(args[1].(map[string]any)["Fn::Split"])
			return strings.Split(w.resolve(t, split[1]), split[0].(string))[2]
		}
	}
	t.Fatalf("%v can't be resolved", value)
	return ""
}

func sample(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(module, "events", name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func invoke(t *testing.T, f *lambda.Function, payload []byte, into any) {
	t.Helper()
	answer, err := f.Invoke(t.Context(), payload)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		t.Fatalf("%s: %v", answer, err)
	}
}

func needsLinux(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the functions are built for Linux: run this test there")
	}
}

// This runs the functions' binaries with the variables of the template.
func TestTheSynthesisedFunctionsAcceptAndDeliverEvents(t *testing.T) {
	t.Parallel() // with the other test that builds the functions
	needsLinux(t)
	w := newWorld(t)
	deliver := w.deployed(t, topology.DefaultNames().DeliverFunction)
	payloads := map[string][]byte{"sqs-event.json": sample(t, "sqs-event.json"),
		"sqs-event-packed.json": sample(t, "sqs-event-packed.json")}
	for _, name := range []string{"track.json", "identify.json", "batch.json"} { // bodies of messages
		body, _ := json.Marshal(string(sample(t, name)))
		payloads[name] = fmt.Appendf(nil, `{"Records":[{"messageId":%q,"receiptHandle":"r","body":%s}]}`, name, body)
	}
	for name, payload := range payloads {
		before := len(w.arrivals.All())
		var report struct {
			BatchItemFailures []struct{ ItemIdentifier string }
		}
		invoke(t, deliver, payload, &report)
		if len(report.BatchItemFailures) != 0 || len(w.arrivals.All()) == before {
			t.Errorf("%s: %d events arrived, and the report is %v\n%s", name, len(w.arrivals.All())-before, report,
				w.log.String())
		}
	}
	if !slices.ContainsFunc(w.arrivals.All(), func(e segmentd.Received) bool { return e.WriteKey == "wk-default" }) {
		t.Errorf("no event was sent with the default write key of SSM\n%s", w.log.String())
	}

	ingest := w.deployed(t, topology.DefaultNames().IngestFunction)
	for name, status := range map[string]int{
		"http-api-batch": 200, "http-api-gzip": 200, "http-api-pixel": 200, "http-api-settings": 200,
		"http-api-preflight": 204, "http-api-no-key": 400,
		"http-api-function-url": 200,
	} {
		var answer struct {
			StatusCode int
			Body       string
		}
		invoke(t, ingest, sample(t, "http/"+name+".json"), &answer)
		if answer.StatusCode != status {
			t.Errorf("%s: %d %s, want %d\n%s", name, answer.StatusCode, answer.Body, status, w.log.String())
		}
	}
	var stranger struct{ StatusCode int }
	invoke(t, ingest, []byte(strings.ReplaceAll(string(sample(t, "http/http-api-settings.json")), "wk-demo", "stranger")),
		&stranger)
	if stranger.StatusCode == 200 {
		t.Error("a write key that is not in SSM's set gets settings")
	}

	var nothing any
	invoke(t, w.deployed(t, topology.DefaultNames().CanaryFunction), []byte(`{}`), &nothing)
	w.awaitLog(t, `"CanaryAccepted":1`)
	arrived := len(w.arrivals.All())
	canary := w.resolve(t, w.template.named(t, "AWS::Lambda::Function", "FunctionName",
		topology.DefaultNames().DeliverFunction).at("Environment", "Variables", "SPILLWAY_CANARY_WRITE_KEY"))
	body, _ := json.Marshal(fmt.Sprintf(`{"writeKey":%q,"batch":[{"type":"track","userId":"canary","event":"Canary","messageId":"c"}]}`, canary))
	invoke(t, deliver, fmt.Appendf(nil, `{"Records":[{"messageId":"c","receiptHandle":"c","body":%s}]}`, body), &nothing)
	w.awaitLog(t, `"CanaryDelivered":1`)
	if len(w.arrivals.All()) != arrived {
		t.Errorf("the canary did not end before Segment: %d events more arrived\n%s", len(w.arrivals.All())-arrived,
			w.log.String())
	}

	if _, err := deliver.Invoke(t.Context(), []byte(`"not an event of SQS"`)); err == nil {
		t.Error("deliver takes a payload that is not an event of SQS")
	}
	w.awaitLog(t, `"msg":"the invocation failed"`)
	for line := range strings.Lines(w.log.String()) {
		if strings.HasSuffix(line, "\n") && (!json.Valid([]byte(line)) || line[0] != '{') { // the last may be half read
			t.Errorf("the log has a line that is not a JSON object: %q", line)
		}
	}
}

// A wrong variable is what a deployment gets wrong first, and it must be found by a query too.
func TestAFunctionThatCannotStartSaysSoInALineOfJSON(t *testing.T) {
	t.Parallel()
	needsLinux(t)
	for _, f := range usual().Functions {
		command := exec.Command(testutil.Build(t, "functions/"+f.Metrics))
		command.Env = []string{"AWS_LAMBDA_RUNTIME_API=127.0.0.1:1", "SPILLWAY_LOG_LEVEL=loud"}
		var stderr strings.Builder
		command.Stderr = &stderr
		out, err := command.Output()
		var line struct{ Level, Msg, Error string }
		if err == nil || stderr.Len() > 0 || json.Unmarshal(out, &line) != nil || line.Level != "ERROR" ||
			!strings.HasSuffix(line.Msg, "can't start") || !strings.Contains(line.Error, "SPILLWAY_LOG_LEVEL must be") {
			t.Errorf("%s: %v, stdout %s, stderr %s", f.Name, err, out, &stderr)
		}
	}
}

// awaitLog waits for a text in the functions' log, which comes through a pipe and may be later than
// the answer.
func (w *world) awaitLog(t *testing.T, text string) {
	t.Helper()
	w.arrivals.Await(t, text+" in the log", func() bool { return strings.Contains(w.log.String(), text) })
}
