package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"github.com/spillwayhq/spillway/infra/functions"
	"github.com/spillwayhq/spillway/infra/settings"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil"
)

var (
	update = flag.Bool("update", false, "update the golden template")
	every  = flag.Bool("every", false, "build all functions, and one in a second folder, and have cdk-nag look at stacks with "+
		"every setting")
)

// TestMain switches off the CDK's validation of each synthesised template, which takes half of the
// time of these tests and whose findings are only warnings. TestCfnLintFindsNothing and TestCDKNag…
// look for mistakes. jsii has kept the environment for its child process when TestMain begins, so
// the test binary starts itself again. Where a system can't do that (Windows), the tests are slow.
func TestMain(m *testing.M) {
	const variable = "CDK_VALIDATION"
	if os.Getenv(variable) == "" {
		os.Setenv(variable, "false")
		if binary, err := os.Executable(); err == nil {
			jsii.Close() // it is started again
			_ = syscall.Exec(binary, os.Args, os.Environ())
		}
	}
	testutil.CollectLess(400) // little is held
	testutil.MainOnePerCore(m, jsii.Close)
}

// The CDK's own assertions panic, so the first failure would end all tests. These tests read the
// template as JSON.
type (
	template struct {
		Resources map[string]resource
		Outputs   map[string]struct{ Description, Value, Export any }

		content   []byte // as it was written
		protected bool   // from deletion, by the manifest of the assembly
	}
	resource struct {
		Type           string
		Properties     map[string]any
		DeletionPolicy string
		DependsOn      any
	}
)

// of returns the resources of that type, by their logical IDs.
func (t template) of(kind string) map[string]resource {
	found := map[string]resource{}
	for name, r := range t.Resources {
		if r.Type == kind {
			found[name] = r
		}
	}
	return found
}

// exactly is of, and fails unless there are n: a loop over none of them would check nothing.
func (t template) exactly(tb testing.TB, n int, kind string) map[string]resource {
	tb.Helper()
	found := t.of(kind)
	if len(found) != n {
		tb.Errorf("%d resources are %s, want %d", len(found), kind, n)
	}
	return found
}

// named returns the resource of that type with that property.
func (t template) named(tb testing.TB, kind, property, value string) resource {
	tb.Helper()
	for _, r := range t.of(kind) {
		if r.Properties[property] == value {
			return r
		}
	}
	tb.Fatalf("the template has no %s with %s %s", kind, property, value)
	return resource{}
}

// queueOf is the name of the queue of an event source.
func (t template) queueOf(tb testing.TB, source resource) string {
	tb.Helper()
	for id, q := range t.of("AWS::SQS::Queue") {
		if text(source.at("EventSourceArn")) == fmt.Sprintf(`{"Fn::GetAtt":[%q,"Arn"]}`, id) {
			return fmt.Sprint(q.at("QueueName"))
		}
	}
	tb.Fatalf("the event source %v has no queue of the template", source.Properties)
	return ""
}

// concurrency is the maximum of the events queue's event source, and that of the bulk queue's.
func (t template) concurrency(tb *testing.T) (most [2]float64) {
	tb.Helper()
	for i, queue := range [...]string{topology.DefaultNames().EventsQueue, topology.DefaultNames().BulkQueue} {
		for _, source := range t.exactly(tb, 2, "AWS::Lambda::EventSourceMapping") {
			if t.queueOf(tb, source) == queue {
				most[i] = number(tb, source.at("ScalingConfig", "MaximumConcurrency"))
			}
		}
	}
	return most
}

// at returns the value at that path of the properties.
func (r resource) at(names ...string) any {
	var value any = r.Properties
	for _, name := range names {
		object, _ := value.(map[string]any)
		value = object[name]
	}
	return value
}

// placeholders are small files in place of the built functions.
func placeholders(tb testing.TB, folder string, s *settings.Settings) assets {
	tb.Helper()
	code := assets{}
	all, _ := functionsOf(s)
	for _, f := range all {
		code[f.Name] = filepath.Join(folder, f.Name+".zip")
		if err := functions.Pack(code[f.Name], functions.File{Name: functions.Bootstrap, Content: []byte(f.Name)}); err != nil {
			tb.Fatal(err)
		}
	}
	return code
}

// synthesiseWith returns the templates of all regions in an environment, which has built functions.
func synthesiseWith(tb testing.TB, folder string, s *settings.Settings, env environment) map[string]template {
	tb.Helper()
	if err := validate(s, knownRegions()); err != nil {
		tb.Fatal(err)
	}
	out := filepath.Join(folder, "cdk.out")
	app := awscdk.NewApp(&awscdk.AppProps{AnalyticsReporting: jsii.Bool(false), TreeMetadata: jsii.Bool(false),
		Outdir: jsii.String(out)})
	if err := addStacks(app, s, env); err != nil {
		tb.Fatal(err)
	}
	app.Synth(nil)
	templates := map[string]template{}
	var manifest struct {
		Artifacts map[string]struct {
			Type       string
			Properties struct{ TerminationProtection bool }
		}
	}
	if content, err := os.ReadFile(filepath.Join(out, "manifest.json")); err != nil ||
		json.Unmarshal(content, &manifest) != nil {
		tb.Fatalf("the assembly has no manifest: %v", err)
	}
	for region, stack := range stacksOf(s) {
		if kind := manifest.Artifacts[stack].Type; kind != "aws:cloudformation:stack" {
			tb.Errorf("the manifest has %s as %q, want a stack", stack, kind)
		}
		content, err := os.ReadFile(filepath.Join(out, stack+".template.json"))
		if err != nil {
			tb.Fatal(err)
		}
		t := template{content: content, protected: manifest.Artifacts[stack].Properties.TerminationProtection}
		if err := json.Unmarshal(content, &t); err != nil {
			tb.Fatal(err)
		}
		t.compareAssets(tb, out, env.assets)
		templates[region] = t
	}
	return templates
}

// compareAssets fails unless each function's asset in the assembly is the archive that was built for it.
func (t template) compareAssets(tb testing.TB, assembly string, built assets) {
	tb.Helper()
	for id, f := range t.of("AWS::Lambda::Function") {
		got, err := os.ReadFile(filepath.Join(assembly, fmt.Sprint("asset.", f.at("Code", "S3Key"))))
		want, missing := os.ReadFile(built[fmt.Sprint(f.at("FunctionName"))])
		if err := errors.Join(err, missing); err != nil || !bytes.Equal(got, want) {
			tb.Errorf("the asset of %s is not the archive of its function: %v", id, err)
		}
	}
}

// stacks are the names of all stacks, by region.
func stacksOf(s *settings.Settings) map[string]string {
	names, stacks := s.Topology().Names, map[string]string{}
	for _, region := range s.Regions {
		stacks[region] = names.Stack(region)
	}
	for _, region := range s.StatusRegions {
		stacks[region] = names.StatusStack(region)
	}
	return stacks
}

// with synthesises one region with changed default settings.
func with(tb testing.TB, change func(*settings.Settings)) template {
	tb.Helper()
	s := settings.Default(topology.DefaultNames(), "eu-west-1")
	change(&s)
	return once(tb, &s)["eu-west-1"]
}

// made are templates by region, by the settings: several tests look at the same ones.
var made = struct {
	sync.Mutex
	templates map[string]map[string]template
}{templates: map[string]map[string]template{}}

// once synthesises all regions, unless a test has done so with the same settings.
func once(tb testing.TB, s *settings.Settings) map[string]template {
	tb.Helper()
	return onceIn(tb, "", s, environment{})
}

// onceIn is once in an environment with that name.
func onceIn(tb testing.TB, name string, s *settings.Settings, env environment) map[string]template {
	tb.Helper()
	made.Lock()
	defer made.Unlock()
	key := name + text(s)
	if made.templates[key] == nil {
		folder := tb.TempDir()
		env.version, env.assets = "v1.2.3", placeholders(tb, folder, s)
		made.templates[key] = synthesiseWith(tb, folder, s, env)
	}
	return made.templates[key]
}

// several is a template with several settings that have nothing to do with each other: a synthesis
// for each of them would take a quarter of a second.
func several(tb testing.TB) template {
	tb.Helper()
	return with(tb, func(s *settings.Settings) {
		s.IngestEndpoint, s.EventBridge = settings.FunctionURL, true
		s.OKNotifications, s.Runbook = false, "https://wiki.example.com/spillway"
		s.EndpointParameter, s.WriteKeysParameters = "/spillway/segment-endpoint", []string{"/team/keys", "partners"}
		s.WriteKeysObject = "s3://keys-{region}/team/web.json"
		s.ReservedConcurrency, s.BatchSize, s.BatchingWindowSeconds = 50, 600, 30
		s.Emails, s.TicketEmails = []string{"ops@example.com", "dev@example.com"}, []string{"board@example.com"}
	})
}

// without is a template in which several things are switched off, in a region whose console is not
// public.
func without(tb testing.TB) template {
	tb.Helper()
	s := settings.Default(topology.DefaultNames(), "us-iso-east-1")
	s.ReservedConcurrency, s.Canary, s.WriteKeysParameters, s.Emails = 0, false, nil, []string{"ops@example.com"}
	if err := s.Set("ticketEmails", "none"); err != nil {
		tb.Fatal(err)
	}
	return once(tb, &s)["us-iso-east-1"]
}

// archived is a template with an archive and its table, and without steps of a rollout, in China.
func archived(tb testing.TB) template {
	tb.Helper()
	s := settings.Default(topology.DefaultNames(), "cn-northwest-1")
	withArchive(&s)
	s.Rollout = settings.RolloutAll
	return once(tb, &s)["cn-northwest-1"]
}

// defaults is the template of a deployment without settings.
func defaults(tb testing.TB) template {
	tb.Helper()
	return with(tb, func(*settings.Settings) {})
}

var hashes = regexp.MustCompile(`[0-9a-f]{64}`)

// masked is the template's text without the hashes of the functions.
func (t template) masked() []byte { return hashes.ReplaceAll(t.content, []byte("HASH")) }

// usual is the topology of a deployment without settings.
func usual() topology.Topology {
	o := topology.DefaultOptions()
	o.Rollout = true
	return topology.New(o)
}

var someRegions = map[string]string{"us-east-1": "aws", "eu-west-1": "aws", "eu-west-3": "aws", "eu-central-1": "aws",
	"cn-north-1": "aws-cn", "cn-northwest-1": "aws-cn", "us-iso-east-1": "aws-iso"}

// read is what a user with this context gets.
func read(t *testing.T, context string) (settings.Settings, error) {
	t.Helper()
	var values map[string]any
	if err := json.Unmarshal([]byte(context), &values); err != nil {
		t.Fatal(err)
	}
	s, err := settings.Read("eu-west-1", values, nil, os.ReadFile)
	return s, errors.Join(err, validate(&s, someRegions))
}
