package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/signed"
	"github.com/spillwayhq/spillway/shared/ssm"
	"github.com/spillwayhq/spillway/shared/status"
	"github.com/spillwayhq/spillway/shared/status/s3store"
)

// A site is what is read of the status site.
type site struct {
	names   read[[]string] // the status regions; none: there is no site
	regions []statusRegion
	url     read[string]  // of the page; empty: no stack says it
	page    *read[answer] // status.json as everybody gets it; nil: the URL is not known
}

// A statusRegion is what is read in a status region.
type statusRegion struct {
	name     string
	topic    string // ARN
	told     read[[]subscription]
	alarms   read[map[string]alarm]
	function read[function]
	document read[status.Document]
	stack    read[string] // the URL of the page; empty: it is not the first region's
}

// site reads the status site. queueARN is that of the pipeline's events queue.
func (r *reader) site(ctx context.Context, queueARN string) site {
	var s site
	s.names = call(ctx, "ssm:GetParameter", func(ctx context.Context) ([]string, error) {
		value, err := ssm.New(r.config).GetParameter(ctx, r.names.Parameter(topology.StatusRegionsParameter), false)
		switch {
		case ssm.NotFound(err):
			return nil, nil
		case err != nil:
			return nil, err
		}
		return strings.Split(value.Text, ","), nil
	})
	queue, err := arn.Parse(queueARN)
	if err != nil && s.names.err == nil && len(s.names.value) > 0 {
		s.names.err = errors.New("the account is not known, because the events queue can't be read")
	}
	if s.names.err != nil {
		return s
	}
	s.regions = make([]statusRegion, len(s.names.value))
	var reading sync.WaitGroup
	for i, name := range s.names.value {
		reading.Go(func() { s.regions[i] = r.statusRegion(ctx, name, queue) })
	}
	reading.Wait()
	for _, region := range s.regions {
		if region.stack.value != "" || s.url.value == "" && s.url.err == nil {
			s.url = region.stack
		}
	}
	if s.url.value != "" {
		page := get(ctx, r.client, s.url.value+"/"+status.DocumentFile)
		s.page = &page
	}
	return s
}

func (r *reader) statusRegion(ctx context.Context, name string, queue arn.ARN) statusRegion {
	c := r.config.Copy()
	c.Region = name
	there := &reader{c, r.names, r.client}
	t := topology.NewStatusSite(topology.Options{Names: r.names})
	queue.Service, queue.Region, queue.Resource = "sns", name, r.names.TicketTopic
	region := statusRegion{name: name, topic: queue.String()}
	var reading sync.WaitGroup
	reading.Go(func() {
		region.told = call(ctx, "sns:ListSubscriptionsByTopic", func(ctx context.Context) ([]subscription, error) {
			return there.subscriptions(ctx, region.topic)
		})
	})
	reading.Go(func() {
		region.alarms = call(ctx, "cloudwatch:DescribeAlarms", func(ctx context.Context) (map[string]alarm, error) {
			return alarms(ctx, cloudwatch.NewFromConfig(c), t.Topology.AlarmNames())
		})
	})
	reading.Go(func() {
		region.function = call(ctx, "lambda:GetFunctionConfiguration", func(ctx context.Context) (function, error) {
			return signed.Configuration(ctx, c, r.names.StatusFunction)
		})
	})
	reading.Go(func() {
		region.document = call(ctx, "s3:GetObject", func(ctx context.Context) (status.Document, error) {
			store := s3store.Open(c, name, r.names.StatusBucket(queue.AccountID, name), status.SiteFolder)
			return (&status.Keeper{Store: store}).Read(ctx)
		})
	})
	reading.Go(func() {
		region.stack = call(ctx, "cloudformation:DescribeStacks", func(ctx context.Context) (string, error) {
			outputs, err := deployed.Outputs(ctx, c, r.names.StatusStack(name))
			return outputs[topology.OutputStatusURL], err
		})
	})
	reading.Wait()
	return region
}

// judgeSite says what was found of the status site; nothing if there is none.
func judgeSite(n topology.Names, s *site, now time.Time) []Finding {
	if s.names.err != nil {
		return []Finding{s.names.unknown("status site")}
	}
	var findings []Finding
	t := topology.NewStatusSite(topology.Options{Names: n})
	for _, region := range s.regions {
		found := []Finding{judgeTopic(region.topic, Warning, region.told)}
		found = append(found, judgeAlarms(&t.Topology, region.alarms)...)
		for _, f := range t.Functions {
			found = append(found, judgeFunction(f, region.function))
		}
		found = append(found, judgeWritten(n, region, now))
		for i := range found {
			found[i].Check += " in " + region.name
		}
		findings = append(findings, found...)
	}
	if len(s.regions) > 0 {
		findings = append(findings, judgePage(n, s, now))
	}
	return findings
}

// judgeWritten says if the site in a region's bucket is of the last minutes.
func judgeWritten(n topology.Names, region statusRegion, now time.Time) Finding {
	const check = "status site"
	do := fmt.Sprintf("AWS_REGION=%s spillway logs --name %s status", region.name, n.Pipeline)
	d, err := region.document.value, region.document.err
	switch {
	case errors.Is(err, status.ErrNotFound):
		return finding(Failed, check, do, "its bucket has no %s: nothing has been written yet", status.DocumentFile)
	case errors.Is(err, status.ErrBroken), errors.Is(err, status.ErrNewer):
		return finding(Failed, check, do, "%v", err)
	case err != nil:
		return region.document.unknown(check)
	}
	if age := now.Sub(d.ObservedAt); age > status.StaleAfter {
		return finding(Failed, check, do, "it shows what was %s ago: the function does not write it",
			age.Round(time.Second))
	}
	return ok(check, "it was written %v ago", now.Sub(d.ObservedAt).Round(time.Second))
}

// judgePage says if everybody gets the site that is in the buckets.
func judgePage(n topology.Names, s *site, now time.Time) Finding {
	const check = "status page"
	if s.page == nil && s.url.err != nil && !hasCode(s.url.err, "ValidationError") { // its way to say not found
		return s.url.unknown(check)
	}
	if s.page == nil {
		return finding(Failed, check, redeploy, "none of the stacks %s says where it is",
			strings.Join(stacks(n, s.names.value), ", "))
	}
	a := s.page.value
	switch {
	case s.page.err != nil:
		return finding(Failed, check, "check its name in the DNS, its certificate, and the distribution",
			"%s does not answer: %v",
			a.url, s.page.err)
	case a.status != http.StatusOK:
		return finding(Failed, check, "see whether the buckets have it and their policies allow CloudFront",
			"%s answers %d: %s",
			a.url, a.status, beginning(a.body))
	}
	d, err := status.Parse([]byte(a.body))
	if err != nil {
		return finding(Failed, check, "see what answers in place of the distribution", "%s: %v", a.url, err)
	}
	if age := now.Sub(d.ObservedAt); age > status.StaleAfter {
		return finding(Failed, check, "read what the other checks say of the status site",
			"%s shows what was %s ago: customers are told that it is out of date", a.url, age.Round(time.Second))
	}
	return ok(check, "%s answers 200 in %v, and is of the last minutes", a.url, a.took.Round(time.Millisecond))
}

func stacks(n topology.Names, regions []string) []string {
	names := slices.Clone(regions)
	for i, region := range regions {
		names[i] = n.StatusStack(region)
	}
	return names
}
