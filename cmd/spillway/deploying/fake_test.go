package deploying

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

const (
	account  = "123456789012"
	region   = "eu-west-1"
	pipeline = "spillway"
	theStack = "spillway-eu-west-1"
	ownName  = "spillway-deploy-123456789012-eu-west-1"
)

// A cloud stands in for STS, CloudFormation, S3, SQS and SSM, in virtual time.
type cloud struct {
	mu      sync.Mutex
	stacks  map[string]*fakeStack // by name
	gone    []*fakeStack
	buckets map[string]*fakeBucket
	queues  []string // that exist
	params  []string
	calls   []string // "CreateChangeSet", "PUT /key", ...
	serial  int

	// changes are those of each change set; none: nothing to change.
	changes string
	// runs is what CloudFormation does with a change set: what becomes of the stack, one after another.
	runs []moment
	// fault answers a call in place of the service; nil: it does not.
	fault func(call string, n int) *fault
	// after is told of each call that has been answered.
	after func(call string)
}

type fakeStack struct {
	name, id, status, reason string
	protected                bool
	tags, outputs            map[string]string
	parameters               []string
	sets                     map[string]*fakeSet
	events                   []Event // the oldest first
	queued                   []moment
}

type fakeSet struct {
	status, reason, execution, changes string
	form                               url.Values
}

// A moment is what happens some time after the one before.
type moment struct {
	after    time.Duration
	resource string // "Type/LogicalID"; empty: the stack
	status   string
	reason   string
	at       time.Time
}

type fakeBucket struct {
	owner, region string
	config        map[string]string // by query
	objects       map[string][]byte
}

type fault struct {
	status        int
	code, message string
	err           error // in place of an answer
	through       bool  // the service does it all the same
}

func newCloud() *cloud {
	return &cloud{stacks: map[string]*fakeStack{}, buckets: map[string]*fakeBucket{},
		params: []string{"/spillway/write-key"}, changes: added("AWS::SQS::Queue", "EventsQueue"),
		runs: []moment{{status: "CREATE_IN_PROGRESS"}, {after: 5 * time.Second, resource: "AWS::SQS::Queue/EventsQueue",
			status: "CREATE_COMPLETE"}, {after: 5 * time.Second, status: "CREATE_COMPLETE"}}}
}

// updating are the moments of an update that succeeds.
func updating() []moment {
	return []moment{{status: "UPDATE_IN_PROGRESS"}, {after: 7 * time.Second, resource: "AWS::Lambda::Function/Deliver",
		status: "UPDATE_COMPLETE"}, {after: time.Second, status: "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"},
		{after: 5 * time.Second, status: "UPDATE_COMPLETE"}}
}

func added(kind, id string) string { return changed("Add", kind, id, "", "") }

func changed(action, kind, id, physical, more string) string {
	return fmt.Sprintf("<member><Type>Resource</Type><ResourceChange><Action>%s</Action><LogicalResourceId>%s"+
		"</LogicalResourceId><PhysicalResourceId>%s</PhysicalResourceId><ResourceType>%s</ResourceType>%s</ResourceChange>"+
		"</member>", action, id, physical, kind, more)
}

// add makes a stack of the pipeline, as a deployment has left it.
func (c *cloud) add(status string) *fakeStack {
	c.serial++
	s := &fakeStack{name: theStack, id: fmt.Sprintf("arn:aws:cloudformation:%s:%s:stack/%s/%d", region, account, theStack, c.serial),
		status: status, tags: map[string]string{"application": "spillway", "pipeline": pipeline},
		outputs: map[string]string{}, sets: map[string]*fakeSet{}}
	if status != "REVIEW_IN_PROGRESS" && status != "ROLLBACK_COMPLETE" {
		s.outputs["Settings"], s.outputs["IngestUrl"] = `{"name":"spillway"}`, "https://ingest.example.com"
	}
	s.event(c, "", status, "of before")
	c.stacks[theStack] = s
	return s
}

func (s *fakeStack) event(c *cloud, resource, status, reason string) {
	c.serial++
	kind, id, isResource := strings.Cut(resource, "/")
	e := Event{ID: fmt.Sprint(c.serial), StackID: s.id, Time: time.Now(), Type: kind, LogicalID: id,
		PhysicalID: "the-" + id, Status: status, Reason: reason}
	if !isResource {
		e.Type, e.LogicalID, e.PhysicalID = "AWS::CloudFormation::Stack", s.name, s.id
	}
	s.events = append(s.events, e)
}

// tick lets happen what is due.
func (c *cloud) tick() {
	for _, s := range c.stacks {
		for len(s.queued) > 0 && !time.Now().Before(s.queued[0].at) {
			m := s.queued[0]
			s.queued = s.queued[1:]
			s.event(c, m.resource, m.status, m.reason)
			if m.resource == "" {
				s.status, s.reason = m.status, m.reason
				if m.status == "DELETE_COMPLETE" {
					delete(c.stacks, s.name)
					c.gone = append(c.gone, s)
				}
			}
			if m.resource == "" && strings.HasSuffix(m.status, "E_COMPLETE") && !strings.Contains(m.status, "DELETE") {
				s.outputs["IngestUrl"], s.outputs["Settings"] = "https://ingest.example.com", `{"name":"spillway"}`
			}
		}
	}
}

func (s *fakeStack) run(moments []moment) {
	at := time.Now()
	for _, m := range moments {
		at = at.Add(m.after)
		m.at = at
		s.queued = append(s.queued, m)
	}
}

// Do answers a request: it is the HTTP client of the configuration.
func (c *cloud) Do(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, &url.Error{Op: r.Method, URL: r.URL.String(), Err: err}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	service, _, _ := strings.Cut(r.URL.Host, ".")
	call := ""
	form, _ := url.ParseQuery(string(body))
	isBucket := strings.Contains(r.URL.Host, ".s3.")
	switch {
	case isBucket && r.URL.Path == "/":
		call = r.Method + " bucket " + strings.Split(r.URL.RawQuery, "=")[0]
	case isBucket:
		call = r.Method + " " + r.URL.Path
	case service == "sqs", service == "ssm":
		_, call, _ = strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	default:
		call = form.Get("Action")
	}
	call = strings.TrimSpace(call)
	c.calls = append(c.calls, call)
	n := 0
	for _, other := range c.calls {
		if other == call {
			n++
		}
	}
	c.tick()
	serve := func() (int, string) {
		switch {
		case isBucket:
			return c.bucket(service, r, body)
		case service == "sts":
			return 200, "<R><GetCallerIdentityResult><Account>" + account + "</Account><Arn>arn:aws:sts::" + account +
				":assumed-role/r/s</Arn></GetCallerIdentityResult></R>"
		case service == "sqs":
			var in struct{ QueueName string }
			_ = json.Unmarshal(body, &in)
			if slices.Contains(c.queues, in.QueueName) {
				return 200, `{"QueueUrl":"x"}`
			}
			return 400, `{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"none"}`
		case service == "ssm":
			var in struct{ Name string }
			_ = json.Unmarshal(body, &in)
			if slices.Contains(c.params, in.Name) {
				return 200, `{"Parameter":{"Value":"x","Version":1}}`
			}
			return 400, `{"__type":"ParameterNotFound"}`
		}
		return c.cloudFormation(form)
	}
	if c.after != nil {
		defer c.after(call)
	}
	if c.fault != nil {
		if f := c.fault(call, n); f != nil {
			if f.through {
				serve()
			}
			if f.err != nil {
				return nil, &url.Error{Op: r.Method, URL: r.URL.String(), Err: f.err}
			}
			return respond(r, f.status, failure(service, f.code, f.message)), nil
		}
	}
	status, text := serve()
	if err := r.Context().Err(); err != nil { // it ended meanwhile: the answer is lost
		return nil, &url.Error{Op: r.Method, URL: r.URL.String(), Err: err}
	}
	answer := respond(r, status, text)
	if isBucket && r.Method == http.MethodHead {
		answer.Body = io.NopCloser(strings.NewReader(""))
		if b := c.buckets[service]; b != nil {
			answer.Header.Set("X-Amz-Bucket-Region", b.region)
			if content, has := b.objects[r.URL.Path]; has {
				sum := sha256.Sum256(content)
				answer.Header.Set("X-Amz-Checksum-Sha256", base64.StdEncoding.EncodeToString(sum[:]))
			}
		}
	}
	return answer, nil
}

func respond(r *http.Request, status int, text string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Request: r,
		Body: io.NopCloser(bytes.NewReader([]byte(text)))}
}

// failure is an error in the words of a service.
func failure(service, code, message string) string {
	switch service {
	case "sqs", "ssm":
		return fmt.Sprintf(`{"__type":%q,"message":%q}`, code, message)
	case "sts", "cloudformation":
		return fmt.Sprintf("<ErrorResponse><Error><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>", code, message)
	}
	return fmt.Sprintf("<Error><Code>%s</Code><Message>%s</Message></Error>", code, message)
}

func (c *cloud) bucket(name string, r *http.Request, body []byte) (int, string) {
	b, query := c.buckets[name], strings.Split(r.URL.RawQuery, "=")[0]
	if owner := r.Header.Get("X-Amz-Expected-Bucket-Owner"); b != nil && (owner != "" && owner != b.owner) {
		return 403, failure("s3", "AccessDenied", "Access Denied")
	}
	if r.Method == http.MethodPut {
		sum := sha256.Sum256(body)
		if r.Header.Get("X-Amz-Checksum-Sha256") != base64.StdEncoding.EncodeToString(sum[:]) {
			return 400, failure("s3", "BadDigest", "no checksum")
		}
	}
	switch {
	case r.URL.Path == "/" && query == "" && r.Method == http.MethodPut:
		if b != nil && b.owner != account {
			return 409, failure("s3", "BucketAlreadyExists", "The requested bucket name is not available")
		} else if b != nil {
			return 409, failure("s3", "BucketAlreadyOwnedByYou", "yours")
		}
		c.buckets[name] = &fakeBucket{account, region, map[string]string{}, map[string][]byte{}}
		return 200, ""
	case b == nil:
		return 404, failure("s3", "NoSuchBucket", "The specified bucket does not exist")
	case r.URL.Path == "/" && r.Method == http.MethodHead:
		if b.region != region {
			return 301, ""
		}
		return 200, ""
	case r.URL.Path == "/" && r.Method == http.MethodPut:
		b.config[query] = string(body)
		return 200, ""
	case query == "tagging":
		if b.config["tagging"] == "" {
			return 404, failure("s3", "NoSuchTagSet", "The TagSet does not exist")
		}
		return 200, b.config["tagging"]
	case query == "list-type":
		text := "<ListBucketResult>"
		for key := range b.objects {
			text += "<Contents><Key>" + key + "</Key></Contents>"
		}
		return 200, text + "</ListBucketResult>"
	case r.Method == http.MethodPut:
		b.objects[r.URL.Path] = body
		return 200, ""
	}
	if _, has := b.objects[r.URL.Path]; !has {
		return 404, failure("s3", "NoSuchKey", "none")
	}
	return 200, ""
}

// find finds a stack by name or ID. Deleted ones have only their ID.
func (c *cloud) find(name string) *fakeStack {
	for _, s := range c.stacks {
		if s.name == name || s.id == name {
			return s
		}
	}
	for _, s := range c.gone {
		if s.id == name {
			return s
		}
	}
	return nil
}

func invalid(text string, args ...any) (int, string) {
	return 400, failure("cloudformation", "ValidationError", fmt.Sprintf(text, args...))
}

func (c *cloud) cloudFormation(form url.Values) (int, string) {
	action := form.Get("Action")
	s := c.find(form.Get("StackName"))
	if s == nil && (action != "CreateChangeSet" || form.Get("ChangeSetType") != "CREATE") {
		return invalid("Stack with id %s does not exist", form.Get("StackName"))
	}
	result := func(text string) (int, string) {
		return 200, fmt.Sprintf("<%[1]sResponse><%[1]sResult>%[2]s</%[1]sResult></%[1]sResponse>", action, text)
	}
	busy := s != nil && strings.HasSuffix(s.status, "_IN_PROGRESS") && s.status != "REVIEW_IN_PROGRESS"
	switch action {
	case "DescribeStacks":
		return result("<Stacks>" + s.xml() + "</Stacks>")
	case "DescribeStackEvents":
		// Two pages, the newest first.
		events := slices.Clone(s.events)
		slices.Reverse(events)
		half := (len(events) + 1) / 2
		if form.Get("NextToken") == "" {
			return result("<StackEvents>" + eventsXML(events[:half]) + "</StackEvents><NextToken>more</NextToken>")
		}
		return result("<StackEvents>" + eventsXML(events[half:]) + "</StackEvents>")
	case "ListStackResources":
		return result("")
	case "CreateChangeSet":
		return c.createChangeSet(s, form, busy, result)
	case "ListChangeSets":
		text := ""
		for name := range s.sets {
			text += "<member><ChangeSetName>" + name + "</ChangeSetName></member>"
		}
		return result("<Summaries>" + text + "</Summaries>")
	case "UpdateTerminationProtection":
		s.protected = form.Get("EnableTerminationProtection") == "true"
		return result("")
	case "DeleteStack":
		if s.protected {
			return invalid("Stack [%s] cannot be deleted while TerminationProtection is enabled", s.name)
		}
		s.run([]moment{{status: "DELETE_IN_PROGRESS"}, {after: 4 * time.Second, status: "DELETE_COMPLETE"}})
		if s.status == "REVIEW_IN_PROGRESS" {
			delete(c.stacks, s.name)
		}
		return result("")
	}
	set := s.sets[form.Get("ChangeSetName")]
	if set == nil {
		return 404, failure("cloudformation", "ChangeSetNotFound", "ChangeSet does not exist")
	}
	switch action {
	case "DescribeChangeSet":
		if set.status == "CREATE_IN_PROGRESS" { // it takes two looks
			set.status = "CREATE_COMPLETE"
			return result("<Status>CREATE_IN_PROGRESS</Status>")
		}
		return result(fmt.Sprintf("<Status>%s</Status><StatusReason>%s</StatusReason><ExecutionStatus>%s</ExecutionStatus>"+
			"<Changes>%s</Changes>", set.status, set.reason, set.execution, set.changes))
	case "DeleteChangeSet":
		delete(s.sets, form.Get("ChangeSetName"))
		return result("")
	case "ExecuteChangeSet":
		if busy || set.execution != "AVAILABLE" {
			return 400, failure("cloudformation", "InvalidChangeSetStatus", "ChangeSet can't be executed in its current status of "+set.execution)
		}
		s.sets = map[string]*fakeSet{form.Get("ChangeSetName"): set}
		set.execution = "EXECUTE_IN_PROGRESS"
		s.run(c.runs)
		return result("")
	}
	return invalid("unknown action %s", action)
}

func (c *cloud) createChangeSet(s *fakeStack, form url.Values, busy bool,
	result func(string) (int, string)) (int, string) {
	if busy {
		return invalid("Stack:%s is in %s state and can not be updated.", s.id, s.status)
	}
	if s != nil && form.Get("ChangeSetType") == "CREATE" && s.status != "REVIEW_IN_PROGRESS" {
		return invalid("Stack [%s] already exists and cannot be created again with the changeSet", s.name)
	}
	if s == nil {
		s = c.add("REVIEW_IN_PROGRESS")
	}
	name := form.Get("ChangeSetName")
	if s.sets[name] != nil {
		return 400, failure("cloudformation", "AlreadyExistsException", "ChangeSet exists")
	}
	set := &fakeSet{status: "CREATE_IN_PROGRESS", execution: "AVAILABLE", changes: c.changes, form: form}
	if c.changes == "" {
		set.status, set.execution = "FAILED", "UNAVAILABLE"
		set.reason = "The submitted information didn't contain changes. Submit different information to create a change set."
	}
	s.sets[name] = set
	return result("<Id>x</Id><StackId>" + s.id + "</StackId>")
}

func (s *fakeStack) xml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "<member><StackId>%s</StackId><StackName>%s</StackName><StackStatus>%s</StackStatus>"+
		"<StackStatusReason>%s</StackStatusReason><EnableTerminationProtection>%t</EnableTerminationProtection>", s.id, s.name,
		s.status, s.reason, s.protected)
	write := func(list, key, value string, of map[string]string) {
		fmt.Fprintf(&b, "<%s>", list)
		for k, v := range of {
			var text bytes.Buffer
			_ = xml.EscapeText(&text, []byte(v))
			fmt.Fprintf(&b, "<member><%[1]s>%[2]s</%[1]s><%[3]s>%[4]s</%[3]s></member>", key, k, value, &text)
		}
		fmt.Fprintf(&b, "</%s>", list)
	}
	write("Tags", "Key", "Value", s.tags)
	write("Outputs", "OutputKey", "OutputValue", s.outputs)
	b.WriteString("<Parameters>")
	for _, p := range s.parameters {
		fmt.Fprintf(&b, "<member><ParameterKey>%s</ParameterKey></member>", p)
	}
	b.WriteString("</Parameters></member>")
	return b.String()
}

func eventsXML(events []Event) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "<member><EventId>%s</EventId><StackId>%s</StackId><Timestamp>%s</Timestamp><LogicalResourceId>%s"+
			"</LogicalResourceId><PhysicalResourceId>%s</PhysicalResourceId><ResourceType>%s</ResourceType><ResourceStatus>%s"+
			"</ResourceStatus><ResourceStatusReason>%s</ResourceStatusReason></member>", e.ID, e.StackID,
			e.Time.UTC().Format(time.RFC3339Nano), e.LogicalID, e.PhysicalID, e.Type, e.Status, e.Reason)
	}
	return b.String()
}

// count is how often a call was made.
func (c *cloud) count(call string) (n int) {
	for _, one := range c.calls {
		if one == call {
			n++
		}
	}
	return n
}

// changesAnything reports whether a call changes a stack's resources.
func (c *cloud) executed() bool { return c.count("ExecuteChangeSet") > 0 }

var errLost = errors.New("read: connection reset by peer")

func file(key, content string) File {
	sum := sha256.Sum256([]byte(content))
	return File{key, hex.EncodeToString(sum[:]), func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(content)), nil
	}}
}

// deploy runs a deployment of the pipeline against a cloud, and returns what it printed.
func (c *cloud) deploy(t *testing.T, change func(*Deployment)) (string, error) {
	t.Helper()
	return c.deployIn(t.Context(), change)
}

func (c *cloud) deployIn(ctx context.Context, change func(*Deployment)) (string, error) {
	var out bytes.Buffer
	d := &Deployment{
		Config:   aws.Config{Region: region, HTTPClient: c, Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", "")},
		Pipeline: pipeline, Stack: theStack, Version: "v1.2.3", AdoptQueues: "auto",
		Queues: []string{"spillway-events", "spillway-bulk", "spillway-dead-letters"}, Parameters: []string{"/spillway/write-key"},
		Plan: func(bool) (Plan, error) {
			return Plan{Template: file("templates/abc.json", "{}"), Parameters: map[string]string{"Name": pipeline, "Empty": ""},
				BucketParameter: "CodeBucket", Tags: map[string]string{"application": "spillway", "pipeline": pipeline},
				Code: []File{file("functions/deliver.zip", "deliver"), file("functions/ingest.zip", "ingest")}, Protected: true}, nil
		},
		Compare: func(io.Writer, map[string]string) error { return nil },
		Yes:     true, In: strings.NewReader(""), Out: &out,
	}
	if change != nil {
		change(d)
	}
	err := d.Run(ctx)
	return out.String(), err
}
