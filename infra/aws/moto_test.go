package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cftypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/infra/settings"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/mototest"
	"github.com/spillwayhq/spillway/shared/ssm"
)

// A cloud is a moto server, which has CloudFormation and the services that the stack uses.
type cloud struct {
	python, url string
	config      aws.Config
	uploaded    map[string]bool // objects of S3
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	if os.Getenv("SPILLWAY_REQUIRE_MOTO") == "" {
		t.Skip("it takes 15 s: set SPILLWAY_REQUIRE_MOTO=1, as .ci/run does; it needs " + mototest.Need)
	}
	url, python := mototest.Start(t, filepath.Join("..", ".."))
	config, err := awsconfig.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &cloud{python: python, url: url, config: config, uploaded: map[string]bool{}}
}

func (c *cloud) stacks(region string) *cloudformation.Client {
	return cloudformation.NewFromConfig(c.config, func(o *cloudformation.Options) { o.Region = region })
}

func (c *cloud) queues(region string) *sqs.Client {
	return sqs.NewFromConfig(c.config, func(o *sqs.Options) { o.Region = region })
}

// bootstrap makes of a region what `cdk bootstrap` does: the bucket for code, and the version.
func (c *cloud) bootstrap(t *testing.T, region string) {
	t.Helper()
	there := c.config.Copy()
	there.Region = region
	if err := ssm.New(there).PutParameter(t.Context(), "/cdk-bootstrap/hnb659fds/version", "30", ssm.String); err != nil {
		t.Fatal(err)
	}
	c.put(t, bucket(region), nil)
}

func bucket(region string) string { return "/cdk-hnb659fds-assets-" + mototest.Account + "-" + region }

// put makes a bucket or an object of S3 once, which moto takes without a signature.
func (c *cloud) put(t *testing.T, path string, content []byte) {
	t.Helper()
	if c.uploaded[path] {
		return
	}
	c.uploaded[path] = true
	c.request(t, http.MethodPut, path, content, http.StatusOK)
}

// request sends a request to S3, and must get that status.
func (c *cloud) request(t *testing.T, method, path string, content []byte, want int) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, c.url+path, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != want {
		t.Fatalf("%s %s: %s", method, path, answer.Status)
	}
}

// A deployment is what `cdk deploy` did in the regions of the settings.
type deployment struct {
	said      string // before it went on
	templates map[string]template
	changed   map[string]bool // by region
}

// ask asks what exists, and returns what a deployment says of it.
func (c *cloud) ask(t *testing.T, s *settings.Settings) (before map[string]deployed, said string) {
	t.Helper()
	before = ask(t.Context(), mototest.Account, s.Topology().Names, s.Regions)
	var out strings.Builder
	for _, region := range s.Regions {
		tell(&out, s, region, before[region])
	}
	return before, out.String()
}

// deploy does what `cdk deploy` does: it asks what exists, synthesises, uploads the code, and
// creates or updates each stack.
func (c *cloud) deploy(t *testing.T, s *settings.Settings) deployment {
	t.Helper()
	folder := t.TempDir()
	before, said := c.ask(t, s)
	zone := askDomain(t.Context(), mototest.Account, s, noDNS)
	if err := zone.check(s, before); err != nil {
		t.Fatalf("refused before anything is made: %v", err)
	}
	env := environment{version: "v1.2.3", assets: placeholders(t, folder, s), deployed: before, zoneID: zone.id(s)}
	d := deployment{said, synthesiseWith(t, folder, s, env), map[string]bool{}}
	for region, stack := range stacksOf(s) {
		if len(d.templates[region].of("AWS::CloudFront::Distribution")) > 0 {
			continue // moto has no distributions with what ours has; cfn-lint checks them
		}
		for _, f := range d.templates[region].of("AWS::Lambda::Function") {
			key := f.at("Code", "S3Key").(string)
			content, err := os.ReadFile(filepath.Join(folder, "cdk.out", "asset."+key))
			if err != nil {
				t.Fatal(err)
			}
			c.put(t, bucket(region)+"/"+key, content)
		}
		d.changed[region] = c.apply(t, region, stack, string(d.templates[region].content))
	}
	return d
}

// apply creates or updates a stack, and reports whether that was necessary. Like the CDK it leaves
// a stack alone that has this very template.
func (c *cloud) apply(t *testing.T, region, stack, body string) bool {
	t.Helper()
	api := c.stacks(region)
	parameters := []cftypes.Parameter{{ParameterKey: aws.String("BootstrapVersion"),
		ParameterValue: aws.String("/cdk-bootstrap/hnb659fds/version")}}
	capabilities := []cftypes.Capability{cftypes.CapabilityCapabilityNamedIam}
	exists, _, err := readSettingsOf(t.Context(), api, stack)
	if err == nil && exists {
		has, failed := api.GetTemplate(t.Context(), &cloudformation.GetTemplateInput{StackName: &stack})
		if failed == nil && aws.ToString(has.TemplateBody) == body {
			return false
		}
		_, err = api.UpdateStack(t.Context(), &cloudformation.UpdateStackInput{StackName: &stack, TemplateBody: &body,
			Parameters: parameters, Capabilities: capabilities})
	} else if err == nil {
		_, err = api.CreateStack(t.Context(), &cloudformation.CreateStackInput{StackName: &stack, TemplateBody: &body,
			Parameters: parameters, Capabilities: capabilities})
	}
	if err != nil {
		t.Fatalf("deploy %s: %v", stack, err)
	}
	found, err := api.DescribeStacks(t.Context(), &cloudformation.DescribeStacksInput{StackName: &stack})
	if err != nil || !strings.HasSuffix(string(found.Stacks[0].StackStatus), "E_COMPLETE") {
		t.Fatalf("deploy %s: %+v, %v", stack, found, err)
	}
	return true
}

// destroy does what `cdk destroy` does.
func (c *cloud) destroy(t *testing.T, region string, s *settings.Settings) {
	t.Helper()
	stack := stacksOf(s)[region]
	if _, err := c.stacks(region).DeleteStack(t.Context(),
		&cloudformation.DeleteStackInput{StackName: &stack}); err != nil {
		t.Fatal(err)
	}
	if exists, _, err := readSettingsOf(t.Context(), c.stacks(region), stack); err != nil || exists {
		t.Fatalf("%s exists after it was destroyed: %v", stack, err)
	}
}

// physical is a resource as it is deployed: what its service says of it.
type physical struct {
	Type, Ref string
	Read      map[string]any // empty: its service has it as part of another resource
}

// read reads every resource of a stack back, by logical ID.
func (c *cloud) read(t *testing.T, region, stack string) map[string]physical {
	t.Helper()
	command := exec.Command(c.python, filepath.Join("testdata", "motoserver.py"), "read", c.url, region, stack)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	var all map[string]physical
	if err := json.Unmarshal(out, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// doctor lets `spillway doctor` check a pipeline, and returns what it found by check: "ok: all is
// well".
func (c *cloud) doctor(t *testing.T, pipeline string) map[string]string {
	t.Helper()
	ingest := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"success":true}`)
	}))
	defer ingest.Close()
	out, _ := exec.Command("go", "run", "../../cmd/spillway", "doctor", "--json", "--name", pipeline, // which fails
		"--ingest-url", ingest.URL).Output()
	var report struct {
		Checks []struct{ Check, Result, Says string }
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("doctor printed %q: %v", out, err)
	}
	got := map[string]string{}
	for _, check := range report.Checks {
		got[check.Check] = check.Result + ": " + check.Says
	}
	return got
}

// diagnose lets `spillway doctor` check the pipeline of a stack that has just been deployed: what
// it compares with the topology is as the stack made it, nobody is subscribed, and no parameter
// exists.
func (c *cloud) diagnose(t *testing.T, pipeline string) {
	t.Helper()
	got := c.doctor(t, pipeline)
	n, err := topology.NewNames(pipeline)
	if err != nil {
		t.Fatal(err)
	}
	source := fmt.Sprintf("ok: enabled, up to %d messages a batch, at most 9", topology.DefaultOptions().BatchSize)
	for check, want := range map[string]string{
		"clock": "ok", "subscriptions " + n.AlarmTopic: "failed: nobody is told",
		"function " + n.DeliverFunction: "ok: active", "function " + n.IngestFunction: "ok", "versions": "ok",
		"function " + n.CanaryFunction: "ok", "event source": source,
		"version of " + n.DeliverFunction: "ok: 1, the last", "version of " + n.IngestFunction: "ok: 1, the last",
		"function " + n.RolloutFunction: "ok",
		"queue " + n.EventsQueue:        "ok", "queue " + n.DeadLetterQueue: "ok", "ingest endpoint": "ok",
		"default write key": "failed: the parameter /spillway/write-key does not exist",
		"write keys":        "failed: the parameter /spillway/write-keys does not exist", "dead letters": "ok",
		// moto does not know the protocol of CloudWatch's client in Go.
		"alarms": "unknown", "calls to Segment": "unknown",
	} {
		if !strings.HasPrefix(got[check], want) {
			t.Errorf("doctor finds of %s: %q, want %q", check, got[check], want)
		}
	}
}

// send sends a message to a queue.
func (c *cloud) send(t *testing.T, region, queue, body string) {
	t.Helper()
	url, err := c.queues(region).GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: &queue})
	if err == nil {
		_, err = c.queues(region).SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: url.QueueUrl, MessageBody: &body})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (c *cloud) attributes(t *testing.T, region, queue string) map[string]string {
	t.Helper()
	attributes, err := attributesOf(t.Context(), c.queues(region), queue)
	if err != nil {
		t.Fatal(err)
	}
	return attributes
}

func TestAStackIsDeployedOnceDestroyedAndItsQueuesAdopted(t *testing.T) {
	c := newCloud(t)
	n := topology.DefaultNames()
	s := settings.Default(n, "eu-west-1")
	c.bootstrap(t, "eu-west-1")
	c.bootstrap(t, "us-east-1")

	first := c.deploy(t, &s)
	if first.said != "" {
		t.Errorf("before the first deployment: %s", first.said)
	}
	compare(t, first.templates["eu-west-1"], c.read(t, "eu-west-1", n.Stack("eu-west-1")))

	c.diagnose(t, n.Pipeline)
	c.watch(t, n)

	if again := c.deploy(t, &s); again.changed["eu-west-1"] || again.said != "" {
		t.Errorf("a second deployment changed something, or said %q", again.said)
	}
	forgetful := s
	forgetful.LogRetentionDays = 90
	if _, said := c.ask(t, &forgetful); !strings.Contains(said, "logRetentionDays         30, is now 90\n") {
		t.Errorf("a deployment with another setting says %q", said)
	}

	c.send(t, "eu-west-1", n.EventsQueue, "accepted")
	c.send(t, "eu-west-1", n.DeadLetterQueue, "dead letter")
	c.destroy(t, "eu-west-1", &s)
	s.Regions = []string{"eu-west-1", "us-east-1"} // beside one whose queues are adopted
	adopting := c.deploy(t, &s)
	for _, queue := range []string{n.EventsQueue, n.DeadLetterQueue} {
		has := c.attributes(t, "eu-west-1", queue)
		if has["ApproximateNumberOfMessages"] != "1" || !strings.Contains(has["Policy"], "aws:SecureTransport") {
			t.Errorf("%s did not survive with its message and its policy: %v", queue, has)
		}
		if want := "spillway-eu-west-1 adopts the queue " + queue + ", which exists outside of it\n"; !strings.Contains(
			adopting.said, want) || strings.Contains(adopting.said, "spillway-us-east-1 adopts") {
			t.Errorf("the deployment says %q, want %q for one region only", adopting.said, want)
		}
		if c.attributes(t, "us-east-1", queue) == nil {
			t.Errorf("the new region has no queue %s", queue)
		}
	}
	for region, tmpl := range adopting.templates {
		compare(t, tmpl, c.read(t, region, n.Stack(region)))
	}
	again := c.deploy(t, &s)
	if again.changed["eu-west-1"] || again.changed["us-east-1"] {
		t.Errorf("deploying again what adopts queues changed %v, and said %q", again.changed, again.said)
	}
}

// unread are properties that moto does not keep, or that have calls of their own, and why that is
// acceptable.
var unread = map[string]string{
	"Tags":                     "names_test.go reads them in the template",
	"Function Code":            "asset_test.go runs what it names",
	"Function Architectures":   "moto ignores the property",
	"Function LoggingConfig":   "moto ignores the property",
	"Queue RedriveAllowPolicy": "moto ignores the property",
	// domain_test.go reads them in the template.
	"HealthCheck HealthCheckConfig":       "moto knows only health checks of endpoints",
	"HealthCheck HealthCheckTags":         "they have a call of their own",
	"Certificate DomainValidationOptions": "they are for CloudFormation, which makes the record itself",
	// rollout_test.go looks at them.
	"DeploymentGroup AlarmConfiguration": "moto does not tell it",
	"EventSourceMapping FunctionName":    "moto has the version in place of the alias",
	// alarms_test.go compares them with the topology.
	"CompositeAlarm ActionsSuppressor":                "moto ignores the property",
	"CompositeAlarm ActionsSuppressorWaitPeriod":      "moto ignores the property",
	"CompositeAlarm ActionsSuppressorExtensionPeriod": "moto ignores the property",
	"EventInvokeConfig Qualifier":                     "it is a part of the call, not of the answer",
	"EventInvokeConfig FunctionName":                  "it is a part of the call, not of the answer",
}

// compare compares every property of every resource of a template with what its service says of it.
func compare(t *testing.T, tmpl template, all map[string]physical) {
	t.Helper()
	if len(all) != len(tmpl.Resources) {
		t.Errorf("%d resources are deployed, want %d", len(all), len(tmpl.Resources))
	}
	compared := 0
	for id, want := range tmpl.Resources {
		_, kind, _ := strings.Cut(strings.TrimPrefix(want.Type, "AWS::"), "::")
		got := all[id].Read
		switch kind { // those two are parts of other resources
		case "Permission":
			got = statement(all, want)
		case "Policy":
			got = inline(all, want)
		}
		if len(got) == 0 {
			t.Errorf("%s %s is not deployed: %+v", want.Type, id, all[id])
		}
		for name, value := range want.Properties {
			has, ok := lookup(got, name)
			if unread[name]+unread[kind+" "+name] != "" {
				continue
			}
			if value = resolved(value, all); !ok || !same(value, has) {
				t.Errorf("%s %s: %s is %v, want %v", want.Type, id, name, text(has), text(value))
			}
			compared++
		}
	}
	if compared < 5*len(tmpl.Resources)/2 {
		t.Errorf("only %d properties of %d resources were compared", compared, len(tmpl.Resources))
	}
}

// statement is the statement of a function's policy that a permission makes, with the names of its
// properties.
func statement(all map[string]physical, permission resource) map[string]any {
	function := resolved(permission.at("FunctionName"), all)
	for _, p := range all {
		arn, _ := p.Read["FunctionArn"]
		if p.Type != "AWS::Lambda::Function" && p.Type != "AWS::Lambda::Alias" || arn != function {
			continue
		}
		for _, s := range p.Read["Statement"].([]any) {
			made := s.(map[string]any)
			principal, _ := made["Principal"].(map[string]any)
			condition, _ := made["Condition"].(map[string]any)
			like, _ := condition["ArnLike"].(map[string]any)
			return map[string]any{"FunctionName": arn, "Action": made["Action"],
				"Principal": principal["Service"], "SourceArn": like["AWS:SourceArn"]}
		}
	}
	return nil
}

// inline is the policy of a role that a resource makes.
func inline(all map[string]physical, policy resource) map[string]any {
	for _, p := range all {
		policies, _ := p.Read["Policies"].([]any)
		for _, made := range policies {
			if has := made.(map[string]any); has["PolicyName"] == policy.at("PolicyName") {
				return has
			}
		}
	}
	return nil
}

// lookup finds the value with that name, in any case: CloudFormation and the services differ in it.
func lookup(object map[string]any, name string) (any, bool) {
	for key, value := range object {
		if strings.EqualFold(key, name) {
			return value, true
		}
	}
	return nil, false
}

// unknown is a part of a text that only CloudFormation knows. It is like any text.
const unknown = "\x00"

// resolved resolves a value of a template as CloudFormation does, by what is deployed.
func resolved(value any, all map[string]physical) any {
	switch value := value.(type) {
	case []any:
		list := make([]any, len(value))
		for i := range value {
			list[i] = resolved(value[i], all)
		}
		return list
	case map[string]any:
		if ref, ok := value["Ref"].(string); ok {
			if pseudo := map[string]string{"AWS::AccountId": mototest.Account, "AWS::Partition": "aws",
				"AWS::URLSuffix": "amazonaws.com"}[ref]; pseudo != "" {
				return pseudo
			}
			if p, ok := all[ref]; ok {
				return p.Ref
			}
			return unknown
		}
		if join, ok := value["Fn::Join"].([]any); ok {
			var parts []string
			for _, part := range resolved(join[1], all).([]any) {
				parts = append(parts, fmt.Sprint(part))
			}
			return strings.Join(parts, join[0].(string))
		}
		if get, ok := value["Fn::GetAtt"].([]any); ok {
			// The first is that of a log group as moto has it: AWS's ends in :*.
			for _, name := range []string{"logGroupArn", get[1].(string), "QueueArn", "FunctionArn", "TopicArn"} {
				if found, ok := lookup(all[get[0].(string)].Read, name); ok {
					return found
				}
			}
			return unknown
		}
		object := map[string]any{}
		for name, inner := range value {
			if strings.HasPrefix(name, "Fn::") {
				return unknown
			}
			object[name] = resolved(inner, all)
		}
		return object
	}
	return value
}

// same reports whether a service has what a template says. A service may add to an object, and have
// numbers and documents as texts.
func same(want, has any) bool {
	switch want := want.(type) {
	case map[string]any:
		object, ok := has.(map[string]any)
		if encoded, isText := has.(string); isText {
			ok = json.Unmarshal([]byte(encoded), &object) == nil
		}
		for name, value := range want {
			inner, found := lookup(object, name)
			ok = ok && found && same(value, inner)
		}
		return ok
	case []any:
		list, ok := has.([]any)
		ok = ok && len(list) == len(want)
		for i := range want {
			ok = ok && same(want[i], list[i])
		}
		return ok
	case string:
		parts := strings.Split(want, unknown)
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		matched, _ := regexp.MatchString("(?s)^"+strings.Join(parts, ".+")+"$", fmt.Sprint(has))
		return matched
	}
	return strings.Trim(text(want), `"`) == strings.Trim(text(has), `"`)
}
