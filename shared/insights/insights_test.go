package insights

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

// fakeAPI answers with one step a call, and repeats the last.
type fakeAPI struct {
	startErr error
	steps    []cloudwatchlogs.GetQueryResultsOutput
	getErr   error
	asked    *cloudwatchlogs.StartQueryInput
	calls    int
	stopped  int
}

func (f *fakeAPI) StartQuery(_ context.Context, in *cloudwatchlogs.StartQueryInput,
	_ ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.StartQueryOutput, error) {
	f.asked = in
	return &cloudwatchlogs.StartQueryOutput{QueryId: aws.String("q-1")}, f.startErr
}

func (f *fakeAPI) GetQueryResults(ctx context.Context, in *cloudwatchlogs.GetQueryResultsInput,
	_ ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.GetQueryResultsOutput, error) {
	if err := errors.Join(f.getErr, ctx.Err()); err != nil || aws.ToString(in.QueryId) != "q-1" {
		return nil, err
	}
	step := f.steps[min(f.calls, len(f.steps)-1)]
	f.calls++
	return &step, nil
}

func (f *fakeAPI) StopQuery(ctx context.Context, _ *cloudwatchlogs.StopQueryInput,
	_ ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.StopQueryOutput, error) {
	f.stopped++
	return nil, ctx.Err()
}

func step(status types.QueryStatus, bytes float64, rows ...[]types.ResultField) cloudwatchlogs.GetQueryResultsOutput {
	return cloudwatchlogs.GetQueryResultsOutput{Status: status, Results: rows,
		Statistics: &types.QueryStatistics{BytesScanned: bytes}}
}

func row(pairs ...string) (fields []types.ResultField) {
	for i := 0; i < len(pairs); i += 2 {
		fields = append(fields, types.ResultField{Field: aws.String(pairs[i]), Value: aws.String(pairs[i+1])})
	}
	return fields
}

func TestAQueryThatStillRunsIsNotAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fakeAPI{steps: []cloudwatchlogs.GetQueryResultsOutput{
			step(types.QueryStatusScheduled, 0), step(types.QueryStatusRunning, 1e6),
			step(types.QueryStatusRunning, 2e6, row("error", "partial")),
			step(types.QueryStatusComplete, 3e6, row("error", "AccessDenied", "@ptr", "x"),
				row("error", "timeout", "count(*)", "3")),
		}}
		var waits []time.Duration
		var progress []int64
		to := time.Now()
		got, err := Run(t.Context(), api, Query{LogGroup: "log", Text: "stats count(*) by error", From: to.Add(-time.Hour),
			To: to, Running: func(after time.Duration, bytes int64) {
				waits, progress = append(waits, after), append(progress, bytes)
			}})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Columns, []string{"error", "count(*)"}) || len(got.Rows) != 2 || got.Scanned != 3e6 ||
			got.Rows[0]["error"] != "AccessDenied" || len(got.Rows[0]) != 1 || got.Rows[1]["count(*)"] != "3" {
			t.Errorf("%+v", got)
		}
		if !slices.Equal(waits, []time.Duration{0, 100 * time.Millisecond, 300 * time.Millisecond}) ||
			!slices.Equal(progress, []int64{0, 1e6, 2e6}) {
			t.Errorf("it ran for %v with %v bytes", waits, progress)
		}
		if in := api.asked; aws.ToString(in.LogGroupName) != "log" || *in.EndTime-*in.StartTime != 3600 || api.stopped > 0 {
			t.Errorf("asked %+v, stopped %d times", in, api.stopped)
		}
	})
}

func TestAQueryThatNobodyWaitsForIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fakeAPI{steps: []cloudwatchlogs.GetQueryResultsOutput{step(types.QueryStatusRunning, 0)}}
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		if _, err := Run(ctx, api, Query{}); !errors.Is(err, context.DeadlineExceeded) || api.stopped != 1 {
			t.Errorf("%v, stopped %d times", err, api.stopped)
		}
	})
}

func TestWhyAQueryFailsIsSaidWithWhatToDo(t *testing.T) {
	for want, api := range map[string]*fakeAPI{
		"does not exist in this region": {startErr: &types.ResourceNotFoundException{}},
		"is not one of CloudWatch Logs Insights: unexpected symbol": {startErr: &types.MalformedQueryException{
			Message: aws.String("unexpected symbol")}},
		"wait for another to end":  {startErr: &types.LimitExceededException{Message: aws.String("limit")}},
		"AccessDenied":             {startErr: errors.New("AccessDenied: logs:StartQuery")},
		"Throttling":               {getErr: errors.New("Throttling")},
		"ask for a shorter time":   {steps: []cloudwatchlogs.GetQueryResultsOutput{step(types.QueryStatusTimeout, 0)}},
		"on log ended as Failed":   {steps: []cloudwatchlogs.GetQueryResultsOutput{step(types.QueryStatusFailed, 0)}},
		"ended as Cancelled: ask ": {steps: []cloudwatchlogs.GetQueryResultsOutput{step(types.QueryStatusCancelled, 0)}},
	} {
		if _, err := Run(t.Context(), api, Query{LogGroup: "log"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
}
