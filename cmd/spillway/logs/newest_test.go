package logs

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"github.com/spillwayhq/spillway/shared/deliver"
)

// storedLogs has lines by their second, and returns two a page.
type storedLogs struct {
	begin   time.Time
	lines   int
	fails   bool
	calls   int
	pattern string
	oldest  time.Time // that was asked for
}

func (f *storedLogs) FilterLogEvents(_ context.Context, in *cloudwatchlogs.FilterLogEventsInput,
	_ ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.FilterLogEventsOutput, error) {
	if f.fails {
		return nil, errors.New("refused")
	}
	f.calls++
	f.pattern = aws.ToString(in.FilterPattern)
	if from := time.UnixMilli(aws.ToInt64(in.StartTime)); f.oldest.IsZero() || from.Before(f.oldest) {
		f.oldest = from
	}
	var first int
	if in.NextToken != nil {
		_, _ = fmt.Sscan(*in.NextToken, &first)
	}
	out := &cloudwatchlogs.FilterLogEventsOutput{}
	for i := first; i < f.lines; i++ {
		at := f.begin.Add(time.Duration(i) * time.Second).UnixMilli()
		if at < aws.ToInt64(in.StartTime) || at > aws.ToInt64(in.EndTime) {
			continue
		}
		if len(out.Events) == 2 {
			out.NextToken = aws.String(fmt.Sprint(i))
			break
		}
		out.Events = append(out.Events,
			logtypes.FilteredLogEvent{Timestamp: aws.Int64(at), Message: aws.String(fmt.Sprint(i))})
	}
	return out, nil
}

func messages(f Found) (all []string) {
	for _, l := range f.Lines {
		all = append(all, aws.ToString(l.Message))
	}
	return all
}

func TestTheNewestLinesAreFoundWithoutReadingTheWholeLog(t *testing.T) {
	noon := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	f := &storedLogs{begin: noon.Add(-time.Hour), lines: 3600}
	s := Search{Pattern: "p", From: noon.Add(-24 * time.Hour), To: noon, Limit: 3, Calls: 100}
	found, err := Newest(t.Context(), f, s)
	if got := fmt.Sprint(messages(found)); err != nil || got != "[3597 3598 3599]" || !found.Whole {
		t.Errorf("%s, %v, whole %t", got, err, found.Whole)
	}
	if f.oldest.Before(noon.Add(-firstSpan)) || f.pattern != "p" {
		t.Errorf("it read from %v on, with the pattern %q", f.oldest, f.pattern)
	}
	*f = storedLogs{begin: noon.Add(-9 * time.Hour), lines: 2}
	found, err = Newest(t.Context(), f, s)
	if got := fmt.Sprint(messages(found)); err != nil || got != "[0 1]" || !found.Whole || f.calls > 8 ||
		!f.oldest.Equal(s.From) {
		t.Errorf("of a quiet log: %s, %v, after %d calls, from %v on", got, err, f.calls, f.oldest)
	}
}

func TestASearchMakesNoMoreCallsThanItMay(t *testing.T) {
	noon := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	f := &storedLogs{begin: noon.Add(-time.Minute), lines: 60}
	keep := func(l logtypes.FilteredLogEvent) bool { return aws.ToString(l.Message) != "1" }
	found, err := Newest(t.Context(), f, Search{From: noon.Add(-time.Minute), To: noon, Calls: 3, Keep: keep})
	if got := fmt.Sprint(messages(found)); err != nil || got != "[0 2 3 4 5]" || found.Whole || f.calls != 3 {
		t.Errorf("%s, %v, whole %t after %d calls", got, err, found.Whole, f.calls)
	}
	if _, err := Newest(t.Context(), &storedLogs{fails: true},
		Search{From: noon.Add(-time.Minute), To: noon, Calls: 3}); err == nil {
		t.Error("an error of CloudWatch Logs is none")
	}
}

func TestAPatternSelectsInvocationsByWhatBecameOfTheirEvents(t *testing.T) {
	for _, c := range []struct{ outcome, reason, want string }{
		{"", "", `{ $.msg = "delivered" }`},
		{deliver.Delivered.String(), "", `{ $.msg = "delivered" && $.delivered > 0 }`},
		{deliver.Retried.String(), "throttled", `{ $.msg = "delivered" && $.retried.throttled > 0 }`},
		{deliver.DeadLettered.String(), "", `{ $.msg = "delivered" && $.level = "WARN" }`},
	} {
		if got := Pattern(c.outcome, c.reason); got != c.want {
			t.Errorf("%s %s: %s", c.outcome, c.reason, got)
		}
	}
}
