package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
	"github.com/spillwayhq/spillway/integration/testutil/s3test"
	"github.com/spillwayhq/spillway/shared/status"
)

// scheduled is what EventBridge hands over.
const scheduled = `{"version":"0","id":"53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa","detail-type":"Scheduled Event","source":"aws.events","account":"123456789012",` +
	`"time":"2026-11-24T23:00:00Z","region":"eu-central-1","resources":["arn:aws:events:eu-central-1:123456789012:rule/shop-status"],"detail":{}}`

func TestMain(m *testing.M) { testutil.Main(m) }

// cloudWatch is as much of CloudWatch as the function asks for. In eu-west-1 delivery-down fires.
func cloudWatch(t *testing.T) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.FormValue("Action") {
		case "DescribeAlarms":
			fmt.Fprint(w, "<R><DescribeAlarmsResult><CompositeAlarms>")
			for i := 1; r.Form.Has(fmt.Sprint("AlarmNames.member.", i)); i++ {
				name, state := r.FormValue(fmt.Sprint("AlarmNames.member.", i)), "OK"
				if name == "shop-delivery-down" && strings.Contains(r.Header.Get("Authorization"), "/eu-west-1/monitoring/") {
					state = "ALARM"
				}
				fmt.Fprintf(w, "<member><AlarmName>%s</AlarmName><StateValue>%s</StateValue></member>", name, state)
			}
			fmt.Fprint(w, "</CompositeAlarms></DescribeAlarmsResult></R>")
		case "GetMetricStatistics":
			minute := time.Now().UTC().Add(-2 * time.Minute).Truncate(time.Minute)
			fmt.Fprintf(w, "<R><GetMetricStatisticsResult><Datapoints><member><Timestamp>%s</Timestamp><%s>720</%[2]s>"+
				"</member></Datapoints></GetMetricStatisticsResult></R>", minute.Format(time.RFC3339),
				r.FormValue("Statistics.member.1"))
		default:
			t.Errorf("CloudWatch was asked for %v", r.Form)
		}
	})
}

// parameters is SSM with the URL of the ingest endpoint, which in us-east-1 nobody answers.
func parameters(t *testing.T, ingestURL string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Amz-Target") != "AmazonSSM.GetParameter" {
			t.Errorf("SSM was asked for %s", r.Header.Get("X-Amz-Target"))
		}
		url := ingestURL
		if strings.Contains(r.Header.Get("Authorization"), "/us-east-1/ssm/") {
			url = "http://127.0.0.1:1"
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		fmt.Fprintf(w, `{"Parameter":{"Name":"/shop/ingest-url","Type":"String","Value":%q,"Version":1}}`, url)
	})
}

func TestTheDeployedFunctionWritesTheSiteFromAnotherRegion(t *testing.T) {
	t.Parallel()
	serve := func(h http.Handler) string {
		server := httptest.NewServer(h)
		t.Cleanup(server.Close)
		return server.URL
	}
	buckets := s3test.New()
	ingest := serve(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	emulator, sqsURL := localtest.SQS(t)
	if _, err := emulator.CreateQueue("shop-events", nil); err != nil {
		t.Fatal(err)
	}
	site := filepath.Join(t.TempDir(), "status-site.json")
	if err := os.WriteFile(site, []byte(`{"title":"Shop events"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	queueURL := local.QueueURL(sqsURL, "shop-events")
	if _, err := localtest.Client(sqsURL).SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &queueURL,
		MessageBody: aws.String("{}")}); err != nil { // it waits, so its age matters
		t.Fatal(err)
	}
	var log testutil.Buffer
	f := lambda.NewFunction(lambda.FunctionConfig{Name: "shop-status", Timeout: 45 * time.Second,
		NewEnvironment: lambda.Process(lambda.ProcessConfig{Path: testutil.Build(t, "functions/status"), Output: &log,
			Env: []string{"AWS_ENDPOINT_URL_CLOUDWATCH=" + serve(cloudWatch(t)), "AWS_ENDPOINT_URL_S3=" + serve(buckets),
				"AWS_ENDPOINT_URL_SSM=" + serve(parameters(t, ingest)), "AWS_ENDPOINT_URL_SQS=" + sqsURL,
				"AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "SPILLWAY_NAME=shop",
				"SPILLWAY_STATUS_REGIONS=eu-west-1,us-east-1", "SPILLWAY_STATUS_QUEUES=" + queueURL + "," + queueURL,
				"SPILLWAY_STATUS_INGEST_URL_PARAMETER=/shop/ingest-url",
				"SPILLWAY_STATUS_BUCKETS=eu-central-1=status-eu-central-1,eu-west-3=status-eu-west-3",
				"SPILLWAY_STATUS_SITE=" + site, "SPILLWAY_VERSION=v9.8.7"}})})
	defer f.Close()
	if out, err := f.Invoke(t.Context(), []byte(scheduled)); err != nil || string(out) != "null" {
		t.Fatalf("%q, %v\n%s", out, err, &log)
	}
	for _, bucket := range []string{"status-eu-central-1", "status-eu-west-3"} {
		files := buckets.Objects(bucket)
		d, err := status.Parse(files["site/status.json"].Data)
		if err != nil {
			t.Fatalf("%s: %v\n%s", bucket, err, &log)
		}
		for id, want := range map[string]status.State{"ingest-eu-west-1": status.Operational,
			"delivery-eu-west-1": status.Outage, "ingest-us-east-1": status.Outage, "delivery-us-east-1": status.Degraded} {
			if c := d.Component(id); c == nil || c.State != want {
				t.Errorf("%s: %s is %+v, want %s\n%s", bucket, id, c, want, &log)
			}
		}
		if page := string(files["site/index.html"].Data); !strings.Contains(page, "Shop events") {
			t.Errorf("%s: the page is %s", bucket, page)
		}
	}
	for _, text := range []string{`"configured","version":"v9.8.7"`, `"StatusWritten":1`, `"Pipeline":"shop"`,
		"connection refused"} {
		if !strings.Contains(log.String(), text) {
			t.Errorf("the log lacks %s:\n%s", text, &log)
		}
	}
}
