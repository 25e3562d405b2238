package feed

import (
	"errors"
	"log/slog"
	"maps"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/infra/local/sqs/store"
)

// values are a statistic of a minute by the metric's name, of those that have a value.
func values(t *testing.T, s *cloudwatch.Store, minute time.Time, statistic string) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	for _, k := range s.Keys() {
		v, err := s.Values(k, statistic, minute, time.Minute, 1)
		if err != nil {
			t.Fatal(err)
		}
		if !math.IsNaN(v[0]) {
			all[k.Name] = v[0]
		}
	}
	return all
}

func TestAQueueHasSQSsMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, err := sqs.Open(sqs.Options{Dir: "data", FS: new(store.Mem), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		q, err := server.CreateQueue("events", map[string]string{"VisibilityTimeout": "600"})
		if err != nil {
			t.Fatal(err)
		}
		client := awssqs.New(awssqs.Options{Region: "us-east-1", BaseEndpoint: aws.String("http://localhost:9324"),
			HTTPClient: server.HTTPClient(), Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
		send := func(group ...string) {
			var id *string
			if len(group) > 0 {
				id = &group[0]
			}
			_, err := client.SendMessage(t.Context(), &awssqs.SendMessageInput{MessageBody: aws.String("x"), MessageGroupId: id,
				QueueUrl: aws.String("http://localhost:9324/000000000000/events")})
			if err != nil {
				t.Fatal(err)
			}
		}
		send()
		metrics := cloudwatch.NewStore(time.Hour)
		f := NewQueue(metrics.Put, q)
		send()
		send()
		got, err := q.Receive(t.Context(), 2, 0)
		if err != nil || len(got) != 2 {
			t.Fatalf("%d messages, %v", len(got), err)
		}
		if err := q.Delete(t.Context(), []string{got[0].ReceiptHandle}); err != nil {
			t.Fatal(err)
		}
		first := time.Now()
		time.Sleep(time.Minute)
		f.Sample(first)
		want := map[string]float64{
			"ApproximateNumberOfMessagesVisible": 1, "ApproximateNumberOfMessagesNotVisible": 1,
			"ApproximateNumberOfMessagesDelayed": 0, "NumberOfMessagesSent": 2, "NumberOfMessagesReceived": 2,
			"NumberOfMessagesDeleted": 1, "ApproximateAgeOfOldestMessage": 60,
			"ApproximateNumberOfNoisyGroups": 0, "ApproximateNumberOfMessagesVisibleInQuietGroups": 1,
			"ApproximateNumberOfMessagesNotVisibleInQuietGroups": 1,
		}
		if got := values(t, metrics, first, "Sum"); !maps.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		time.Sleep(time.Minute)
		f.Sample(first.Add(time.Minute))
		if got := values(t, metrics, first.Add(time.Minute), "Sum"); got["NumberOfMessagesSent"] != 0 ||
			got["ApproximateAgeOfOldestMessage"] != 120 {
			t.Errorf("in the next minute: %v", got)
		}
		for range 100 {
			send("flood")
		}
		for range 5 { // the two from before, and 48 of the flood
			if _, err := q.Receive(t.Context(), 10, 0); err != nil {
				t.Fatal(err)
			}
		}
		send()
		f.Sample(first.Add(2 * time.Minute))
		got2 := values(t, metrics, first.Add(2*time.Minute), "Sum")
		if got2["ApproximateNumberOfNoisyGroups"] != 1 || got2["ApproximateNumberOfMessagesVisible"] != 52 ||
			got2["ApproximateNumberOfMessagesVisibleInQuietGroups"] != 1 ||
			got2["ApproximateNumberOfMessagesNotVisibleInQuietGroups"] != 2 {
			t.Errorf("while a group floods the queue: %v", got2)
		}
	})
}

func TestAFunctionHasLambdasMetrics(t *testing.T) {
	now := time.Date(2018, 9, 24, 10, 0, 30, 0, time.UTC)
	s := cloudwatch.NewStore(time.Hour)
	for _, i := range []lambda.Invoked{
		{End: now, Duration: 200 * time.Millisecond, Concurrent: 1},
		{End: now, Duration: time.Minute, Concurrent: 3, Err: errors.New("it crashed")},
		{End: now, Concurrent: 4, Err: lambda.ErrThrottled},
	} {
		Invoked(s.Put, "deliver", i)
	}
	Concurrent(s.Put, "deliver", now, 2)
	Concurrent(s.Put, "idle", now, 0)
	if got, want := values(t, s, now, "Sum"), (map[string]float64{"Invocations": 2, "Errors": 1, "Throttles": 1,
		"Duration": 60_200, "ConcurrentExecutions": 6}); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := values(t, s, now, "Maximum")["ConcurrentExecutions"]; got != 3 {
		t.Errorf("at most %g at the same time, want 3", got)
	}
}

func TestTheErrorsOfAnAliassVersionsAreAlsoCountedApart(t *testing.T) {
	now := time.Date(2018, 9, 24, 10, 0, 30, 0, time.UTC)
	s := cloudwatch.NewStore(time.Hour)
	for version, err := range map[string]error{"7": nil, "8": errors.New("it crashed"), lambda.Latest: nil} {
		Invoked(s.Put, "deliver", lambda.Invoked{Version: version, End: now, Err: err})
	}
	got := map[string]float64{}
	for _, k := range s.Keys() {
		v, err := s.Values(k, "Sum", now, time.Minute, 1)
		if err != nil {
			t.Fatal(err)
		}
		if k.Name == "Errors" {
			got[k.Dimension+k.Value] = v[0]
		}
	}
	if want := (map[string]float64{"": 1, "ExecutedVersion7": 0, "ExecutedVersion8": 1}); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestTheEndpointHasTheGatewaysMetrics(t *testing.T) {
	now := time.Date(2018, 9, 24, 10, 0, 0, 0, time.UTC)
	s := cloudwatch.NewStore(time.Hour)
	var e Endpoint
	e.Sample(s.Put, now.Add(-time.Minute))
	for i, status := range []int{200, 200, 400, 429, 500, 503} {
		e.Answered(status, time.Duration(i+1)*time.Millisecond)
	}
	e.Sample(s.Put, now)
	e.Sample(s.Put, now.Add(time.Minute))
	want := map[string]float64{"Requests": 6, "ClientErrors": 2, "ServerErrors": 2, "Latency": 21}
	if got := values(t, s, now, "Sum"); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for _, at := range []time.Time{now.Add(-time.Minute), now.Add(time.Minute)} {
		if got := values(t, s, at, "Sum"); len(got) != 0 {
			t.Errorf("a minute without a request has %v", got)
		}
	}
}

func TestTheEndpointsLatenciesAreBoundedAndFair(t *testing.T) {
	now := time.Date(2018, 9, 24, 10, 0, 0, 0, time.UTC)
	s := cloudwatch.NewStore(time.Hour)
	var e Endpoint
	for i := range 20 * maxLatencies {
		e.Answered(200, time.Duration(i+1)*time.Millisecond)
	}
	e.Sample(s.Put, now)
	if got := values(t, s, now, "SampleCount")["Latency"]; got != maxLatencies {
		t.Errorf("%g latencies, want %d", got, maxLatencies)
	}
	if got, want := values(t, s, now, "p50")["Latency"], 10.0*maxLatencies; math.Abs(got-want) > 0.15*want {
		t.Errorf("the median is %g, want about %g", got, want)
	}
}

func BenchmarkAnswered(b *testing.B) {
	var e Endpoint
	for b.Loop() {
		e.Answered(200, time.Millisecond)
	}
}
