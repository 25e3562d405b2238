package canary

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"github.com/spillwayhq/spillway/shared/canary"
	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/operator"
	"github.com/spillwayhq/spillway/shared/reload"
	"github.com/spillwayhq/spillway/shared/ssm"
)

// Switched are the sources of what a person has switched by hand: see package operator. One without
// Read is not read, and one that has nothing to read must hold nothing: see reload.Source.Else.
type Switched struct{ Paused, PausedKeys, Drained reload.Source }

// deployedSwitches are the parameters of the options.
func deployedSwitches(ctx context.Context, o *Options) (s Switched, err error) {
	if o.PausedParameter == "" && o.PausedKeysParameter == "" && o.DrainedParameter == "" {
		return s, nil
	}
	cloud, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return s, fmt.Errorf("load the AWS configuration: %w", err)
	}
	client := ssm.New(cloud)
	for source, name := range map[*reload.Source]string{&s.Paused: o.PausedParameter,
		&s.PausedKeys: o.PausedKeysParameter, &s.Drained: o.DrainedParameter} {
		if name != "" {
			*source = ssm.Parameter(client, name).Else(nil, ssm.NotFound)
		}
	}
	return s, nil
}

// A gauge is a metric that says every minute what a person has switched by hand. Alarms watch it.
type gauge struct {
	metric string
	value  *reload.Value[int]
}

// gauges are those of the sources that can be read.
func (s *Switched) gauges(logger *slog.Logger) []*gauge {
	one := func(document []byte) (int, string, error) {
		m, err := operator.Parse(document)
		if !m.IsSet() {
			return 0, "no", err
		}
		return 1, m.String(), err
	}
	keys := func(document []byte) (int, string, error) {
		k, err := operator.ParseKeys(document)
		paused := len(k.Paused())
		return paused, fmt.Sprint(paused), err
	}
	var all []*gauge
	for _, g := range []struct {
		metric, what string
		source       reload.Source
		parse        func(document []byte) (int, string, error)
	}{
		{operator.PausedMetric, "mark that delivery is paused", s.Paused, one},
		{operator.PausedKeysMetric, "list of paused write keys", s.PausedKeys, keys},
		{operator.DrainedMetric, "mark that the region is drained", s.Drained, one},
	} {
		if g.source.Read == nil {
			continue
		}
		g.source.Interval = canary.Interval / 2 // so that it is due every minute
		all = append(all, &gauge{g.metric, reload.New(reload.Config[int]{
			What: g.what, Without: "the metric " + g.metric + " is not written", Source: g.source, Logger: logger,
			Parse: func(_ context.Context, document []byte) (int, slog.Attr, error) {
				value, shown, err := g.parse(document)
				return value, slog.String("switched", shown), err
			},
		})})
	}
	return all
}

// writeSwitches reads what a person has switched, and writes it as metrics of a minute. What can't be
// read is as it was; it is not written as long as it has never been read. The canary has been sent
// before: whatever happens here can't delay it or make it fail.
func (f *Function) writeSwitches(ctx context.Context, minute time.Time) {
	if len(f.switches) == 0 {
		return
	}
	var values reload.Group
	for _, g := range f.switches {
		values = append(values, g.value)
	}
	values.Refresh(ctx)
	var metrics []emf.Metric
	var unknown []string
	for _, g := range f.switches {
		if value, known := g.value.Load(); known {
			metrics = append(metrics, emf.Metric{Name: g.metric, Unit: emf.Count, Values: []float64{float64(value)}, At: minute})
			if g.metric == operator.DrainedMetric && value > 0 {
				f.drainedAt = minute
			}
		} else {
			unknown = append(unknown, g.metric)
		}
	}
	if err := f.metrics.Write(time.Now(), metrics...); err != nil {
		f.parts.Logger.WarnContext(ctx, "metrics could not be written", "error", err)
	}
	if len(unknown) > 0 {
		f.parts.Logger.WarnContext(ctx, "metrics are not written, because what they say has never been read", "metrics",
			strings.Join(unknown, ", "))
	}
}

// backAfter is how long after a drain has ended clients are back at most: Route 53 hears of it within
// three minutes, and clients ask it again within one. The rest is a margin.
const backAfter = 5 * time.Minute

// drainedSince reports whether clients were kept away from the region after a time, because a person
// had drained it, as far as this environment knows.
func (f *Function) drainedSince(from time.Time) bool {
	return !f.drainedAt.IsZero() && from.Before(f.drainedAt.Add(backAfter))
}
