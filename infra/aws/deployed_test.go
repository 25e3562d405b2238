package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"github.com/spillwayhq/spillway/infra/settings"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/mototest"
)

// attributes are those of a queue as this version makes it.
func attributes(q topology.Queue) map[string]string {
	arn := "arn:aws:sqs:eu-west-1:123456789012:" + q.Name
	all := q.Attributes(arn)
	all["QueueArn"] = arn
	return all
}

// retained is a region where an earlier stack left these queues.
func retained(queues ...string) deployed {
	d := deployed{retained: map[string]map[string]string{}}
	t := usual()
	for _, name := range queues {
		q, _ := t.Queue(name)
		d.retained[name] = attributes(q)
	}
	return d
}

func TestQueuesAreAdoptedByWhatExistsInEachRegion(t *testing.T) {
	n := topology.DefaultNames()
	all := n.Queues()
	unknown := deployed{err: errNotAsked}
	for _, c := range []struct {
		setting string
		region  deployed
		want    []string
	}{
		{"auto", retained(all...), all},
		{"auto", retained(), nil}, // a new region, or a stack that has its queues
		{"auto", retained(n.DeadLetterQueue), []string{n.DeadLetterQueue}},
		{"auto", unknown, nil},
		{"true", retained(all...), all},
		{"true", retained(), nil},
		{"true", unknown, all},
		{"false", retained(all...), nil},
		{"false", unknown, nil},
		{"none", retained(all...), nil},
		{"us-east-1,eu-west-1", unknown, all},
		// A stack of a version before the bulk queue left none.
		{"us-east-1,eu-west-1", retained(), []string{n.EventsQueue, n.DeadLetterQueue}},
		{"us-east-1", retained(all...), nil},
	} {
		s := settings.Default(n, "eu-west-1")
		if err := s.Set("adoptQueues", c.setting); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, queue := range all {
			if adopts(&s, "eu-west-1", queue, c.region) {
				got = append(got, queue)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("adoptQueues=%s with %v: adopts %v, want %v", c.setting, c.region, got, c.want)
		}
	}
}

// publishers are the templates of a pipeline for publishers, by region: eu-west-3 has all its queues
// already, us-west-2 has one, and eu-west-1 has none. us-east-1 has the status site, without a domain.
func publishers(t *testing.T) map[string]template {
	t.Helper()
	n := topology.DefaultNames()
	s := settings.Default(n, "eu-west-1")
	s.Regions, s.StatusRegions = []string{"eu-west-1", "eu-west-3", "us-west-2"}, []string{"us-east-1"}
	s.IngestEndpoint, s.Canary = settings.None, false
	return onceIn(t, "with queues", &s, environment{deployed: map[string]deployed{
		"eu-west-3": retained(n.Queues()...), "eu-west-1": retained(),
		"us-west-2": retained(n.DeadLetterQueue),
	}})
}

// A second region beside one whose queues are adopted is what a list for all regions can't say.
func TestARegionIsAddedBesideOneThatAdoptedItsQueues(t *testing.T) {
	n, templates := topology.DefaultNames(), publishers(t)
	for region, want := range map[string][]string{"eu-west-3": nil, "eu-west-1": {n.BulkQueue, n.DeadLetterQueue, n.EventsQueue},
		"us-west-2": {n.BulkQueue, n.EventsQueue}} {
		var created []string
		for _, q := range templates[region].of("AWS::SQS::Queue") {
			created = append(created, q.at("QueueName").(string))
		}
		slices.Sort(created)
		if !slices.Equal(created, want) {
			t.Errorf("%s creates %v, want %v", region, created, want)
		}
	}
	events := templates["us-west-2"].named(t, "AWS::SQS::Queue", "QueueName", n.EventsQueue)
	if target := text(events.at("RedrivePolicy", "deadLetterTargetArn")); !strings.Contains(target,
		":sqs:us-west-2:") || !strings.Contains(target, ":"+n.DeadLetterQueue) {
		t.Errorf("the new events queue's dead letters go to %s, want the adopted queue", target)
	}
}

func TestADeploymentSaysWhichSettingsDiffer(t *testing.T) {
	names := topology.DefaultNames()
	before := settings.Default(names, "eu-west-1")
	before.ReservedConcurrency, before.CanaryWriteKey = 20, "one"
	before.Tags = map[string]string{"long": strings.Repeat("x", 256), "team": "data"}
	deployedWith := func(change func(map[string]string)) deployed {
		d := retained()
		d.stack = true
		if err := json.Unmarshal([]byte(before.Kept()), &d.settings); err != nil {
			t.Fatal(err)
		}
		change(d.settings)
		return d
	}
	same := func(map[string]string) {}
	for name, c := range map[string]struct {
		change func(*settings.Settings)
		before deployed
		want   []string // parts of lines; none: says nothing
	}{
		"same settings": {func(*settings.Settings) {}, deployedWith(same), nil},
		"a forgotten setting": {func(s *settings.Settings) { s.ReservedConcurrency = 12 }, deployedWith(same),
			[]string{"spillway-eu-west-1 was deployed with other settings:",
				"reservedConcurrency      20, is now 12", "maximumConcurrency       17, is now 9"}},
		"another write key": {func(s *settings.Settings) { s.CanaryWriteKey = "two" }, deployedWith(same),
			[]string{"canaryWriteKey           (set, SHA-256 7692c3ad), is now (set, SHA-256 3fc4ccfe)"}},
		"a change in a long text": {func(s *settings.Settings) {
			s.Tags = map[string]string{"long": strings.Repeat("x", 255) + "y", "team": "data"}
		}, deployedWith(same), []string{"tags "}},
		"a setting that is new in this version": {func(*settings.Settings) {},
			deployedWith(func(m map[string]string) { delete(m, "logLevel") }), nil},
		"… and is not at its default": {func(s *settings.Settings) { s.LogLevel = "debug" },
			deployedWith(func(m map[string]string) { delete(m, "logLevel") }),
			[]string{"logLevel                 info, is now debug"}},
		"a setting that is gone in this version": {func(*settings.Settings) {},
			deployedWith(func(m map[string]string) { m["shards"] = "7" }),
			[]string{"shards                   7, is no setting of this version"}},
		"a stack of an earlier version": {func(*settings.Settings) {}, deployed{stack: true},
			[]string{"spillway-eu-west-1 keeps no settings to compare with"}},
		"no stack": {func(*settings.Settings) {}, deployed{}, nil},
		"no credentials": {func(*settings.Settings) {}, deployed{err: errors.New("no AWS credentials")},
			[]string{"nothing is compared, and adoptQueues=auto adopts no queue: no AWS credentials"}},
		"no credentials, and all are adopted": {func(s *settings.Settings) { s.AdoptQueues = settings.AdoptAll },
			deployed{err: errNotAsked}, []string{"nothing is compared, and adoptQueues=true adopts all queues"}},
		"a queue that exists": {func(*settings.Settings) {}, retained(names.EventsQueue),
			[]string{"spillway-eu-west-1 adopts the queue spillway-events, which exists outside of it"}},
		"a queue that does not exist": {func(s *settings.Settings) { s.AdoptQueues = "eu-west-1" }, retained(names.EventsQueue),
			[]string{"adopts the queue spillway-dead-letters, as adoptQueues=eu-west-1 says, but AWS has no such queue"}},
	} {
		s := before
		c.change(&s)
		var out bytes.Buffer
		tell(&out, &s, "eu-west-1", c.before)
		for _, want := range c.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: says\n%swant %q", name, &out, want)
			}
		}
		if len(c.want) == 0 && out.Len() > 0 {
			t.Errorf("%s: says\n%swant nothing", name, &out)
		}
	}
}

func TestAnAdoptedQueueWithOtherAttributesIsNamedWithTheCommandThatSetsThem(t *testing.T) {
	names := topology.DefaultNames()
	events, _ := new(usual()).Queue(names.EventsQueue)
	for _, c := range []struct{ attribute, value, want string }{
		{"", "", ""},
		{"VisibilityTimeout", "30", `{"VisibilityTimeout":"361"}`},
		{"MessageRetentionPeriod", "345600", `{"MessageRetentionPeriod":"1209600"}`},
		{"RedrivePolicy", `{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:123456789012:spillway-dead-letters","maxReceiveCount":1000}`, ""},
		{"RedrivePolicy", `{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:123456789012:other","maxReceiveCount":1000}`,
			`{"RedrivePolicy":"{\"deadLetterTargetArn\":\"arn:aws:sqs:eu-west-1:123456789012:spillway-dead-letters\",\"maxReceiveCount\":\"1000\"}"}`},
		{"RedrivePolicy", "", `{"RedrivePolicy":"{\"deadLetterTargetArn\":\"arn:aws:sqs:eu-west-1:123456789012:spillway-dead-letters\",\"maxReceiveCount\":\"1000\"}"}`},
	} {
		d := retained(names.EventsQueue)
		d.retained[names.EventsQueue] = attributes(events)
		if c.attribute != "" {
			d.retained[names.EventsQueue][c.attribute] = c.value
		}
		s := settings.Default(names, "eu-west-1")
		var out bytes.Buffer
		tell(&out, &s, "eu-west-1", d)
		_, command, said := strings.Cut(out.String(), "aws sqs set-queue-attributes --region eu-west-1 ")
		if want := c.want != ""; said != want || want && !strings.Contains(command, "--attributes '"+c.want+"'") {
			t.Errorf("%s %s: says %q, want attributes %s", c.attribute, c.value, out.String(), c.want)
		}
	}
}

// A stack of a version before the bulk queue has retained a dead-letter queue that takes those of the
// events queue only: SQS would refuse the bulk queue.
func TestADeadLetterQueueThatDoesNotTakeTheBulkQueuesIsNamed(t *testing.T) {
	n := topology.DefaultNames()
	arn := func(queue string) string { return `"arn:aws:sqs:eu-west-1:123456789012:` + queue + `"` }
	both := `{"redrivePermission":"byQueue","sourceQueueArns":[` + arn(n.EventsQueue) + `,` + arn(n.BulkQueue) + `]}`
	for policy, want := range map[string]bool{
		"": false, `{"redrivePermission":"allowAll"}`: false, both: false,
		`{"redrivePermission":"byQueue","sourceQueueArns":[` + arn(n.BulkQueue) + `,"x",` + arn(n.EventsQueue) + `]}`: false,
		`{"redrivePermission":"denyAll"}`:                                                true,
		`{"redrivePermission":"byQueue","sourceQueueArns":[` + arn(n.EventsQueue) + `]}`: true,
	} {
		d := retained(n.DeadLetterQueue)
		d.retained[n.DeadLetterQueue]["RedriveAllowPolicy"] = policy
		s := settings.Default(n, "eu-west-1")
		var out bytes.Buffer
		tell(&out, &s, "eu-west-1", d)
		attributes, _ := json.Marshal(map[string]string{"RedriveAllowPolicy": both})
		if said := strings.Contains(out.String(), "the deployment fails: first aws sqs set-queue-attributes --region eu-west-1 "+
			"--queue-url $(aws sqs get-queue-url --region eu-west-1 --queue-name spillway-dead-letters --output text) "+
			"--attributes '"+string(attributes)+"'"); said != want {
			t.Errorf("%s: says %q, and the command %v, want %v", policy, out.String(), said, want)
		}
	}
}

// answers is an endpoint that answers each action of AWS's query protocol with a status and a text.
func answers(t *testing.T, byAction map[string]string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if target := r.Header.Get("X-Amz-Target"); target != "" { // SQS speaks JSON
			w.Header().Set("X-Amzn-Query-Error", "AWS.SimpleQueueService.NonExistentQueue;Sender")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no"}`))
			return
		}
		body := new(bytes.Buffer)
		_, _ = body.ReadFrom(r.Body)
		form, _ := url.ParseQuery(body.String())
		answer, ok := byAction[form.Get("Action")]
		if !ok {
			w.WriteHeader(http.StatusForbidden)
			answer = `<ErrorResponse><Error><Code>AccessDenied</Code><Message>not allowed</Message></Error></ErrorResponse>`
		}
		if strings.Contains(answer, "<Code>ValidationError") {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = w.Write([]byte(answer))
	}))
	t.Cleanup(server.Close)
	mototest.OwnConfiguration(t)
	t.Setenv("AWS_ENDPOINT_URL", server.URL)
}

const (
	callerIs = `<GetCallerIdentityResponse><GetCallerIdentityResult><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`
	noStack  = `<ErrorResponse><Error><Code>ValidationError</Code><Message>Stack with id spillway-eu-west-1 does not exist</Message></Error></ErrorResponse>`
)

func TestWhereAWSCannotBeAskedTheReasonIsSaidAndTheDeploymentGoesOn(t *testing.T) {
	stackOf := func(status string) string {
		return `<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>spillway-eu-west-1</StackName><StackStatus>` +
			status + `</StackStatus></member></Stacks></DescribeStacksResult></DescribeStacksResponse>`
	}
	for name, c := range map[string]struct {
		actions      map[string]string
		account, key string
		want         string // the error's part
	}{
		"no credentials": {nil, "", "", "no AWS credentials: set AWS_PROFILE"},
		"not allowed to ask for the stack": {map[string]string{"GetCallerIdentity": callerIs}, "", "a",
			"read the outputs of stack spillway-eu-west-1"},
		"credentials of another account": {map[string]string{"GetCallerIdentity": callerIs}, "999999999999", "a",
			"are those of account 123456789012, and the CDK deploys to 999999999999"},
		"no stack": {map[string]string{"GetCallerIdentity": callerIs, "DescribeStacks": noStack}, "123456789012", "a", ""},
		"a stack whose resources may not be listed": {map[string]string{"GetCallerIdentity": callerIs,
			"DescribeStacks": stackOf("UPDATE_COMPLETE")}, "", "a", "list the resources of stack spillway-eu-west-1"},
		"a stack whose first deployment failed": {map[string]string{"GetCallerIdentity": callerIs,
			"DescribeStacks": stackOf("ROLLBACK_COMPLETE")}, "", "a", ""},
	} {
		t.Run(name, func(t *testing.T) {
			answers(t, c.actions)
			if c.key == "" {
				t.Setenv("AWS_ACCESS_KEY_ID", "")
			}
			got := ask(t.Context(), c.account, topology.DefaultNames(), []string{"eu-west-1"})["eu-west-1"]
			if c.want == "" && (got.err != nil || got.stack) ||
				c.want != "" && (got.err == nil || !strings.Contains(got.err.Error(), c.want)) {
				t.Errorf("%+v, want an error with %q", got, c.want)
			}
		})
	}
}

func TestADeploymentThatWouldReplaceAQueueIsRefused(t *testing.T) {
	has := map[string]string{"spillway-events": "Events1", "spillway-dead-letters": "Dead1"}
	for name, c := range map[string]struct {
		made   map[string]string
		adopts bool
		want   []string // what the error says, a line each
	}{
		"the same queues": {has, false, nil},
		"another name": {map[string]string{"spillway-inbox": "Events1", "spillway-dead-letters": "Dead1"}, false,
			[]string{"the stack has the queue spillway-events, and this deployment would replace it by the queue spillway-inbox."}},
		"another name, while retained queues are adopted": {map[string]string{"spillway-inbox": "Events1",
			"spillway-dead-letters": "Dead1"}, true, []string{"replace it by the queue spillway-inbox."}},
		"another logical ID": {map[string]string{"spillway-events": "Events2", "spillway-dead-letters": "Dead1"}, false,
			[]string{"would make it anew as the resource Events2; it is Events1."}},
		"no such queues": {nil, false, []string{"the queue spillway-dead-letters, and this deployment would remove it",
			"the queue spillway-events, and this deployment would remove it"}},
		"queues that are adopted from now on": {nil, true, nil}, // they are retained, and used as before
	} {
		err := otherQueues("spillway-eu-west-1", has, c.made, func(string) bool { return c.adopts })
		var lines []string
		if err != nil {
			lines = strings.Split(err.Error(), "\n")
		}
		if len(lines) != len(c.want) {
			t.Errorf("%s: %d lines, want %d: %v", name, len(lines), len(c.want), err)
			continue
		}
		for i, want := range c.want {
			if !strings.Contains(lines[i], want) || !strings.HasPrefix(lines[i], "spillway-eu-west-1: refused, nothing is changed:") {
				t.Errorf("%s: says %q, want %q", name, lines[i], want)
			}
		}
	}
	if err := otherQueues("spillway-eu-west-1", nil, has, nil); err != nil {
		t.Errorf("a first deployment is refused: %v", err)
	}
}

// The logical IDs follow from the names of the constructs, which nobody looks at when he renames
// one.
func TestTheQueuesOfTheStackAreComparedWithThoseThatTheTemplateMakes(t *testing.T) {
	tmpl := defaults(t)
	n := topology.DefaultNames()
	own := map[string]string{}
	for id, q := range tmpl.exactly(t, 3, "AWS::SQS::Queue") {
		own[q.at("QueueName").(string)] = id
	}
	s := settings.Default(n, "eu-west-1")
	folder := t.TempDir()
	env := environment{version: "v1.2.3", assets: placeholders(t, folder, &s),
		deployed: map[string]deployed{"eu-west-1": {stack: true, own: own}}}
	own[n.EventsQueue] = "EventsQueue0"
	err := addStacks(awscdk.NewApp(&awscdk.AppProps{AnalyticsReporting: jsii.Bool(false), Outdir: jsii.String(folder)}), &s,
		env)
	if err == nil || !strings.Contains(err.Error(), "it is EventsQueue0") || strings.Contains(err.Error(), n.DeadLetterQueue) {
		t.Errorf("got %v, want an error about the events queue alone", err)
	}
}
