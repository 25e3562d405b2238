package canary

import (
	"context"
	"fmt"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	awscloudwatch "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"github.com/spillwayhq/spillway/shared/cloudwatch"
	"github.com/spillwayhq/spillway/shared/traffic"
)

const (
	// compareTimeout bounds a comparison, and compareMargin is what it leaves of an invocation's
	// time: the function must never be ended by its timeout, which would count as an error of the
	// canary.
	compareTimeout = 15 * time.Second
	compareMargin  = 2 * time.Second
	// notable is the growth from which on the log warns.
	notable = 3
)

// deployedTraffic reads what the deployed functions have written.
func deployedTraffic(ctx context.Context, o *Options) (traffic.Source, error) {
	cloud, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("load the AWS configuration: %w", err)
	}
	return &cloudwatch.Source{Metrics: awscloudwatch.NewFromConfig(cloud), Logs: cloudwatchlogs.NewFromConfig(cloud),
		Pipeline: o.Name, LogGroups: o.CompareLogGroups, OwnLogGroup: o.LogGroup}, nil
}

// compare compares the traffic with what is usual, if that is due in this minute. The canary has
// been sent and reported before: whatever happens here can't delay it or make it fail.
func (f *Function) compare(ctx context.Context, minute time.Time) {
	from, due := traffic.Due(minute)
	if f.parts.Traffic == nil || !due {
		return
	}
	log := f.parts.Logger
	defer func() {
		if p := recover(); p != nil {
			log.ErrorContext(ctx, "the traffic could not be compared: it panicked", "type", fmt.Sprintf("%T", p))
		}
	}()
	timeout := compareTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline)-compareMargin)
	}
	comparing, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r, err := traffic.Compare(comparing, f.parts.Traffic, f.pipeline, from)
	if r.HasRatio && f.drainedSince(from) { // no traffic is what the person wanted: nobody is to be woken up for it
		r.HasRatio = false
		log.InfoContext(ctx, "the traffic is not compared with what is usual, because the region is drained, or was until "+
			"lately", "ratio", r.Ratio, "from", from)
	}
	if err != nil {
		log.WarnContext(ctx, "the traffic could not be compared, or only in part", "error", err)
	}
	if err := f.metrics.Write(time.Now(), r.Metrics()...); err != nil {
		log.WarnContext(ctx, "metrics could not be written", "error", err)
	}
	if r.Window != nil {
		if _, err := r.Window.WriteTo(f.parts.Metrics); err != nil {
			log.WarnContext(ctx, "the heaviest senders could not be written", "error", err)
		}
	}
	if r.HasRatio {
		log.InfoContext(ctx, "the traffic was compared", "ratio", r.Ratio, "from", from)
	}
	for _, g := range r.Grown {
		if g.Times >= notable {
			log.WarnContext(ctx, "a sender has grown", "by", g.By, "name", g.Name, "id", g.ID, "events", g.Events,
				"usual", g.Usual, "times", g.Times, "from", from)
		}
	}
}
