package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"github.com/spillwayhq/spillway/shared/deliver"
)

// logs is what is needed of a *cloudwatchlogs.Client.
type logs interface {
	FilterLogEvents(context.Context, *cloudwatchlogs.FilterLogEventsInput,
		...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.FilterLogEventsOutput, error)
}

const (
	// pollEvery is how often the log is asked: an account has 5 FilterLogEvents a second or more in
	// a region (CloudWatch Logs quotas).
	pollEvery = 2 * time.Second
	// logLate is how late a line may come after others with a later time, from another of the
	// function's environments.
	logLate = 30 * time.Second
	// batchLines selects the lines of shared/deliver that have an invocation each.
	batchLines = `{ $.msg = "delivered" }`
)

// batchLine is what the function's log has of an invocation.
type batchLine struct {
	Time         time.Time      `json:"time"`
	Messages     int            `json:"messages"`
	Events       int            `json:"events"`
	Delivered    int            `json:"delivered"`
	Retried      map[string]int `json:"retried"`
	DeadLettered map[string]int `json:"dead_lettered"`
	Flushes      int            `json:"flushes"`
	SlowestFlush int64          `json:"slowest_flush_ms"`
	Oldest       int64          `json:"oldest_ms"`
	Duration     int64          `json:"duration_ms"`
	Breaker      string         `json:"breaker"`
}

// aws follows the function's log until ctx ends.
func (f *tailFlags) aws(ctx context.Context, out io.Writer) error {
	if f.event != "" || f.user != "" || f.payload {
		return errors.New("the function's log has nothing of an event: leave --event, --user and --payload out, or watch " +
			"a local pipeline")
	}
	if f.stack != "" && f.logGroup != "" {
		return errors.New("--stack says which log it is: leave --log-group out")
	}
	c, err := awsConfig(ctx)
	if err != nil {
		return err
	}
	group := f.logGroup
	if group == "" {
		outputs, err := deployed(ctx, f.stack, outputLog)
		if err != nil {
			return err
		}
		group = outputs[outputLog]
	}
	return f.follow(ctx, out, cloudwatchlogs.NewFromConfig(c), group)
}

// follow asks again and again for lines since it began.
func (f *tailFlags) follow(ctx context.Context, out io.Writer, api logs, group string) error {
	from := time.Now()
	shown := map[string]time.Time{} // the lines that may come again, by their ids
	for {
		since := max(from.UnixMilli(), time.Now().Add(-logLate).UnixMilli())
		in := &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String(group), FilterPattern: aws.String(batchLines),
			StartTime: aws.Int64(since)}
		for {
			page, err := api.FilterLogEvents(ctx, in)
			var missing *types.ResourceNotFoundException
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case errors.As(err, &missing):
				return fmt.Errorf("there is no log group %s in this region: name another with --log-group", group)
			case err != nil:
				return fmt.Errorf("read the log group %s: %w", group, err)
			}
			for _, e := range page.Events {
				if _, again := shown[aws.ToString(e.EventId)]; again {
					continue
				}
				shown[aws.ToString(e.EventId)] = time.UnixMilli(aws.ToInt64(e.Timestamp))
				f.line(out, aws.ToString(e.Message))
			}
			if in.NextToken = page.NextToken; in.NextToken == nil {
				break
			}
		}
		maps.DeleteFunc(shown, func(_ string, at time.Time) bool { return time.Since(at) > 2*logLate })
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollEvery):
		}
	}
}

// line shows a line of the log, if it is of an invocation with the outcome that was asked for.
func (f *tailFlags) line(out io.Writer, text string) {
	var l batchLine
	if json.Unmarshal([]byte(text), &l) != nil {
		return
	}
	has := map[string]bool{"": true, deliver.Delivered.String(): l.Delivered > 0,
		deliver.Retried.String(): len(l.Retried) > 0, deliver.DeadLettered.String(): len(l.DeadLettered) > 0}
	if !has[f.outcome] {
		return
	}
	if f.asJSON {
		fmt.Fprintln(out, strings.TrimSpace(text))
		return
	}
	fmt.Fprintf(out, "%s  %s: %s delivered%s%s, slowest of %s %d ms, oldest %s, breaker %s\n",
		l.Time.Local().Format("15:04:05.000"), plural(l.Events, "event"),
		number(int64(l.Delivered)), counts(", retried", l.Retried), counts(", dead letters", l.DeadLettered),
		plural(l.Flushes, "call"), l.SlowestFlush,
		ago(time.Duration(l.Oldest)*time.Millisecond), l.Breaker)
}

// counts lists what there is of each class or reason.
func counts(what string, of map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(of)) {
		parts = append(parts, fmt.Sprintf("%s %s", number(int64(of[name])), name))
	}
	if parts == nil {
		return ""
	}
	return what + " " + strings.Join(parts, ", ")
}
