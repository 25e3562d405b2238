package main

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cftypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
	"github.com/spillwayhq/spillway/integration/testutil/mototest"
	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/heavy"
	"github.com/spillwayhq/spillway/shared/ingest"
	"github.com/spillwayhq/spillway/shared/rollout"
	"github.com/spillwayhq/spillway/shared/segment"
	"github.com/spillwayhq/spillway/shared/ssm"
)

var wholeRunbook = flag.Bool("runbook", false,
	"paste every block of docs/runbook.md, which needs the aws CLI, curl and moto, and not only a sample")

// What only Lambda writes, and lines that are hard to cause: as their writers write them.
const (
	aRequest    = "8f507cfc-1b0e-4f6b-9d0f-2a7f3a0e6c11"
	lambdaLines = "START RequestId: " + aRequest + " Version: $LATEST\n" +
		`{"time":"2026-11-24T12:00:00Z","level":"ERROR","msg":"dead letters could not be written; their messages are retained for retry",` +
		`"error":"QueueDoesNotExist","request_id":"` + aRequest + `"}` + "\n" +
		"2026-11-24T12:00:59.123Z " + aRequest + " Task timed out after 60.00 seconds\n" +
		"END RequestId: " + aRequest + "\n" +
		"REPORT RequestId: " + aRequest + "\tDuration: 60000.00 ms\tBilled Duration: 60100 ms\tMemory Size: 512 MB\t" +
		"Max Memory Used: 93 MB\tInit Duration: 88.10 ms\t\n" +
		`{"time":"2026-11-24T12:00:00Z","level":"ERROR","msg":"deliver can't start","error":"SPILLWAY_LOG_LEVEL must be debug, info, warn or error"}` + "\n" +
		`{"time":"2026-11-24T12:00:00Z","level":"ERROR","msg":"the set of write keys could not be read again: the last good value is used",` +
		`"source":"/spillway/write-keys","error":"invalid JSON","request_id":"` + aRequest + `"}` + "\n"
)

// incident is a pipeline on this machine in which what the runbook is about has happened: an event
// is a dead letter as invalid, Segment has rejected another, and refuses a write key.
type incident struct {
	*local.Pipeline
	t *testing.T
}

func newIncident(t *testing.T) *incident {
	t.Helper()
	i := &incident{localtest.Start(t, local.Config{IngestAddr: "127.0.0.1:0", Canary: true}), t}
	if err := i.Segmentd().SetScript(segmentd.Script{Rules: []segmentd.Rule{
		{Match: segmentd.Match{MessageID: "poison"}, Status: 400},
		{Match: segmentd.Match{WriteKey: "refused"}, Status: 401},
	}}); err != nil {
		t.Fatal(err)
	}
	i.send(`{"writeKey":"k","batch":[{"type":"track","userId":"u","event":"fine"},{"type":"track","event":"of nobody"}]}`)
	i.send(`{"writeKey":"k","batch":[{"type":"track","userId":"u","event":"e","messageId":"poison"}]}`)
	i.send(`{"writeKey":"refused","batch":[{"type":"track","userId":"u","event":"e"}]}`)
	await(t, "the incident", func() bool {
		s, log := i.Status(), i.log()
		return s.DeadLetters == 2 && !s.Canary.At.IsZero() &&
			strings.Contains(log, `"misconfigured_keys":["`) && strings.Contains(log, "CanaryDelivered") &&
			strings.Contains(log, heavy.Message)
	})
	return i
}

func (i *incident) send(batch string) {
	i.t.Helper()
	resp, err := http.Post(i.IngestURL+"/v1/batch", "application/json", strings.NewReader(batch))
	if err != nil {
		i.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		i.t.Fatalf("ingest answers %s", resp.Status)
	}
}

// heal lets Segment take everything, and waits until a call has shown it.
func (i *incident) heal() {
	i.t.Helper()
	if err := i.Segmentd().SetScript(segmentd.Script{}); err != nil {
		i.t.Fatal(err)
	}
	await(i.t, "Segment's answers", func() bool {
		i.send(`{"writeKey":"k","batch":[{"type":"track","userId":"u","event":"fine again"}]}`)
		return i.Status().Segment.Failing(time.Now()) == nil
	})
}

func (i *incident) log() string {
	text, err := os.ReadFile(i.LogPath)
	if err != nil {
		i.t.Fatal(err)
	}
	return string(text)
}

// lines are those of all functions: the pipeline's, Lambda's, and metrics of refused requests.
func (i *incident) lines() []string {
	counters := new(ingest.Counters)
	for _, code := range []string{"gzip_mangled", "queue_unavailable", "overloaded", "dead_letters_unavailable",
		"write_keys_unread"} {
		counters.Add(ingest.Summary{Status: 429, Code: code, Cause: ingest.CauseService, GzipMangled: code == "gzip_mangled"})
	}
	totals := counters.Take()
	var metrics bytes.Buffer
	if err := emf.NewWriter(&metrics, "spillway", "ingest").WriteWith(i.Status().At, "Codes", totals.Codes(), totals.Metrics()...); err != nil {
		i.t.Error(err)
	}
	err := emf.NewVersionWriter(&metrics, "spillway", "deliver", "12").Write(i.Status().At,
		emf.Metric{Name: rollout.FailuresMetric, Unit: emf.Count, ByVersion: true, Values: []float64{3}},
		emf.Metric{Name: rollout.DeadLettersMetric, Unit: emf.Count, ByVersion: true, Values: []float64{2}},
		emf.Metric{Name: rollout.PanicsMetric, Unit: emf.Count, ByVersion: true, Values: []float64{1}})
	if err != nil {
		i.t.Error(err)
	}
	retried := fmt.Sprintf(`{"time":"2026-11-24T12:00:00Z","msg":"delivered","retried":{"%s":3,"%s":2}}`, segment.Transient, segment.Throttled)
	return strings.Split(strings.TrimSpace(lambdaLines+retried+"\n"+i.log()+metrics.String()), "\n")
}

func (i *incident) id(t *testing.T, reason string) string {
	t.Helper()
	out, _, err := spillway(t.Context(), "", "dlq", "ls", queueFlag(i.Pipeline), "--reason="+reason)
	id := regexp.MustCompile(`(?m)^[0-9a-f-]{36}/\d+`).FindString(out)
	if err != nil || id == "" {
		t.Fatalf("no dead letter is %s: %v\n%s", reason, err, out)
	}
	return id
}

// runbookBlocks are the blocks of commands of the runbook.
func runbookBlocks(t *testing.T) [][]string {
	t.Helper()
	page, err := os.ReadFile("../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks [][]string
	inside := false
	for line := range strings.Lines(string(page)) {
		command, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "    ")
		switch {
		case !ok:
			inside = false
		case inside:
			blocks[len(blocks)-1] = append(blocks[len(blocks)-1], command)
		default:
			inside, blocks = true, append(blocks, []string{command})
		}
	}
	if len(blocks) < 30 {
		t.Fatalf("only %d blocks were found", len(blocks))
	}
	return blocks
}

// promise is what the commands that begin so must print.
type promise struct {
	command string
	want    string // a regular expression; empty: nothing
	step    step   // the rest
}

// notPasted are blocks that this machine can't paste, by how they begin.
var notPasted = []string{
	"backlog in events", // is a formula
	"npx cdk deploy",    // deploys to AWS
	"git checkout ",     // changes the clone, and deploys
	"aws lambda invoke", // moto runs functions in Docker only
}

// promises says of every command of the runbook what it must print.
func (i *incident) promises() []promise {
	const ids, version = `[0-9a-f]{8}`, `"Version": \d`
	table := func(columns ...string) string { return `^` + strings.Join(columns, ` +`) + `\n.*\d` }
	return []promise{
		{"export ", "", step{}}, {"NAME=", "", step{}}, {"spillway() ", "", step{}}, {"output() ", "", step{}},
		{"INGEST=", "", step{}}, {"SOURCE=", "", step{}},
		{"spillway doctor", `(?s)subscriptions.*dead letters`, step{status: []int{1}}},
		{"output DashboardUrl", `^https://us-east-1\.console\.aws\.amazon\.com/\S+spillway-us-east-1\n$`, step{}},
		{"aws cloudwatch describe-alarms", `(?s)\tspillway-delivery-down\n.*\tspillway-delivery-stalled\n`, step{}},
		{`spillway logs --name "$NAME" deliver --query 'filter msg = "delivered"`,
			table(`bin\(5m\)`, "delivered", "segment_down", "throttled", "key_refused", "oldest_minutes"), step{}},
		{"spillway tail", `\d+ events?: \d+ delivered`, step{until: "delivered, slowest", keys: "\x03",
			during: func() { i.send(`{"writeKey":"k","batch":[{"type":"track","userId":"u","event":"seen by the tail"}]}`) }}},
		{`curl -si "$INGEST/health"`, `^HTTP/1\.1 200 OK\n$`, step{}},
		{`spillway logs --name "$NAME" ingest --match 'set of write keys'`, `the last good value is used`, step{}},
		{`spillway logs --name "$NAME" ingest --query 'filter level`, `^msg +error +lines +example\n(?s).*QueueDoesNotExist`, step{}},
		{`spillway logs --name "$NAME" ingest --query 'filter ispresent(RequestsShed) |`, `sum\(Codes\.overloaded\).*\n.* 1 +1 +1 +1\n`, step{}},
		{`spillway logs --name "$NAME" ingest --query 'filter ispresent(Codes.gzip_mangled)`, `sum\(Codes\.gzip_mangled\)\n.* 1\n`, step{}},
		{`spillway logs --name "$NAME" ingest --query 'filter @type`, `pct\(@duration, 50\).*\n.*60000`, step{}},
		{`spillway logs --name "$NAME" ingest --query 'filter msg like "archive"`, `has no such lines`, step{}},
		{`spillway logs --name "$NAME" ingest --query 'filter msg like`, `QueueDoesNotExist +1\n`, step{}},
		{`spillway logs --name "$NAME" ingest`, `^(\S+ \S+  (\{"time"|\d{4}-).*\n){1,20}$`, step{}},
		{`spillway logs --name "$NAME" status`, `^(\S+ \S+  (\{"time"|\d{4}-).*\n){1,10}$`, step{}},
		{`spillway logs --name "$NAME" canary`, `the canary was accepted`, step{}},
		{`spillway logs --name "$NAME" deliver --query 'filter ispresent(misconfigured_keys.0)`, `key +invocations\n` + ids + ` +\d`, step{}},
		{`spillway top --name "$NAME" --by write-key`, `(?s)BY WRITE-KEY .*\n` + ids + ` +\d`, step{}},
		{"spillway top", `(?s)BY EVENT .*\ne +\d.*BY WRITE-KEY .*\n` + ids + ` +\d`, step{}},
		{`spillway logs --name "$NAME" deliver --query 'filter msg like "archive"`, `has no such lines`, step{}},
		// The stack that is pasted against has no archive.
		{"aws firehose describe-delivery-stream", "ResourceNotFoundException", step{status: []int{254, 255}}},
		{"aws logs filter-log-events", "ResourceNotFoundException", step{status: []int{254, 255}}},
		{`spillway logs --name "$NAME" deliver --query 'filter msg like`, `QueueDoesNotExist +1\n`, step{}},
		{`spillway logs --name "$NAME" deliver --query 'filter @message like /Task`, `(?s)can't start.*Task timed out|Task timed out.*can't start`, step{}},
		{`spillway logs --name "$NAME" deliver --query 'filter ispresent(CanaryDelivered)`, `max\(CanaryLatency\)\n.*\d`, step{}},
		{`spillway logs --name "$NAME" deliver --query 'parse`, `^request +timeouts +ms +MB +lines\n` + aRequest + ` +1 +60000 +93 +2\n$`, step{}},
		{`spillway logs --name "$NAME" deliver --query 'filter ispresent(Version)`,
			`^Version +invocations +failures +dead_letters +panics\n12 +1 +3 +2 +1\n$`, step{}},
		{`spillway logs --name "$NAME" deliver --all --match`, `(?s)START RequestId.*dead letters.*Task timed out.*REPORT`, step{}},
		{`spillway logs --name "$NAME" deliver`, `"msg":"delivered"`, step{}},
		{`aws lambda get-event-source-mapping --uuid "$SOURCE" --query ScalingConfig`, `"MaximumConcurrency": 9`, step{}},
		{"aws lambda get-event-source-mapping", `"Enabled"`, step{}},
		{"aws sqs get-queue-attributes", `"ApproximateNumberOfMessagesNotVisible": "\d+"`, step{}},
		{`spillway dlq ls --name "$NAME" --older-than`, `There are dead letters, but none that the flags select`, step{}},
		{"spillway dlq ls", `(?m)^(invalid|rejected) +` + ids + ` +1 `, step{}},
		{"spillway dlq show", `poison`, step{}},
		{"spillway dlq drop", `deleted 1 dead letter with 1 event; all are in spillway-dropped-`, step{until: "Type yes to confirm: ", keys: "yes\n"}},
		{`spillway dlq redrive --name "$NAME" --older-than`, `^0 dead letters with 0 events (would be )?sent again`, step{}},
		{`spillway dlq redrive --name "$NAME" --dry-run`, `^1 dead letter with 1 event would be sent again\n$`, step{}},
		{"spillway dlq redrive", `^1 dead letter with 1 event sent again`, step{}},
		{"(umask 077; spillway dlq export", `^spillway: exported 1 event of 1 dead letter\n$`, step{}},
		{"spillway why", `(?s)Dead-letter queue: all of \d dead letters?.*no trace of the event MESSAGE_ID`, step{status: []int{1}}},
		{"spillway forget", `(?s)dead letters: 0 events found; \d dead letters? searched\n.*in the queues`, step{}},
		{"spillway region ls", `^region .*\nus-east-1 `, step{}},
		{"spillway region drain", `us-east-1 is drained since \d.*: REASON\n`,
			step{until: "Type yes to confirm: ", keys: "yes\n"}}, // it is the only region
		{"spillway region restore", `^us-east-1 is restored; it was drained since \d`, step{}},
		{"spillway dlq restore", `exists: set .*RedriveAllowPolicy|everything`, step{}},
		{"aws lambda list-versions-by-function", `(?m)^1\t\S+\t\S+$`, step{}},
		{"aws lambda update-alias", `"FunctionVersion": "1"`, step{}},
		{"DEPLOYMENT=", "", step{}},
		{"aws deploy get-deployment", `DeploymentDoesNotExist`, step{status: []int{254, 255}}}, // moto makes none
		{"aws cloudformation continue-update-rollback", `.`, step{status: []int{254, 255}}},    // nor rolls it back
		{`spillway logs --name "$NAME" rollout`, `^(\S+ \S+  (\{"time"|\d{4}-).*\n){1,20}$`, step{}},
		{"aws lambda get-function-concurrency", `"ReservedConcurrentExecutions": 12`, step{}},
		// moto has no such call.
		{"aws lambda get-account-settings", `"ConcurrentExecutions": \d|\(404\) when calling the GetAccountSettings`, step{status: []int{255}}},
		{"aws lambda get-function-configuration", `"https://api\.segment\.io"`, step{}},
		{"curl -s -o /dev/null", `^\d{3}`, step{}},
		{`aws ssm get-parameter --name "/$NAME/write-keys" --with-decryption --query Parameter.Value --output text | spillway keys check -`, `shop +` + ids + ` +yes`, step{}},
		{"aws ssm put-parameter", version, step{}},
		{"aws ssm get-parameter-history", `(?m)^1\t\S+\t\S+$`, step{}},
		{"(umask 077; aws ssm get-parameter", "", step{}},
		{"spillway keys check write-keys.json && aws ssm put", `(?s)shop +` + ids + `.*` + version, step{}},
		{"aws cloudwatch get-metric-statistics", `"Datapoints"`, step{}},
		{`spillway pause --name "$NAME" --write-key`, `^The write key ` + ids + ` has been paused since .* UTC by arn:aws:.*: its owner sends`, step{}},
		{`spillway pause --name "$NAME"`, `^Delivery has been paused since .* UTC by arn:aws:.*: Segment migrates`, step{}},
		{`spillway resume --name "$NAME" --write-key`, `^The write key ` + ids + ` is resumed\. It had been paused since`, step{}},
		{`spillway resume --name "$NAME"`, `^Delivery is resumed\. It had been paused since`, step{}},
		{"aws lambda put-function-concurrency", `"ReservedConcurrentExecutions": 20`, step{}},
		{`aws lambda update-event-source-mapping --uuid "$SOURCE" --scaling`, `"MaximumConcurrency": 18`, step{}},
		{"output Settings", "", step{}},
		{"API=", "", step{}}, {"aws apigatewayv2 update-stage", `"ThrottlingRateLimit": 1000|\(500\)`, step{status: []int{255}}},
		{"git log", `^[0-9a-f]+ \S`, step{}},
	}
}

// paste pastes a block, with what stands for something else replaced.
func (i *incident) paste(s *shell, block []string, replace *strings.Replacer, used map[string]bool) {
	s.t.Helper()
	var steps []step
	for _, command := range block {
		promises := i.promises()
		n := slices.IndexFunc(promises, func(p promise) bool { return strings.HasPrefix(command, p.command) })
		if n < 0 {
			s.t.Errorf("the runbook has a command of which this test does not know what it must print: %s", command)
			return
		}
		st := promises[n].step
		st.command = replace.Replace(command)
		if promises[n].want != "" {
			st.want = regexp.MustCompile(promises[n].want)
		}
		used[promises[n].command] = true
		steps = append(steps, st)
	}
	s.paste(steps)
}

// A person on call pastes these blocks at night. Here are those that need no more than bash.
func TestASampleOfTheRunbookCanBePasted(t *testing.T) {
	if *wholeRunbook {
		t.Skip("the whole is pasted")
	}
	t.Parallel()
	i := newIncident(t)
	s := newShell(t, t.TempDir(), append(noAWS(), "AWS_ENDPOINT_URL_SQS="+i.SQSURL, "AWS_ACCESS_KEY_ID=test",
		"AWS_SECRET_ACCESS_KEY=test", "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS="+newCloudWatchLogs(t, i.lines))...)
	blocks := runbookBlocks(t)
	first := slices.DeleteFunc(slices.Clone(blocks[0]), func(c string) bool { return strings.Contains(c, "=$(") })
	replace := strings.NewReplacer("REQUEST_ID", aRequest)
	used := map[string]bool{}
	i.paste(s, first, replace, used)
	sample := []string{`spillway logs --name "$NAME" deliver --all`,
		`spillway logs --name "$NAME" deliver --query 'parse`, "spillway top",
		`spillway logs --name "$NAME" deliver --query 'filter ispresent(mis`}
	for _, block := range blocks[1:] { // the first that begins so
		n := slices.IndexFunc(sample, func(p string) bool { return strings.HasPrefix(block[0], p) })
		if n >= 0 {
			sample = slices.Delete(sample, n, n+1)
			i.paste(s, block, replace, used)
		}
	}
	if len(sample) > 0 {
		t.Errorf("the runbook has no block any more that begins with %q", sample)
	}
}

func TestEveryBlockOfTheRunbookCanBePasted(t *testing.T) {
	if !*wholeRunbook {
		t.Skip("-runbook pastes every block, not only a sample; it needs the aws CLI, curl and moto")
	}
	for _, program := range []string{"aws", "curl", "git"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("needs %s: %v (python3 -m pip install -r integration/clients/requirements.txt has the aws CLI)", program, err)
		}
	}
	withoutAWS(t)
	mototest.Start(t, "../..")
	t.Setenv("AWS_REGION", local.Region)
	t.Setenv("AWS_DEFAULT_REGION", local.Region) // that of the aws CLI
	deployToMoto(t)
	i := newIncident(t)
	top, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := newShell(t, dir, "AWS_ENDPOINT_URL_SQS="+i.SQSURL, "KEY=a-new-write-key", "VERSION=1", "GIT_CEILING_DIRECTORIES=/",
		"AWS_ENDPOINT_URL_CLOUDWATCH_LOGS="+newCloudWatchLogs(t, i.lines))
	replace := strings.NewReplacer(" ID", " "+i.id(t, "rejected"), "REQUEST_ID", aRequest, ":VERSION", ":1",
		"FINGERPRINT", event.KeyID("k"),
		"git log", "git -C "+top+" log", "https://api.segment.io/v1/batch", i.SegmentURL+"/v1/batch",
		"https://sqs.$AWS_REGION.amazonaws.com/", i.SQSURL,
		// Version 1 of the aws CLI has an endpoint of SQS of its own in us-east-1.
		"aws sqs ", "aws sqs --endpoint-url "+i.SQSURL+" ",
		`"$(output EventsQueueUrl)"`, i.QueueURL(topology.DefaultNames().EventsQueue))
	used := map[string]bool{}
	for n, block := range runbookBlocks(t) {
		if slices.ContainsFunc(notPasted, func(p string) bool { return strings.HasPrefix(block[0], p) }) {
			continue
		}
		if strings.Contains(block[0], "--older-than 24h") { // which only helps when Segment answers
			i.heal()
		}
		i.paste(s, block, replace, used)
		if block[0] == `spillway dlq redrive --name "$NAME"` { // Segment rejects it again
			await(t, "the dead letter that was sent again", func() bool { return i.Status().DeadLetters == 1 })
		}
		if n == 0 { // from here on the pipeline on this machine stands for the one on AWS
			s.paste([]step{{command: `echo "$INGEST $SOURCE"`, want: regexp.MustCompile(`^http\S+ [0-9a-f-]{36}\n`)},
				{command: "INGEST=" + i.IngestURL}})
		}
	}
	for _, p := range i.promises() {
		if !used[p.command] {
			t.Errorf("the runbook has no command %s any more", p.command)
		}
	}
	for file, want := range map[string]string{"dead-letters.ndjson": "poison", "write-keys.json": `"shop"`,
		"settings.json": `"reservedConcurrency":"12"`} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v\n%s\nhas no %s", file, err, text, want)
		}
		if info, err := os.Stat(filepath.Join(dir, file)); err == nil && file != "settings.json" && info.Mode().Perm() != 0o600 {
			t.Errorf("others may read %s: %v", file, info.Mode())
		}
	}
}

func runAWS(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("aws", args...).CombinedOutput(); err != nil {
		t.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// deployToMoto makes the stack of the golden template in us-east-1, with parameters and an alarm
// that fires.
func deployToMoto(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	config, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		t.Fatal(err)
	}
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	template, err := os.ReadFile("../../infra/aws/testdata/template.json")
	if err != nil {
		t.Fatal(err)
	}
	body := strings.ReplaceAll(string(template), "eu-west-1", local.Region)
	bucket := "cdk-hnb659fds-assets-" + mototest.Account + "-" + local.Region
	runAWS(t, "s3api", "create-bucket", "--bucket", bucket)
	for _, m := range regexp.MustCompile(`"S3Key": "([^"]+)"`).FindAllStringSubmatch(body, -1) {
		runAWS(t, "s3api", "put-object", "--bucket", bucket, "--key", m[1])
	}
	parameters := ssm.New(config)
	for name, value := range map[string]string{"/cdk-bootstrap/hnb659fds/version": "30", "/spillway/write-key": "k",
		"/spillway/write-keys": `{"writeKeys":[{"name":"shop","writeKey":"theshopkey"}]}`} {
		must(nil, parameters.PutParameter(ctx, name, value, ssm.String))
	}
	stacks := cloudformation.NewFromConfig(config)
	must(stacks.CreateStack(ctx, &cloudformation.CreateStackInput{
		StackName: aws.String(topology.DefaultNames().Stack(local.Region)), TemplateBody: &body,
		Parameters: []cftypes.Parameter{{ParameterKey: aws.String("BootstrapVersion"),
			ParameterValue: aws.String("/cdk-bootstrap/hnb659fds/version")}},
		Capabilities: []cftypes.Capability{cftypes.CapabilityCapabilityNamedIam}}))
	for _, name := range []string{"delivery-stalled", "delivery-down"} {
		runAWS(t, "cloudwatch", "set-alarm-state", "--alarm-name", "spillway-"+name, "--state-value", "ALARM",
			"--state-reason", "a test")
	}
}
