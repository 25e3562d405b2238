// Package logs follows the log of the deliver function on AWS, which has a line for each
// invocation.
//
// It polls FilterLogEvents, which costs nothing, where Live Tail costs $0.01 per minute.
package logs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/shared/deliver"
)

const (
	// pollEvery leaves most of the 5 FilterLogEvents per second that an account has in a region
	// (CloudWatch Logs quotas).
	pollEvery = 2 * time.Second
	// maxDelay is how much later than others a line may appear: each of the function's environments
	// writes on its own.
	maxDelay = 30 * time.Second
	// pattern selects the lines that package deliver writes once per invocation.
	pattern = `{ ` + invocations + ` }`
	// invocations is the condition for them in a pattern.
	invocations = `$.msg = "delivered"`
)

// An Invocation is a line of the log.
type Invocation struct {
	Raw string `json:"-"` // the line itself

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
	// Misconfigured are the write keys, by their fingerprints, that Segment or the configuration
	// refuses.
	Misconfigured []string `json:"misconfigured_keys"`
}

// Pattern selects the lines of invocations with an event of this outcome, and of this reason;
// empty: any. A reason must be lower-case letters and underscores.
func Pattern(outcome, reason string) string {
	field := map[string]string{deliver.Retried.String(): "retried",
		deliver.DeadLettered.String(): "dead_lettered"}[outcome]
	switch {
	case outcome == deliver.Delivered.String():
		return `{ ` + invocations + ` && $.delivered > 0 }`
	case field != "" && reason != "":
		return fmt.Sprintf(`{ %s && $.%s.%s > 0 }`, invocations, field, reason)
	case field != "": // the level says that not all was delivered
		return `{ ` + invocations + ` && $.level = "WARN" }`
	}
	return pattern
}

// Parse reads a line of the log; ok is false if it is not one of an invocation.
func Parse(line string) (i Invocation, ok bool) {
	i.Raw = strings.TrimSpace(line)
	var kind struct{ Msg string }
	ok = json.Unmarshal([]byte(i.Raw), &kind) == nil && kind.Msg == "delivered" && json.Unmarshal([]byte(i.Raw), &i) == nil
	return i, ok
}

// Has reports whether any of the invocation's events had that outcome.
func (i *Invocation) Has(outcome string) bool {
	switch outcome {
	case deliver.Delivered.String():
		return i.Delivered > 0
	case deliver.Retried.String():
		return len(i.Retried) > 0
	case deliver.DeadLettered.String():
		return len(i.DeadLettered) > 0
	}
	return false
}

// String returns the invocation as one line for a person.
func (i *Invocation) String() string {
	return fmt.Sprintf("%s  %s: %s delivered%s%s, slowest of %s %d ms, oldest %s, breaker %s",
		i.Time.Local().Format("15:04:05.000"), terminal.Plural(i.Events, "event"), terminal.Number(i.Delivered),
		counts(", retried", i.Retried), counts(", dead letters", i.DeadLettered), terminal.Plural(i.Flushes, "call"),
		i.SlowestFlush, terminal.Age(time.Duration(i.Oldest)*time.Millisecond), i.Breaker)
}

// counts lists the number of events of each reason.
func counts(what string, byReason map[string]int) string {
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(byReason)) {
		parts = append(parts, terminal.Number(byReason[reason])+" "+reason)
	}
	if parts == nil {
		return ""
	}
	return what + " " + strings.Join(parts, ", ")
}

// Follow calls show for each invocation that is logged from now on, until ctx ends.
func Follow(ctx context.Context, c aws.Config, group string, show func(*Invocation)) error {
	return follow(ctx, cloudwatchlogs.NewFromConfig(c), group, show)
}

func follow(ctx context.Context, api cloudwatchlogs.FilterLogEventsAPIClient, group string,
	show func(*Invocation)) error {
	start := time.Now()
	shown := map[string]time.Time{} // lines that the next polls return again, by their ids
	for {
		since := max(start.UnixMilli(), time.Now().Add(-maxDelay).UnixMilli())
		pages := cloudwatchlogs.NewFilterLogEventsPaginator(api, &cloudwatchlogs.FilterLogEventsInput{
			LogGroupName: aws.String(group), FilterPattern: aws.String(pattern), StartTime: aws.Int64(since),
		})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return explain(ctx, err, group)
			}
			showNew(page.Events, shown, show)
		}
		maps.DeleteFunc(shown, func(_ string, at time.Time) bool { return time.Since(at) > 2*maxDelay })
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollEvery):
		}
	}
}

// showNew shows the lines that were not shown before.
func showNew(lines []types.FilteredLogEvent, shown map[string]time.Time, show func(*Invocation)) {
	for _, line := range lines {
		id := aws.ToString(line.EventId)
		if _, again := shown[id]; again {
			continue
		}
		shown[id] = time.UnixMilli(aws.ToInt64(line.Timestamp))
		if i, ok := Parse(aws.ToString(line.Message)); ok {
			show(&i)
		}
	}
}

func explain(ctx context.Context, err error, group string) error {
	var missing *types.ResourceNotFoundException
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &missing):
		return fmt.Errorf("log group %s does not exist in this region: give another with --log-group", group)
	}
	return fmt.Errorf("read log group %s: %w", group, err)
}
