package status

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/spillwayhq/spillway/integration/testutil/mototest"
	"github.com/spillwayhq/spillway/shared/signed"
	"github.com/spillwayhq/spillway/shared/ssm"
)

// wire is a region of AWS that gives the same answer to everything.
func wire(t *testing.T, h http.HandlerFunc) *deployed {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c := aws.Config{BaseEndpoint: aws.String(server.URL),
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}
	return newDeployed(c, "eu-west-1", &Options{Name: "shop", IngestURLParameter: "/shop/ingest-url"},
		"https://sqs.eu-west-1.amazonaws.com/123456789012/shop-events")
}

func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// The answers are those of the API references.
func TestTheAnswersOfAWSAreRead(t *testing.T) {
	t.Parallel()
	d := wire(t, answering(200, `<DescribeAlarmsResponse xmlns="http://monitoring.amazonaws.com/doc/2010-08-01/"><DescribeAlarmsResult>
		<CompositeAlarms><member><AlarmName>shop-delivery-down</AlarmName><AlarmRule>ALARM(a)</AlarmRule><StateValue>ALARM</StateValue></member>
		<member><AlarmName>shop-delivery-slow</AlarmName><StateValue>OK</StateValue></member></CompositeAlarms><MetricAlarms/>
		</DescribeAlarmsResult><ResponseMetadata><RequestId>x</RequestId></ResponseMetadata></DescribeAlarmsResponse>`))
	if got, err := d.Alarms(t.Context(), nil); err != nil || len(got) != 2 || got["shop-delivery-down"] != firing {
		t.Errorf("the alarms are %v, %v", got, err)
	}
	d = wire(t, answering(200, `<GetMetricStatisticsResponse xmlns="http://monitoring.amazonaws.com/doc/2010-08-01/"><GetMetricStatisticsResult>
		<Datapoints><member><Unit>Seconds</Unit><Maximum>720.5</Maximum><Timestamp>2026-11-27T08:28:00Z</Timestamp></member>
		<member><Unit>Seconds</Unit><Sum>3.0</Sum><Timestamp>2026-11-27T08:29:00Z</Timestamp></member></Datapoints>
		<Label>EventAge</Label></GetMetricStatisticsResult></GetMetricStatisticsResponse>`))
	want := []Point{ago(2, 720.5), ago(1, 3)}
	if got, err := d.Canaries(t.Context()); err != nil || !slices.EqualFunc(got, want, func(a, b Point) bool {
		return a.At.Equal(b.At) && a.Value == b.Value
	}) {
		t.Errorf("the values are %v, %v, want %v", got, err, want)
	}
	d = wire(t, answering(200, `{"Attributes":{"ApproximateNumberOfMessages":"7","ApproximateNumberOfMessagesNotVisible":"2",
		"ApproximateNumberOfMessagesDelayed":"1"}}`))
	if got, err := d.Waiting(t.Context()); err != nil || got != 10 {
		t.Errorf("%d messages, %v", got, err)
	}
	d = wire(t, answering(200, `{"Parameter":{"Name":"/shop/ingest-url","Value":" https://x.test\n","Version":1}}`))
	if got, err := d.IngestURL(t.Context()); err != nil || got != "https://x.test" {
		t.Errorf("the URL is %q, %v", got, err)
	}
}

func TestAnswersThatMakeNoSenseAreErrors(t *testing.T) {
	t.Parallel()
	for body, call := range map[string]func(*deployed) error{
		"{}":  func(d *deployed) error { _, err := d.Waiting(t.Context()); return err },
		"<x":  func(d *deployed) error { _, err := d.Alarms(t.Context(), nil); return err },
		"<y":  func(d *deployed) error { _, err := d.Ages(t.Context()); return err },
		"[]":  func(d *deployed) error { _, err := d.IngestURL(t.Context()); return err },
		"{ }": func(d *deployed) error { _, err := d.IngestURL(t.Context()); return err },
		"":    func(d *deployed) error { _, err := d.Canaries(t.Context()); return err },
	} {
		t.Run(body, func(t *testing.T) {
			t.Parallel()
			if err := call(wire(t, answering(200, body))); err == nil || !strings.HasPrefix(err.Error(), "read the ") {
				t.Error(err)
			}
		})
	}
}

func TestARefusalOfAWSIsToldAndTriedOnceMore(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	d := wire(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		answering(403, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>not authorized</Message></Error></ErrorResponse>`)(w, r)
	})
	if _, err := d.Alarms(t.Context(), nil); err == nil ||
		!strings.Contains(err.Error(), "AccessDenied: not authorized") ||
		asked.Load() != 2 {
		t.Errorf("after %d requests: %v", asked.Load(), err)
	}
	d = wire(t, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 3 {
			answering(503, "")(w, r)
			return
		}
		answering(200, `{"Parameter":{"Value":"https://x.test"}}`)(w, r)
	})
	if got, err := d.IngestURL(t.Context()); err != nil || got != "https://x.test" {
		t.Errorf("%q, %v", got, err)
	}
}

// Where deliver writes no age, SQS is asked.
func TestWithoutAnAgeOfDeliverThatOfSQSCounts(t *testing.T) {
	t.Parallel()
	var asked []string
	d := wire(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, strings.Join([]string{r.FormValue("MetricName"), r.FormValue("Dimensions.member.1.Value"),
			r.FormValue("Dimensions.member.2.Value")}, " "))
		value := "<member><Maximum>90</Maximum><Timestamp>2026-11-27T08:28:00Z</Timestamp></member>"
		if r.FormValue("Namespace") != "AWS/SQS" {
			value = ""
		}
		answering(200, "<R><GetMetricStatisticsResult><Datapoints>"+value+"</Datapoints></GetMetricStatisticsResult></R>")(w,
			r)
	})
	got, err := d.Ages(t.Context())
	if want := []string{"EventAge shop deliver", "ApproximateAgeOfOldestMessage shop-events "}; err != nil ||
		len(got) != 1 ||
		got[0].Value != 90 || !slices.Equal(asked, want) {
		t.Errorf("%v, %v; asked for %q", got, err, asked)
	}
}

// moto reads what is asked by AWS's own models.
func TestARegionOfMotoIsRead(t *testing.T) {
	if os.Getenv("SPILLWAY_REQUIRE_MOTO") == "" {
		t.Skip("it takes 5 s: set SPILLWAY_REQUIRE_MOTO=1, as .ci/run does; it needs " + mototest.Need)
	}
	endpoint, _ := mototest.Start(t, filepath.Join("..", "..", ".."))
	c, err := awsconfig.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	call := func(action string, in url.Values) {
		t.Helper()
		if err := signed.CloudWatch(c).XML(t.Context(), action, cloudWatchVersion, in, new(struct{})); err != nil {
			t.Fatalf("%s: %v", action, err)
		}
	}
	for _, name := range Alarms("shop", false) {
		call("PutCompositeAlarm", url.Values{"AlarmName": {name}, "AlarmRule": {"FALSE"}})
		call("SetAlarmState", url.Values{"AlarmName": {name}, "StateReason": {"test"}, "StateValue": {firing}})
	}
	minute := time.Now().UTC().Truncate(time.Minute).Add(-2 * time.Minute)
	for name, value := range map[string]string{AgeMetric: "720", CanaryMetric: "1"} {
		call("PutMetricData", url.Values{"Namespace": {"Spillway"}, "MetricData.member.1.MetricName": {name},
			"MetricData.member.1.Value": {value}, "MetricData.member.1.Timestamp": {minute.Format(time.RFC3339)},
			"MetricData.member.1.Dimensions.member.1.Name":  {"Pipeline"},
			"MetricData.member.1.Dimensions.member.1.Value": {"shop"},
			"MetricData.member.1.Dimensions.member.2.Name":  {"Function"},
			"MetricData.member.1.Dimensions.member.2.Value": {"deliver"}})
	}
	if err := ssm.New(c).PutParameter(t.Context(), "/shop/ingest-url", "https://x.test", ssm.String); err != nil {
		t.Fatal(err)
	}
	var queue struct {
		QueueURL string `json:"QueueUrl"`
	}
	if err := signed.SQS(c).Call(t.Context(), "AmazonSQS.CreateQueue", map[string]string{"QueueName": "shop-events"},
		&queue); err != nil {
		t.Fatal(err)
	}
	d := newDeployed(c, "eu-west-1", &Options{Name: "shop", IngestURLParameter: "/shop/ingest-url"}, queue.QueueURL)
	alarms, err := d.Alarms(t.Context(), Alarms("shop", false))
	if err != nil || len(alarms) != 3 || alarms["shop-ingest-down"] != firing {
		t.Errorf("the alarms are %v, %v (%s)", alarms, err, endpoint)
	}
	ages, err := d.Ages(t.Context())
	if err != nil || len(ages) != 1 || ages[0].Value != 720 || !ages[0].At.Equal(minute) {
		t.Errorf("the ages are %v, %v", ages, err)
	}
	canaries, err := d.Canaries(t.Context())
	if err != nil || len(canaries) != 1 || canaries[0].Value != 1 {
		t.Errorf("the canaries are %v, %v", canaries, err)
	}
	if n, err := d.Waiting(t.Context()); err != nil || n != 0 {
		t.Errorf("%d messages, %v", n, err)
	}
	if got, err := d.IngestURL(t.Context()); err != nil || got != "https://x.test" {
		t.Errorf("the URL is %q, %v", got, err)
	}
}
