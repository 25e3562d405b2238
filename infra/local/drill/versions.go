package drill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/infra/local/codedeploy"
	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/local/virtual"
	"github.com/spillwayhq/spillway/infra/topology"
	appdeliver "github.com/spillwayhq/spillway/shared/app/deliver"
	appingest "github.com/spillwayhq/spillway/shared/app/ingest"
)

// byVersion makes the environments of a function's code, whose handlers know their version. What
// the environments of a version share is made once.
func byVersion(factory func(version string) (func() (lambda.Handler, error), error)) lambda.EnvironmentFactory {
	var mu sync.Mutex
	made := map[string]lambda.EnvironmentFactory{}
	return func(ctx context.Context, info lambda.FunctionInfo) (lambda.Environment, error) {
		mu.Lock()
		environments, ok := made[info.Version]
		if !ok {
			handler, err := factory(info.Version)
			if err != nil {
				mu.Unlock()
				return nil, err
			}
			environments = lambda.InProcess(handler)
			made[info.Version] = environments
		}
		mu.Unlock()
		return environments(ctx, info)
	}
}

// deliverCode is the deliver function with a way to Segment.
func (s *simulation) deliverCode(toSegment http.RoundTripper) lambda.EnvironmentFactory {
	options, clients := s.options().Deliver(), virtual.Client(s.toSQS())
	options.PausedKeysParameter = s.topology.Names.Parameter(topology.PausedKeysParameter)
	return s.faults.environments(byVersion(func(version string) (func() (lambda.Handler, error), error) {
		o := options
		o.Version = version
		make, err := appdeliver.NewFactory(o, appdeliver.Parts{
			SQS: clients, SSM: documents{s.faults}, Transport: toSegment, Metrics: s.record, Logger: s.logger(),
			Report: s.invoked,
		})
		return func() (lambda.Handler, error) { return make() }, err
	}), s.usage)
}

// ingestCode is the ingest function.
func (s *simulation) ingestCode(ctx context.Context) lambda.EnvironmentFactory {
	options, clients := s.options().Ingest(), virtual.Client(s.toSQS())
	options.WriteKeysParameters, options.Server = []string{s.topology.Names.Parameter(writeKeysParameter)}, nil
	return byVersion(func(version string) (func() (lambda.Handler, error), error) {
		o := options
		o.Version = version
		return func() (lambda.Handler, error) {
			e, err := appingest.New(ctx, o, appingest.Parts{SQS: clients, SSM: documents{s.faults}, Metrics: s.record,
				Logger: s.logger()})
			if err != nil {
				return nil, err
			}
			return e.Lambda(), nil
		}, nil
	})
}

// mangling is the way to Segment of a version with a bug: Segment can't read what it gets.
type mangling struct{ http.RoundTripper }

func (m mangling) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	r.Body.Close()
	if err != nil {
		return nil, err
	}
	broken := r.Clone(r.Context())
	broken.Body, broken.ContentLength = io.NopCloser(bytes.NewReader(body[:len(body)/2])), int64(len(body)/2)
	return m.RoundTripper.RoundTrip(broken)
}

// newVersions publishes a version of deliver and one of ingest. With a bug, what deliver sends to
// Segment can't be read.
func (s *simulation) newVersions(ctx context.Context, bug bool) (ofDeliver, ofIngest *lambda.Version) {
	way := http.RoundTripper(s.toSegment())
	if bug {
		way = mangling{way}
	}
	s.world.Delivery.Function.UpdateCode(s.deliverCode(way))
	s.gateway.function.UpdateCode(s.ingestCode(ctx))
	return s.world.Delivery.Function.Publish(), s.gateway.function.Publish()
}

// deploy lets new versions take over all at once.
func (s *simulation) deploy(ctx context.Context) error {
	ofDeliver, ofIngest := s.newVersions(ctx, false)
	return errors.Join(s.world.Live().Route(lambda.Routing{Version: ofDeliver.Number()}),
		s.gateway.live.Route(lambda.Routing{Version: ofIngest.Number()}))
}

// rollOut lets new versions take over by steps, as CloudFormation and CodeDeploy do: if one of the
// two deployments goes back, both functions do.
func (s *simulation) rollOut(ctx context.Context, bug bool) error {
	ofDeliver, ofIngest := s.newVersions(ctx, bug)
	service := codedeploy.New()
	hook := virtual.NewHook(s.topology, service, ofDeliver, ofIngest, s.logger())
	defer hook.Close()
	defer service.Wait()
	s.mu.Lock()
	s.rolling, s.ran = true, nil
	s.mu.Unlock()
	before := [2]lambda.Routing{s.world.Live().Routing(), s.gateway.live.Routing()}
	var results [2]codedeploy.Result
	var errs [2]error
	var both sync.WaitGroup
	both.Go(func() { results[0], errs[0] = s.shift(ctx, service, hook, s.world.Live(), ofDeliver) })
	both.Go(func() { results[1], errs[1] = s.shift(ctx, service, hook, s.gateway.live, ofIngest) })
	both.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	went := results[0].Status != codedeploy.Succeeded || results[1].Status != codedeploy.Succeeded
	if went {
		errs[0], errs[1] = s.world.Live().Route(before[0]), s.gateway.live.Route(before[1])
	}
	s.rolledOut(&results[0], bug, went)
	return errors.Join(errs[:]...)
}

// shift is one of CodeDeploy's deployments.
func (s *simulation) shift(ctx context.Context, service *codedeploy.Service, hook lambda.Invoker, alias *lambda.Alias,
	v *lambda.Version) (codedeploy.Result, error) {
	alarm := s.topology.VersionAlarm(alias.Function().Name(), v.Number())
	watched := &topology.Topology{Names: s.topology.Names, Alarms: []topology.Alarm{alarm}}
	e, err := cloudwatch.New(watched, s.record.store, cloudwatch.Typical())
	if err != nil {
		return codedeploy.Result{}, err
	}
	return service.Deploy(ctx, codedeploy.Deployment{
		Before: hook, Alias: alias, Version: v.Number(), Alarms: []string{alarm.Name}, States: codedeploy.Watch(e, time.Now),
		Config: codedeploy.Config{Share: topology.CanaryShare, Time: topology.CanaryTime},
	})
}

// goesBackWithin is how long a bad version has its part of the invocations at most.
const goesBackWithin = 6 * time.Minute

// rolledOut notes what became of a deployment, and whether that was right.
func (s *simulation) rolledOut(r *codedeploy.Result, bug, wentBack bool) {
	lasted := r.Ended.Sub(r.Shifted)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rolling = false
	named := s.world.Live().Routing().Version // after a way back: that before
	all, its := 0, 0
	for _, i := range s.ran {
		if began := i.End.Add(-i.Duration); !began.Before(r.Shifted) && began.Before(r.Ended) {
			if all++; i.Version != named {
				its++
			}
		}
	}
	m := Mark{Kind: Outcome, From: r.Ended, Text: "the new version gets all invocations"}
	if wentBack {
		m.Text = fmt.Sprintf("the deployment has gone back by itself: "+
			"%d of %d invocations in %.2g min met the new version", its, all, lasted.Minutes())
	}
	s.outcomes = append(s.outcomes, m)
	switch {
	case bug && !wentBack:
		s.broken = append(s.broken, "the deployment of a version with a bug did not go back")
	case bug && lasted > goesBackWithin:
		s.broken = append(s.broken, fmt.Sprintf("the deployment went back after %v, not within %v", lasted, goesBackWithin))
	case !bug && wentBack:
		s.broken = append(s.broken, "the deployment of a good version went back: "+r.Reason)
	}
}
