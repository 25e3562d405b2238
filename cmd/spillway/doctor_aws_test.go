package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/cmd/spillway/doctor"
	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

// account is Lambda, SNS and SSM of an account in which a pipeline is deployed; SQS is the emulator.
// CloudWatch, which speaks CBOR, answers that it does not know the caller.
func account(t *testing.T) string {
	t.Helper()
	const configuration = `{"State":"Active","LastUpdateStatus":"Successful","Timeout":%d,"Environment":{"Variables":{` +
		`"SPILLWAY_VERSION":"v1.2.3","SPILLWAY_WRITE_KEY_PARAMETER":"/spillway/write-key","SPILLWAY_INGEST_URL":"%s"}}}`
	const page = `<ListSubscriptionsByTopicResponse><ListSubscriptionsByTopicResult><NextToken>%s</NextToken><Subscriptions>` +
		`<member><Protocol>email</Protocol><Endpoint>%s</Endpoint><SubscriptionArn>%s</SubscriptionArn></member>` +
		`</Subscriptions></ListSubscriptionsByTopicResult></ListSubscriptionsByTopicResponse>`
	timeouts := map[string]int{"spillway-deliver": 60, "spillway-ingest": 15, "spillway-canary": 30}
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/2015-03-31/functions/"), "/configuration")
		switch {
		case timeouts[name] > 0:
			fmt.Fprintf(w, configuration, timeouts[name], server.URL)
		case name != r.URL.Path:
			w.Header().Set("X-Amzn-ErrorType", "ResourceNotFoundException")
			w.WriteHeader(http.StatusNotFound)
		case r.URL.Path == "/health":
			_, _ = io.WriteString(w, `{"success":true}`)
		case r.FormValue("FunctionName") == "spillway-deliver:live": // which does not exist either
			w.Header().Set("X-Amzn-ErrorType", "ResourceNotFoundException")
			w.WriteHeader(http.StatusNotFound)
		case r.URL.Path == "/2015-03-31/event-source-mappings" && r.FormValue("FunctionName") == "spillway-deliver":
			_, _ = io.WriteString(w, `{"EventSourceMappings":[{"EventSourceArn":"arn:aws:sqs:us-east-1:000000000000:spillway-events",`+
				`"State":"Disabled","StateTransitionReason":"USER_INITIATED","BatchSize":100,`+
				`"MaximumBatchingWindowInSeconds":1,"ScalingConfig":{"MaximumConcurrency":10}}]}`)
		case r.URL.Path == "/2019-09-30/functions/spillway-deliver/concurrency":
			_, _ = io.WriteString(w, `{"ReservedConcurrentExecutions":10}`)
		case r.URL.Path == "/2016-08-19/account-settings":
			w.Header().Set("X-Amzn-ErrorType", "AccessDeniedException")
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"Message":"User is not authorized"}`)
		case r.FormValue("Action") == "ListSubscriptionsByTopic" &&
			strings.HasSuffix(r.FormValue("TopicArn"), ":spillway-tickets"):
			_, _ = io.WriteString(w, `<ListSubscriptionsByTopicResponse/>`)
		case r.FormValue("NextToken") == "2":
			fmt.Fprintf(w, page, "", "late@example.com", "PendingConfirmation")
		case r.FormValue("Action") == "ListSubscriptionsByTopic":
			fmt.Fprintf(w, page, "2", "ops@example.com", "arn:aws:sns:us-east-1:000000000000:spillway-alarms:1")
		case r.Header.Get("X-Amz-Target") == "AmazonSSM.GetParameter":
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			if body, _ := io.ReadAll(r.Body); strings.Contains(string(body), "/spillway/drained") {
				_, _ = io.WriteString(w, `{"Parameter":{"Value":"{\"since\":\"2026-11-24T03:04:00Z\"}","Version":1}}`)
				return
			} else if !strings.Contains(string(body), "/spillway/write-key") {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, `{"__type":"ParameterNotFound"}`)
				return
			}
			_, _ = io.WriteString(w, `{"Parameter":{"Name":"/spillway/write-key","Value":"segmentkey","Version":1}}`)
		default:
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// inAccount makes the AWS tools use an account with this SQS.
func inAccount(t *testing.T, sqsURL string) {
	t.Helper()
	for name, value := range map[string]string{"AWS_ENDPOINT_URL": account(t), "AWS_ENDPOINT_URL_SQS": sqsURL,
		"AWS_MAX_ATTEMPTS": "1", "AWS_REGION": local.Region, "AWS_ACCESS_KEY_ID": local.AccessKey,
		"AWS_SECRET_ACCESS_KEY": local.AccessKey} {
		t.Setenv(name, value)
	}
}

func TestDoctorReadsADeployment(t *testing.T) {
	withoutAWS(t)
	p := localtest.Start(t, local.Config{Hold: true})
	inAccount(t, p.SQSURL)
	out, _, err := spillway(t.Context(), "", "doctor", "--name=spillway", "--json")
	var report doctor.Report
	if failed := json.Unmarshal([]byte(out), &report); failed != nil || err == nil || report.Region != local.Region {
		t.Fatalf("%v, %v\n%s", failed, err, out)
	}
	got := map[string]string{}
	for _, c := range report.Checks {
		got[c.Check] = strings.TrimSpace(fmt.Sprint(c.Result, " ", c.Permission, " ", c.Says))
	}
	for check, want := range map[string]string{
		"clock": "ok", "subscriptions spillway-alarms": "warning  1 confirmed; others wait for a click in SNS's mail, " +
			"which SNS " +
			"forgets after 2 days: late@example.com",
		"subscriptions spillway-tickets": "warning  nobody is told", "alarms": "unknown", "calls to Segment": "unknown",
		"function spillway-deliver": "ok  active", "function spillway-ingest": "ok", "function spillway-canary": "ok",
		"traffic":               "warning  the region is drained since 2026-11-24 03:04 UTC",
		"versions":              "ok  canary v1.2.3, deliver v1.2.3, ingest v1.2.3",
		"event source":          "failed  it is disabled: USER_INITIATED",
		"concurrency":           "unknown lambda:GetAccountSettings User is not authorized",
		"queue spillway-events": "warning  its policy does not deny", "queue spillway-dead-letters": "warning",
		"default write key": "ok", "ingest endpoint": "ok", "dead letters": "ok",
	} {
		if !strings.HasPrefix(got[check], want) {
			t.Errorf("%s: %q, want %q", check, got[check], want)
		}
	}
	if strings.Contains(out, "status site") {
		t.Errorf("there is no status site, and doctor says %s", out)
	}
	_, _, err = spillway(t.Context(), "", "doctor", "--name=other")
	if err == nil || !strings.Contains(err.Error(), "there is no pipeline other in us-east-1") {
		t.Errorf("a pipeline that does not exist: %v", err)
	}
}
