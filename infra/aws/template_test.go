package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/topology"
)

func TestTheDefaultTemplateIsTheGoldenOne(t *testing.T) {
	got := defaults(t).masked()
	compareGolden(t, "template.json", got)
}

// compareGolden compares a template, whose hashes are masked, with that of a file in testdata.
func compareGolden(t *testing.T, file string, got []byte) {
	t.Helper()
	golden := filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		gotLines, wantLines := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
		for i := range min(len(gotLines), len(wantLines)) {
			if gotLines[i] != wantLines[i] {
				t.Fatalf("%s: line %d is %q, want %q: if this is intended, run go test ./infra/aws -update and review the diff",
					file, i+1, gotLines[i], wantLines[i])
			}
		}
		t.Fatalf("%s: %d lines, want %d: if this is intended, run go test ./infra/aws -update", file, len(gotLines),
			len(wantLines))
	}
}

func number(t *testing.T, value any) float64 {
	t.Helper()
	n, ok := value.(float64)
	if !ok {
		t.Fatalf("%v is not a number", value)
	}
	return n
}

func TestTheNumbersAreThoseOfTheTopology(t *testing.T) {
	tmpl := defaults(t)
	d := usual()
	equal := func(what string, got any, want float64) {
		t.Helper()
		if n := number(t, got); n != want {
			t.Errorf("%s is %v, want %v", what, n, want)
		}
	}
	for _, q := range d.Queues {
		r := tmpl.named(t, "AWS::SQS::Queue", "QueueName", q.Name)
		equal(q.Name+": retention", r.at("MessageRetentionPeriod"), q.Retention.Seconds())
		equal(q.Name+": visibility timeout", r.at("VisibilityTimeout"), q.VisibilityTimeout.Seconds())
		if q.DeadLetterQueue != "" {
			equal(q.Name+": maximum receive count", r.at("RedrivePolicy", "maxReceiveCount"), float64(q.MaxReceiveCount))
		}
	}
	for _, f := range d.Functions {
		r := tmpl.named(t, "AWS::Lambda::Function", "FunctionName", f.Name)
		equal(f.Name+": timeout", r.at("Timeout"), f.Timeout.Seconds())
		equal(f.Name+": memory", r.at("MemorySize"), float64(f.MemoryMB))
		if reserved := r.at("ReservedConcurrentExecutions"); f.ReservedConcurrency > 0 {
			equal(f.Name+": reserved concurrency", reserved, float64(f.ReservedConcurrency))
		} else if reserved != nil {
			t.Errorf("%s reserves %v, which would cap it", f.Name, reserved)
		}
		equal(f.Name+": log retention",
			tmpl.named(t, "AWS::Logs::LogGroup", "LogGroupName", "/aws/lambda/"+f.Name).at("RetentionInDays"),
			f.LogRetention.Hours()/24)
	}
	sources := tmpl.of("AWS::Lambda::EventSourceMapping")
	if len(sources) != len(d.EventSources) {
		t.Fatalf("%d event sources, want %d", len(sources), len(d.EventSources))
	}
	for _, r := range sources {
		i := slices.IndexFunc(d.EventSources, func(s topology.EventSource) bool { return s.Queue == tmpl.queueOf(t, r) })
		if i < 0 {
			t.Fatalf("the topology has no event source like %v", r.Properties)
		}
		s := d.EventSources[i]
		equal("batch size", r.at("BatchSize"), float64(s.BatchSize))
		equal("batching window", r.at("MaximumBatchingWindowInSeconds"), s.BatchingWindow.Seconds())
		equal("maximum concurrency", r.at("ScalingConfig", "MaximumConcurrency"), float64(s.MaximumConcurrency))
		if fmt.Sprint(r.at("FunctionResponseTypes")) != "[ReportBatchItemFailures]" || r.at("MetricsConfig") != nil {
			t.Errorf("event source %v, want one that reports failures, and writes no metrics that nobody reads", r.Properties)
		}
	}
	for _, r := range tmpl.exactly(t, 1, "AWS::ApiGatewayV2::Stage") {
		equal("the ingest endpoint's rate", r.at("DefaultRouteSettings", "ThrottlingRateLimit"),
			d.IngestEndpoint.RequestsPerSecond)
		equal("the ingest endpoint's burst", r.at("DefaultRouteSettings", "ThrottlingBurstLimit"),
			float64(d.IngestEndpoint.Burst))
	}
	// Otherwise Lambda would retry failed and throttled canaries for 6 hours.
	for _, r := range tmpl.of("AWS::Lambda::EventInvokeConfig") {
		if !strings.Contains(text(r.at("FunctionName")), "Canary") || number(t, r.at("MaximumRetryAttempts")) != 0 ||
			number(t, r.at("MaximumEventAgeInSeconds")) != 60 {
			t.Errorf("the canary function has retries: %v", r.Properties)
		}
	}
	if n := len(tmpl.of("AWS::Lambda::EventInvokeConfig")); n != len(d.Schedules) {
		t.Errorf("%d functions have retry settings, want %d", n, len(d.Schedules))
	}
	for _, r := range tmpl.exactly(t, 1, "AWS::Events::Rule") {
		if r.at("ScheduleExpression") != "rate(1 minute)" || d.Schedules[0].Every != time.Minute {
			t.Errorf("the canary's schedule is %v, want %v", r.at("ScheduleExpression"), d.Schedules[0].Every)
		}
	}
}

// These are AWS's own rules, whatever the topology says.
func TestGoodMessagesDoNotBecomeDeadLetters(t *testing.T) {
	for name, tmpl := range map[string]template{
		"defaults": defaults(t),
		"others":   several(t),
	} {
		dead := tmpl.named(t, "AWS::SQS::Queue", "QueueName", topology.DefaultNames().DeadLetterQueue)
		deliver := tmpl.named(t, "AWS::Lambda::Function", "FunctionName", topology.DefaultNames().DeliverFunction)
		together := 0.0
		for _, source := range tmpl.exactly(t, 2, "AWS::Lambda::EventSourceMapping") {
			queue := tmpl.named(t, "AWS::SQS::Queue", "QueueName", tmpl.queueOf(t, source))
			least := 6*number(t, deliver.at("Timeout")) + number(t, source.at("MaximumBatchingWindowInSeconds"))
			if visibility := number(t, queue.at("VisibilityTimeout")); visibility < least {
				t.Errorf("%s: visibility timeout is %v s, must be at least %v", name, visibility, least)
			}
			together += number(t, source.at("ScalingConfig", "MaximumConcurrency"))
			if number(t, dead.at("MessageRetentionPeriod")) < number(t, queue.at("MessageRetentionPeriod")) {
				t.Errorf("%s: dead letters are retained for a shorter time than messages of %v", name, queue.at("QueueName"))
			}
		}
		if reserved := number(t, deliver.at("ReservedConcurrentExecutions")); together > reserved {
			t.Errorf("%s: maximum concurrencies are %v in all, above the reserved %v", name, together, reserved)
		}
	}
}

func TestQueuesAreEncryptedRequireTLSAndOutliveTheStack(t *testing.T) {
	tmpl := defaults(t)
	queues := tmpl.of("AWS::SQS::Queue")
	if len(queues) != 3 {
		t.Fatalf("%d queues", len(queues))
	}
	// With "Retain" a queue would outlive a failed first deployment, and the next would fail on its
	// name.
	const outlives = "RetainExceptOnCreate"
	for id, q := range queues {
		if q.at("SqsManagedSseEnabled") != true || q.DeletionPolicy != outlives {
			t.Errorf("%s: encrypted %v, deletion policy %q", id, q.at("SqsManagedSseEnabled"), q.DeletionPolicy)
		}
		denied := false
		for _, policy := range tmpl.of("AWS::SQS::QueuePolicy") {
			for _, s := range statements(policy.at("PolicyDocument")) {
				if s["Effect"] != "Deny" {
					t.Errorf("a queue's policy allows %v", s)
				}
				denied = denied || text(s["Resource"]) == fmt.Sprintf(`{"Fn::GetAtt":[%q,"Arn"]}`, id) &&
					text(s["Action"]) == `"sqs:*"` &&
					text(s["Principal"]) == `{"AWS":"*"}` && text(s["Condition"]) == `{"Bool":{"aws:SecureTransport":"false"}}` &&
					policy.DeletionPolicy == "Retain"
			}
		}
		if !denied {
			t.Errorf("%s may be used without TLS", id)
		}
	}
	dead := tmpl.named(t, "AWS::SQS::Queue", "QueueName", topology.DefaultNames().DeadLetterQueue)
	sources := text(dead.at("RedriveAllowPolicy", "sourceQueueArns"))
	if dead.at("RedriveAllowPolicy", "redrivePermission") != "byQueue" ||
		!strings.Contains(sources, ":"+topology.DefaultNames().EventsQueue+`"`) ||
		!strings.Contains(sources, ":"+topology.DefaultNames().BulkQueue+`"`) {
		t.Errorf("any queue may move dead letters to this one: %v", dead.at("RedriveAllowPolicy"))
	}
}

func text(value any) string {
	b, _ := json.Marshal(value)
	return string(b)
}

func statements(document any) []map[string]any {
	var all []map[string]any
	object, _ := document.(map[string]any)
	list, _ := object["Statement"].([]any)
	for _, s := range list {
		all = append(all, s.(map[string]any))
	}
	return all
}

func TestEveryFunctionHasItsOwnRoleAndLogGroup(t *testing.T) {
	tmpl := defaults(t)
	roles, logs := map[string]bool{}, map[string]bool{}
	for id, f := range tmpl.of("AWS::Lambda::Function") {
		role, log := text(f.at("Role")), text(f.at("LoggingConfig", "LogGroup"))
		if role == "null" || roles[role] || log == "null" || logs[log] {
			t.Errorf("%s shares the role %s or the log %s", id, role, log)
		}
		roles[role], logs[log] = true, true
		if f.at("Runtime") != "provided.al2023" || text(f.at("Architectures")) != `["arm64"]` {
			t.Errorf("%s runs on %v %v", id, f.at("Runtime"), f.at("Architectures"))
		}
	}
	if len(roles) != len(usual().Functions) || len(tmpl.of("AWS::IAM::Role")) != len(roles)+1 { // and CodeDeploy's
		t.Errorf("%d functions have roles, there are %d roles", len(roles), len(tmpl.of("AWS::IAM::Role")))
	}
	for id, r := range tmpl.exactly(t, len(roles)+1, "AWS::Logs::LogGroup") { // and the HTTP API's
		if number(t, r.at("RetentionInDays")) < 1 {
			t.Errorf("%s never expires", id)
		}
	}
}

// actions are all that each function needs.
var actions = map[string][]string{
	"DeliverRole": {
		"logs:CreateLogStream", "logs:PutLogEvents", "sqs:ChangeMessageVisibility", "sqs:DeleteMessage",
		"sqs:GetQueueAttributes", "sqs:ReceiveMessage",
		"sqs:SendMessage", "ssm:GetParameter",
	},
	"IngestRole": {"logs:CreateLogStream", "logs:PutLogEvents", "sqs:SendMessage",
		"ssm:GetParameter"},
	"RolloutRole": {"codedeploy:GetDeployment", "codedeploy:PutLifecycleEventHookExecutionStatus", "lambda:InvokeFunction",
		"logs:CreateLogStream", "logs:PutLogEvents"},
	"DeploymentRole": {"cloudwatch:DescribeAlarms", "lambda:GetAlias", "lambda:GetProvisionedConcurrencyConfig",
		"lambda:InvokeFunction", "lambda:UpdateAlias"},
	"CanaryRole": {"cloudwatch:GetMetricData", "logs:CreateLogStream", "logs:GetQueryResults", "logs:PutLogEvents",
		"logs:StartQuery", "logs:StopQuery", "ssm:GetParameter"},
}

func TestRolesAllowOnlyWhatTheirFunctionNeeds(t *testing.T) {
	tmpl := defaults(t)
	seen := 0
	for id, policy := range tmpl.of("AWS::IAM::Policy") {
		var allowed []string
		for _, s := range statements(policy.at("PolicyDocument")) {
			allowed = append(allowed, texts(s["Action"])...)
		}
		slices.Sort(allowed)
		role := id[:strings.Index(id, "Role")+len("Role")]
		if want := actions[role]; !slices.Equal(slices.Compact(allowed), want) {
			t.Errorf("%s may %v, want %v", role, allowed, want)
		}
		seen++
	}
	if seen != len(actions) {
		t.Errorf("%d policies, want %d", seen, len(actions))
	}
	for id, role := range tmpl.exactly(t, len(actions), "AWS::IAM::Role") {
		if role.at("ManagedPolicyArns") != nil || role.at("Policies") != nil {
			t.Errorf("%s has more than its own policy: %v", id, role.Properties)
		}
	}
}

func texts(value any) []string {
	if one, ok := value.(string); ok {
		return []string{one}
	}
	var all []string
	list, _ := value.([]any)
	for _, v := range list {
		all = append(all, fmt.Sprint(v))
	}
	return all
}

// allowing calls visit for each statement with the effect Allow in a value of the template.
func allowing(value any, visit func(map[string]any)) {
	switch v := value.(type) {
	case map[string]any:
		if v["Effect"] == "Allow" {
			visit(v)
		}
		for _, inner := range v {
			allowing(inner, visit)
		}
	case []any:
		for _, inner := range v {
			allowing(inner, visit)
		}
	}
}

// withoutResource are actions whose resource no policy can name (service authorization reference,
// CloudWatch and CloudWatch Logs), or which tells of composite alarms only who may see all.
var withoutResource = []string{"cloudwatch:DescribeAlarms", "cloudwatch:GetMetricData", "logs:GetQueryResults", "logs:StopQuery"}

// hasNoResource reports whether a statement is about such actions alone.
func hasNoResource(actions []string) bool {
	return !slices.ContainsFunc(actions, func(action string) bool { return !slices.Contains(withoutResource, action) })
}

func TestTheCanaryComparesTheLogsOfThePipelineAlone(t *testing.T) {
	tmpl := defaults(t)
	n := topology.DefaultNames()
	f := tmpl.named(t, "AWS::Lambda::Function", "FunctionName", n.CanaryFunction)
	groups := f.at("Environment", "Variables", "SPILLWAY_COMPARE_LOG_GROUPS")
	if groups != "/aws/lambda/spillway-ingest,/aws/lambda/spillway-deliver" {
		t.Errorf("it compares %v", groups)
	}
	queries := 0
	for id, policy := range tmpl.of("AWS::IAM::Policy") {
		for _, s := range statements(policy.at("PolicyDocument")) {
			if !slices.Contains(texts(s["Action"]), "logs:StartQuery") {
				continue
			}
			queries++
			if logs := len(s["Resource"].([]any)); !strings.HasPrefix(id, "Canary") || logs != 3 {
				t.Errorf("%s may query %d log groups: %v", id, logs, s["Resource"])
			}
		}
	}
	if queries != 1 {
		t.Errorf("%d statements allow queries", queries)
	}
}

// allOf removes the wildcards that stand for all of one thing.
var allOf = strings.NewReplacer(`:parameter/spillway/write-keys:*"`, `"`, `:parameter/team/keys:*"`, `"`,
	`:parameter/partners:*"`, `"`, `:function:spillway-deliver:*"`, `"`,
	`:function:spillway-ingest:*"`, `"`, `"/archive/*"`, `"`, `"/failed/*"`, `"`)

func TestNoStatementAllowsAWildcard(t *testing.T) {
	for name, tmpl := range map[string]template{
		"defaults":     defaults(t),
		"own key":      statusSites(t)["eu-west-1"],
		"function URL": several(t),
	} {
		found := 0
		for id, r := range tmpl.Resources {
			allowing(r.Properties, func(s map[string]any) {
				found++
				for _, action := range texts(s["Action"]) {
					if strings.Contains(action, "*") {
						t.Errorf("%s: %s allows %s", name, id, action)
					}
				}
				if s["Resource"] == nil && s["Principal"] != nil && text(s["Action"]) == `"sts:AssumeRole"` {
					return
				}
				// The ARN of a log group ends in :*, which stands for its streams; for a parameter
				// and a function that stands for its versions.
				if hasNoResource(texts(s["Action"])) {
					return
				}
				if resource := allOf.Replace(text(s["Resource"])); resource == "null" || strings.Contains(resource, "*") {
					t.Errorf("%s: %s allows %v with %s", name, id, s["Action"], resource)
				}
				if strings.Contains(text(s["Principal"]), "*") {
					t.Errorf("%s: %s lets anybody %v", name, id, s["Action"])
				}
			})
		}
		if found < 10 {
			t.Errorf("%s: only %d statements were checked", name, found)
		}
	}
}

func TestOnlyTheIngestEndpointIsPublic(t *testing.T) {
	tmpl := defaults(t)
	for id, r := range tmpl.exactly(t, 2, "AWS::Lambda::Permission") {
		principal := text(r.at("Principal"))
		if principal != `"apigateway.amazonaws.com"` && principal != `"events.amazonaws.com"` || r.at("SourceArn") == nil {
			t.Errorf("%s lets %s call a function, from %v", id, principal, r.at("SourceArn"))
		}
	}
	if n := len(tmpl.of("AWS::Lambda::Url")); n > 0 {
		t.Errorf("%d function URLs beside the HTTP API", n)
	}
	url := several(t)
	var public []string
	for id, r := range url.of("AWS::Lambda::Permission") {
		if text(r.at("Principal")) != `"*"` {
			continue
		}
		public = append(public, r.at("Action").(string))
		if function := text(r.at("FunctionName")); !strings.Contains(function, "Ingest") ||
			r.at("FunctionUrlAuthType") != "NONE" && r.at("InvokedViaFunctionUrl") != true {
			t.Errorf("%s lets anybody call %s otherwise than by its URL: %v", id, function, r.Properties)
		}
	}
	// AWS requires both since October 2025 (Lambda developer guide, "Control access to Lambda
	// function URLs").
	if unique(public) != "lambda:InvokeFunction lambda:InvokeFunctionUrl" || len(url.of("AWS::Lambda::Url")) != 1 ||
		len(url.of("AWS::ApiGatewayV2::Api")) != 0 {
		t.Errorf("with a function URL anybody may %v, by %d URLs and %d APIs", public, len(url.of("AWS::Lambda::Url")),
			len(url.of("AWS::ApiGatewayV2::Api")))
	}
	for id, r := range url.of("AWS::Lambda::Url") {
		if r.at("Cors") != nil || r.at("InvokeMode") != "BUFFERED" {
			t.Errorf("%s: %v", id, r.Properties)
		}
	}
}

func TestTheAccessLogHasNothingOfARequest(t *testing.T) {
	tmpl := defaults(t)
	stages := tmpl.of("AWS::ApiGatewayV2::Stage")
	for id, r := range stages {
		format, _ := r.at("AccessLogSettings", "Format").(string)
		if !strings.Contains(format, "$context.status") || !strings.Contains(format, "$context.requestId") {
			t.Errorf("%s has no access log: %q", id, format)
		}
		if line := map[string]string{}; json.Unmarshal([]byte(format), &line) != nil || strings.Contains(format, "String") {
			t.Errorf("%s writes invalid JSON, or a variable that has quotes already: %q", id, format)
		}
		for _, secret := range []string{"sourceIp", "path", "Path", "query", "userAgent", "authorizer", "identity"} {
			if strings.Contains(format, "$context."+secret) {
				t.Errorf("%s writes $context.%s", id, secret)
			}
		}
	}
	if len(stages) != 1 {
		t.Errorf("%d stages", len(stages))
	}
	for id, r := range tmpl.exactly(t, 1, "AWS::ApiGatewayV2::Api") {
		if r.at("CorsConfiguration") != nil {
			t.Errorf("%s answers CORS requests itself, instead of the function", id)
		}
	}
}

// CloudFormation sets the properties that a template has. One that says that the event source is
// enabled would resume what a person has paused, with the next change of any other property.
func TestTheTemplateDoesNotSayWhetherDeliveryIsPaused(t *testing.T) {
	tmpl := defaults(t)
	for id, source := range tmpl.exactly(t, 2, "AWS::Lambda::EventSourceMapping") {
		if enabled := source.at("Enabled"); enabled != nil {
			t.Errorf("%s says that it is enabled: %v", id, enabled)
		}
	}
	n := topology.DefaultNames()
	down := tmpl.named(t, "AWS::CloudWatch::CompositeAlarm", "AlarmName", n.Alarm("delivery-down"))
	if got := down.at("ActionsSuppressor"); got != n.Alarm("paused") {
		t.Errorf("the alarm delivery-down is suppressed by %v", got)
	}
}
