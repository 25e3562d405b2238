// Package insights runs a query of CloudWatch Logs Insights and waits for its end.
//
// A query that still runs has answers already, often none. Whoever reads them after some seconds
// takes "not found yet" for "nothing".
package insights

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

// API is what a query needs of a *cloudwatchlogs.Client.
type API interface {
	StartQuery(context.Context, *cloudwatchlogs.StartQueryInput,
		...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.StartQueryOutput, error)
	GetQueryResults(context.Context, *cloudwatchlogs.GetQueryResultsInput,
		...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.GetQueryResultsOutput, error)
	StopQuery(context.Context, *cloudwatchlogs.StopQueryInput,
		...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.StopQueryOutput, error)
}

// A query is asked about at once, then after firstPoll, and after twice as long each time, up to
// lastPoll: most are complete within a second or two, and an account has 10 GetQueryResults per
// second in a region (CloudWatch Logs quotas).
const (
	firstPoll = 100 * time.Millisecond
	lastPoll  = time.Second
)

// stopTimeout bounds the call that stops a query that nobody waits for any more.
const stopTimeout = 3 * time.Second

// MaxRows is how many rows a query returns at most (CloudWatch Logs Insights, limit).
const MaxRows = 10_000

// ErrNoLogGroup is the error of a query to a log group that does not exist.
var ErrNoLogGroup = errors.New("does not exist in this region")

// A Query is a question to one log group.
type Query struct {
	LogGroup string
	Text     string
	From, To time.Time
	// Running is called each time that the query turns out to run still, with the bytes that it has
	// scanned so far; may be nil.
	Running func(after time.Duration, bytes int64)
}

// A Result is the complete answer.
type Result struct {
	Columns []string // in the order in which the rows have them
	Rows    []Row
	Scanned int64 // bytes, which AWS charges for
}

// A Row has a text by the name of its column. A column without a value is not there.
type Row map[string]string

// Run runs a query and returns when it is complete. It stops the query if ctx ends before.
func Run(ctx context.Context, api API, q Query) (Result, error) {
	started, err := api.StartQuery(ctx, &cloudwatchlogs.StartQueryInput{LogGroupName: aws.String(q.LogGroup),
		QueryString: aws.String(q.Text), StartTime: aws.Int64(q.From.Unix()), EndTime: aws.Int64(q.To.Unix())})
	if err != nil {
		return Result{}, explain(ctx, q.LogGroup, err)
	}
	for begun, wait := time.Now(), firstPoll; ; wait = min(2*wait, lastPoll) {
		out, err := api.GetQueryResults(ctx, &cloudwatchlogs.GetQueryResultsInput{QueryId: started.QueryId})
		if err == nil {
			switch out.Status {
			case types.QueryStatusComplete:
				return read(out), nil
			case types.QueryStatusScheduled, types.QueryStatusRunning, "":
			default:
				return Result{}, fmt.Errorf("the query on %s ended as %s: ask for a shorter time", q.LogGroup, out.Status)
			}
			if q.Running != nil {
				q.Running(time.Since(begun), scanned(out))
			}
			select {
			case <-time.After(wait):
				continue
			case <-ctx.Done():
			}
		}
		stop(ctx, api, started.QueryId)
		return Result{}, explain(ctx, q.LogGroup, err)
	}
}

// stop stops a query, which AWS would else run to its end.
func stop(ctx context.Context, api API, id *string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	_, _ = api.StopQuery(ctx, &cloudwatchlogs.StopQueryInput{QueryId: id}) // at worst it runs for nothing
}

func scanned(out *cloudwatchlogs.GetQueryResultsOutput) int64 {
	if out.Statistics == nil {
		return 0
	}
	return int64(out.Statistics.BytesScanned)
}

// pointer is the column that Insights adds to a query for lines: a link to the whole line.
const pointer = "@ptr"

func read(out *cloudwatchlogs.GetQueryResultsOutput) Result {
	r := Result{Scanned: scanned(out), Rows: make([]Row, len(out.Results))}
	known := map[string]bool{pointer: true}
	for i, fields := range out.Results {
		row := Row{}
		for _, f := range fields {
			name := aws.ToString(f.Field)
			if name != pointer {
				row[name] = aws.ToString(f.Value)
			}
			if !known[name] { // a row lacks the columns that it has no value for
				known[name] = true
				r.Columns = append(r.Columns, name)
			}
		}
		r.Rows[i] = row
	}
	return r
}

func explain(ctx context.Context, group string, err error) error {
	var missing *types.ResourceNotFoundException
	var malformed *types.MalformedQueryException
	var tooMany *types.LimitExceededException
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &missing):
		return fmt.Errorf("log group %s %w: is a pipeline of this --name deployed here, with this function?", group,
			ErrNoLogGroup)
	case errors.As(err, &malformed):
		return fmt.Errorf("the query is not one of CloudWatch Logs Insights: %s", malformed.ErrorMessage())
	case errors.As(err, &tooMany):
		return fmt.Errorf("too many queries run in this account and region: wait for another to end, then try again (%s)",
			tooMany.ErrorMessage())
	}
	return fmt.Errorf("query log group %s: %w", group, err)
}
