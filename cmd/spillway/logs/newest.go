package logs

import (
	"context"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

// A Search chooses lines of a log group.
type Search struct {
	Group   string
	Pattern string // of FilterLogEvents; empty: all lines
	From    time.Time
	To      time.Time // exclusive
	Limit   int       // the newest that Keep takes; 0: all
	Calls   int       // how many calls it may take at most
	// Keep chooses among the lines that match; nil: it takes all.
	Keep func(line types.FilteredLogEvent) bool
}

// A Found has the lines that a Search has found.
type Found struct {
	Lines []types.FilteredLogEvent // oldest first
	// Whole says that no call was lacking: there are no other lines, or no newer ones.
	Whole bool
}

const (
	// firstSpan is how much of a log is searched first for the newest lines: FilterLogEvents has
	// the oldest first. Each span before is widerBy times as long.
	firstSpan = 2 * time.Minute
	widerBy   = 4
)

// Newest finds the newest lines, which costs nothing, see the package comment.
func Newest(ctx context.Context, api cloudwatchlogs.FilterLogEventsAPIClient, s Search) (Found, error) {
	found := Found{Whole: true}
	until, span := s.To, firstSpan
	if s.Limit == 0 {
		span = s.To.Sub(s.From)
	}
	for calls := s.Calls; until.After(s.From) && found.Whole && (s.Limit == 0 || len(found.Lines) < s.Limit); {
		from := until.Add(-span)
		if from.Before(s.From) {
			from = s.From
		}
		lines, used, whole, err := s.between(ctx, api, from, until, calls)
		if err != nil {
			return found, err
		}
		found.Lines, found.Whole = append(lines, found.Lines...), whole
		calls -= used
		until, span = from, span*widerBy
	}
	if n := len(found.Lines) - s.Limit; s.Limit > 0 && n > 0 {
		found.Lines = slices.Delete(found.Lines, 0, n)
	}
	return found, nil
}

// between finds the lines of a time, oldest first, in at most so many calls. whole is false if they
// did not suffice.
func (s *Search) between(ctx context.Context, api cloudwatchlogs.FilterLogEventsAPIClient, from, to time.Time,
	calls int) (lines []types.FilteredLogEvent, used int, whole bool, err error) {
	in := &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String(s.Group),
		StartTime: aws.Int64(from.UnixMilli()), EndTime: aws.Int64(to.UnixMilli() - 1)} // the end counts
	if s.Pattern != "" {
		in.FilterPattern = aws.String(s.Pattern)
	}
	pages := cloudwatchlogs.NewFilterLogEventsPaginator(api, in)
	for ; pages.HasMorePages(); used++ {
		if used == calls {
			return lines, used, false, nil
		}
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, used, false, err
		}
		for _, line := range page.Events {
			if s.Keep == nil || s.Keep(line) {
				lines = append(lines, line)
			}
		}
		if n := len(lines) - s.Limit; s.Limit > 0 && n > 0 {
			lines = slices.Delete(lines, 0, n)
		}
	}
	slices.SortStableFunc(lines, func(a, b types.FilteredLogEvent) int {
		return int(aws.ToInt64(a.Timestamp) - aws.ToInt64(b.Timestamp))
	})
	return lines, used, true, nil
}
