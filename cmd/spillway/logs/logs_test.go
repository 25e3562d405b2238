package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

// fakeLogs has a page a call, and repeats what the one before had.
type fakeLogs struct {
	lines []string
	calls int
	since []int64
}

func (f *fakeLogs) FilterLogEvents(_ context.Context, in *cloudwatchlogs.FilterLogEventsInput,
	_ ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.FilterLogEventsOutput, error) {
	if aws.ToString(in.LogGroupName) != "log" {
		return nil, &logtypes.ResourceNotFoundException{}
	}
	f.calls++
	f.since = append(f.since, aws.ToInt64(in.StartTime))
	out := &cloudwatchlogs.FilterLogEventsOutput{}
	for i := range min(f.calls, len(f.lines)) {
		out.Events = append(out.Events,
			logtypes.FilteredLogEvent{EventId: aws.String(fmt.Sprint(i)), Timestamp: aws.Int64(time.Now().UnixMilli()),
				Message: aws.String(f.lines[i])})
	}
	if f.calls == 1 {
		out.NextToken = aws.String("more")
	}
	return out, nil
}

func TestFollowShowsEachInvocationOnce(t *testing.T) {
	const fine = `{"time":"2026-11-24T12:00:00Z","level":"INFO","msg":"delivered","messages":2,"events":1234,` +
		`"delivered":1234,"retried":{},"dead_lettered":{},` +
		`"flushes":3,"slowest_flush_ms":81,"oldest_ms":1500,"duration_ms":90,"breaker":"closed"}` + "\n"
	const bad = `{"time":"2026-11-24T12:00:01Z","level":"WARN","msg":"delivered","messages":2,"events":9,` +
		`"delivered":1,"retried":{"transient":5},"dead_lettered":{"rejected":1,"invalid":2},` +
		`"flushes":1,"slowest_flush_ms":10000,"oldest_ms":7200000,"breaker":"open"}`
	for outcome, want := range map[string]string{
		"": "1,234 events: 1,234 delivered, slowest of 3 calls 81 ms, oldest 1s, breaker closed|" +
			"9 events: 1 delivered, retried 5 transient, dead letters 2 invalid, 1 rejected, slowest of 1 call 10000 ms, " +
			"oldest 2h00m, breaker open|",
		"retried": "9 events: 1 delivered, retried 5 transient, dead letters 2 invalid, 1 rejected, slowest of 1 call " +
			"10000 ms, oldest 2h00m, breaker open|",
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var out bytes.Buffer
			api := &fakeLogs{lines: []string{fine, "no JSON", bad}}
			err := follow(ctx, api, "log", func(i *Invocation) {
				if outcome == "" || i.Has(outcome) {
					fmt.Fprintln(&out, i)
				}
			})
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("it ends with %v", err)
			}
			got := ""
			for line := range strings.Lines(out.String()) {
				_, text, _ := strings.Cut(strings.TrimSpace(line), "  ")
				got += text + "|"
			}
			if got != want {
				t.Errorf("%q: got\n%s\nwant\n%s", outcome, got, want)
			}
			if api.calls < 29 || api.calls > 32 || api.since[api.calls-1] <= api.since[0] {
				t.Errorf("%d calls in a minute, since %v", api.calls, api.since)
			}
		})
	}
	if err := follow(t.Context(), &fakeLogs{}, "none", nil); err == nil || !strings.Contains(err.Error(), "--log-group") {
		t.Errorf("a log group that does not exist: %v", err)
	}
}
