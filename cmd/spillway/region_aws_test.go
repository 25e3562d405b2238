package main

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/aws/smithy-go/encoding/cbor"

	"github.com/spillwayhq/spillway/infra/topology"
)

// A regionalAccount is CloudFormation, CloudWatch, SSM and STS of an account with a pipeline in
// us-east-1 and eu-west-1, as HTTP shows them. In a region that is down nothing answers but 503.
type regionalAccount struct {
	t *testing.T

	mu     sync.Mutex
	marks  map[string]string // by region
	firing map[string]string // the alarm that fires, by region
	down   string            // a region
	silent bool              // no canary's function runs
	checks []string          // the health checks that were read, with the region that was asked
}

// signedRegion finds the region in a signature, which is where the SDK would have sent the request.
var signedRegion = regexp.MustCompile(`Credential=[^/]+/\d+/([a-z0-9-]+)/`)

func (a *regionalAccount) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	found := signedRegion.FindStringSubmatch(r.Header.Get("Authorization"))
	if found == nil || found[1] == a.down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	region := found[1]
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	switch target, path := r.Header.Get("X-Amz-Target"), r.URL.Path; {
	case strings.HasPrefix(target, "AmazonSSM."):
		a.parameter(w, region, strings.TrimPrefix(target, "AmazonSSM."), body)
	case strings.HasSuffix(path, "/operation/DescribeAlarms"):
		a.alarms(w, region)
	case strings.HasSuffix(path, "/operation/GetMetricData"):
		value := 3.0
		if strings.Contains(string(body), "HealthCheckStatus") {
			value = 1
			a.checks = append(a.checks, region)
		}
		answerCBOR(w, cbor.Map{"MetricDataResults": cbor.List{cbor.Map{"Id": cbor.String("m"),
			"Values": cbor.List{cbor.Float64(value)}}}})
	case r.FormValue("Action") == "GetCallerIdentity":
		_, _ = io.WriteString(w, `<R><GetCallerIdentityResult><Arn>arn:aws:iam::1:user/ada</Arn></GetCallerIdentityResult></R>`)
	case r.FormValue("Action") == "DescribeStacks":
		a.stack(w, region, r.FormValue("StackName"))
	default:
		a.t.Errorf("%s %s in %s: %s", r.Method, path, region, body)
		w.WriteHeader(http.StatusBadRequest)
	}
}

func answerCBOR(w http.ResponseWriter, v cbor.Value) {
	w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
	w.Header().Set("Content-Type", "application/cbor")
	_, _ = w.Write(cbor.Encode(v))
}

func (a *regionalAccount) parameter(w http.ResponseWriter, region, action string, body []byte) {
	var in struct{ Name, Value string }
	_ = json.Unmarshal(body, &in)
	mark, exists := a.marks[region]
	switch {
	case in.Name != "/spillway/drained":
		a.t.Errorf("the parameter %q", in.Name)
	case action == "PutParameter":
		a.marks[region] = in.Value
		_, _ = io.WriteString(w, `{"Version":1}`)
	case !exists:
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"__type":"ParameterNotFound"}`)
	case action == "DeleteParameter":
		delete(a.marks, region)
		_, _ = io.WriteString(w, `{}`)
	default:
		out := map[string]any{"Parameter": map[string]any{"Name": in.Name, "Value": mark, "Version": 1}}
		_ = json.NewEncoder(w).Encode(out)
	}
}

func (a *regionalAccount) alarms(w http.ResponseWriter, region string) {
	state := func(name string) cbor.Map {
		s := "OK"
		if a.firing[region] == name {
			s = "ALARM"
		}
		if a.silent && name == "spillway-drained" {
			s = "INSUFFICIENT_DATA"
		}
		return cbor.Map{"AlarmName": cbor.String(name), "StateValue": cbor.String(s)}
	}
	var metric cbor.List
	d := topology.Default()
	for _, r := range d.Routing {
		metric = append(metric, state(r.Name))
	}
	answerCBOR(w, cbor.Map{"MetricAlarms": metric,
		"CompositeAlarms": cbor.List{state("spillway-ingest-down"), state("spillway-delivery-down")}})
}

func (a *regionalAccount) stack(w http.ResponseWriter, region, stack string) {
	if stack != "spillway-"+region || region != "us-east-1" && region != "eu-west-1" {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `<E><Error><Code>ValidationError</Code><Message>Stack does not exist</Message></Error></E>`)
		return
	}
	settings := html.EscapeString(`{"regions":"us-east-1,eu-west-1","canary":"true","ingestEndpoint":"http-api"}`)
	fmt.Fprintf(w, `<R><DescribeStacksResult><Stacks><member><Outputs>`+
		`<member><OutputKey>Settings</OutputKey><OutputValue>%s</OutputValue></member>`+
		`<member><OutputKey>HealthCheckId</OutputKey><OutputValue>check-%s</OutputValue></member>`+
		`</Outputs></member></Stacks></DescribeStacksResult></R>`, settings, region)
}

func inRegionalAccount(t *testing.T) *regionalAccount {
	t.Helper()
	withoutAWS(t)
	a := &regionalAccount{t: t, marks: map[string]string{}, firing: map[string]string{}}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	for name, value := range map[string]string{"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "us-east-1",
		"AWS_MAX_ATTEMPTS": "1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"} {
		t.Setenv(name, value)
	}
	return a
}

func (a *regionalAccount) set(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
}

func TestARegionIsDrainedSeenByAllAndRestored(t *testing.T) {
	a := inRegionalAccount(t)
	run := func(args ...string) string {
		t.Helper()
		out, _, err := spillway(t.Context(), "", append([]string{"region"}, args...)...)
		if err != nil {
			t.Fatalf("region %v: %v", args, err)
		}
		return out
	}
	if out := run("ls"); !strings.Contains(out, "eu-west-1   yes             healthy    ok       ok         3s\n") ||
		strings.Contains(out, "\n\n") {
		t.Errorf("ls:\n%s", out)
	}
	out := run("drain", "eu-west-1", "--reason", "AWS maintenance")
	if !strings.HasPrefix(out, "eu-west-1 is drained since 20") ||
		!strings.Contains(out, " by arn:aws:iam::1:user/ada: AWS maintenance\nIts canary's function tells Route 53") {
		t.Errorf("drain:\n%s", out)
	}
	if _, _, err := spillway(t.Context(), "", "region", "drain", "eu-west-1"); err == nil ||
		!strings.Contains(err.Error(), "eu-west-1 is drained already, since 20") {
		t.Errorf("drained twice: %v", err)
	}
	if out := run("ls", "--name", "spillway"); !strings.Contains(out, "eu-west-1   no: drained") ||
		!strings.Contains(out, "eu-west-1 is drained since 20") {
		t.Errorf("ls:\n%s", out)
	}
	var listed struct {
		Pipeline string
		Regions  []struct {
			Region, Traffic string
			Drained         *struct{ By string }
		}
	}
	if err := json.Unmarshal([]byte(run("ls", "--json")), &listed); err != nil || listed.Pipeline != "spillway" ||
		len(listed.Regions) != 2 || listed.Regions[1].Traffic != "no" ||
		listed.Regions[1].Drained == nil || listed.Regions[1].Drained.By != "arn:aws:iam::1:user/ada" {
		t.Errorf("%+v, %v", listed, err)
	}
	_, _, err := spillway(t.Context(), "", "region", "drain", "us-east-1")
	if err == nil || !strings.Contains(err.Error(), "us-east-1 is the last region that takes traffic (eu-west-1: drained)") ||
		!strings.Contains(err.Error(), "Give --yes") {
		t.Errorf("the last region: %v", err)
	}
	run("drain", "us-east-1", "--yes")
	for _, region := range []string{"us-east-1", "eu-west-1"} {
		if out := run("restore", region); !strings.Contains(out, region+" is restored; it was drained since 20") {
			t.Errorf("restore:\n%s", out)
		}
	}
	a.set(func() {
		if len(a.marks) > 0 {
			t.Errorf("marks are left: %v", a.marks)
		}
		for _, region := range a.checks {
			if region != "us-east-1" { // Route 53 writes its metrics there only
				t.Errorf("the health check was looked for in %s", region)
			}
		}
		if len(a.checks) == 0 {
			t.Error("no health check was read")
		}
	})
	if _, _, err := spillway(t.Context(), "", "region", "restore", "eu-west-1"); err == nil ||
		!strings.Contains(err.Error(), "eu-west-1 is not drained") {
		t.Errorf("restored twice: %v", err)
	}
}

func TestTheRegionsAreListedWhileOneOfThemIsDown(t *testing.T) {
	a := inRegionalAccount(t)
	a.set(func() { a.down = "eu-west-1" })
	out, _, err := spillway(t.Context(), "", "region", "ls")
	if err != nil || !strings.Contains(out, "us-east-1   yes ") || !strings.Contains(out, "eu-west-1   not known ") ||
		!strings.Contains(out, "\neu-west-1: can't read the parameter /spillway/drained in eu-west-1: ") {
		t.Errorf("%v\n%s", err, out)
	}
	t.Setenv("AWS_REGION", "eu-west-1")
	if _, _, err := spillway(t.Context(), "", "region", "ls"); err == nil ||
		!strings.Contains(err.Error(), "if eu-west-1 is down, set AWS_REGION to another region of the pipeline") {
		t.Errorf("the home region is down: %v", err)
	}
}

func TestWhoDrainsARegionThatNobodyHearsOfIsTold(t *testing.T) {
	a := inRegionalAccount(t)
	a.set(func() { a.silent = true })
	out, _, err := spillway(t.Context(), "", "region", "drain", "eu-west-1")
	if err != nil || !strings.Contains(out, "Its alarm spillway-drained has no data: Route 53 does not hear of it until") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestARestoredRegionThatStillFailsIsSaidToBeLeftOut(t *testing.T) {
	a := inRegionalAccount(t)
	a.set(func() {
		a.marks["eu-west-1"] = `{"since":"2026-11-01T10:00:00Z","of":"a later version"}`
		a.firing["eu-west-1"] = "spillway-route-ingest"
	})
	out, _, err := spillway(t.Context(), "", "region", "restore", "eu-west-1")
	if err != nil || !strings.Contains(out, "it was drained since 2026-11-01 10:00 UTC\n") ||
		!strings.Contains(out, "leaves it out as long as this fires too: route-ingest") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestMistakesWithRegionsAreOneClearLine(t *testing.T) {
	a := inRegionalAccount(t)
	for want, args := range map[string][]string{
		"takes one region, like eu-west-1, got 0":                                        {"drain"},
		"takes one region, like eu-west-1, got 2":                                        {"restore", "eu-west-1", "us-east-1"},
		`the pipeline spillway has no region "eu-west-2" (it has: us-east-1, eu-west-1)`: {"drain", "eu-west-2"},
		"there is no stack shop-us-east-1 in us-east-1: set AWS_REGION":                  {"ls", "--name", "shop"},
		"the reason must be one line of at most 160 bytes":                               {"drain", "eu-west-1", "--reason", "a\nb"},
		"did you mean": {"dran"},
	} {
		_, _, err := spillway(t.Context(), "", append([]string{"region"}, args...)...)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v, want an error with %q", args, err, want)
		}
	}
	a.set(func() {
		if len(a.marks) > 0 {
			t.Errorf("something was drained: %v", a.marks)
		}
	})
}
