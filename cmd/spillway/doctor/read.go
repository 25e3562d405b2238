package doctor

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/cmd/spillway/health"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/canary"
	"github.com/spillwayhq/spillway/shared/httpserver"
	"github.com/spillwayhq/spillway/shared/operator"
	"github.com/spillwayhq/spillway/shared/signed"
	"github.com/spillwayhq/spillway/shared/ssm"
)

// A function is what Lambda says of one.
type function = signed.Function

// An eventSource is what Lambda says of one.
type eventSource = signed.EventSource

// An account has the concurrency of all functions in the region.
type account struct {
	AccountLimit struct{ ConcurrentExecutions, UnreservedConcurrentExecutions int }
}

// A subscription is one of a topic.
type subscription struct {
	Arn      string `xml:"SubscriptionArn"` // PendingConfirmation: it is none yet; or unsubscribed
	Protocol string `xml:"Protocol"`
	Endpoint string `xml:"Endpoint"`
}

// unsubscribed is the Arn of a subscription that somebody ended by the link in a mail, which SNS
// lists for some days.
const unsubscribed = "Deleted"

// An alarm is what CloudWatch says of one, metric or composite.
type alarm struct {
	state          string
	since          time.Time
	actionsEnabled bool
	actions        []string // ARNs that it notifies when it fires
}

// first is what is read before it is known what the rest is.
type first struct {
	functions map[string]read[function] // by name
	live      map[string]live           // of those that have versions, by name
	source    read[[]eventSource]       // of deliver
	reserved  read[int]                 // concurrency of deliver; 0: none
	account   read[account]
	queues    map[string]read[map[string]string] // their attributes, by name
	skew      read[time.Duration]                // of this machine's clock: positive, it is slow
}

// second is what follows from it.
type second struct {
	alarms     read[map[string]alarm]          // by name
	topics     map[string]read[[]subscription] // by ARN
	parameters map[string]read[string]         // values, by name
	health     *read[answer]                   // nil: the endpoint's URL is not known
	shared     *read[answer]                   // of the name that several regions share; nil: they share none
	segment    *read[answer]                   // nil: the host is not known
	calls      read[error]
	archive    *archived           // nil: deliver archives nothing
	drained    read[operator.Mark] // the region, by a person
	site       site
	pauses     pauses
}

// A reader reads what AWS has of a pipeline.
type reader struct {
	config aws.Config
	names  topology.Names
	client *http.Client // for the ingest endpoint and for Segment
}

// each calls f for every name concurrently, and collects what it returns.
func each[T any](names []string, f func(name string) read[T]) map[string]read[T] {
	all := map[string]read[T]{}
	var mu sync.Mutex
	var reading sync.WaitGroup
	for _, name := range names {
		reading.Go(func() {
			r := f(name)
			mu.Lock()
			defer mu.Unlock()
			all[name] = r
		})
	}
	reading.Wait()
	return all
}

// call bounds one call, and notes the permission that it needs.
func call[T any](ctx context.Context, permission string, f func(context.Context) (T, error)) read[T] {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	value, err := f(ctx)
	return read[T]{value, err, permission}
}

func (r *reader) first(ctx context.Context) first {
	var f first
	var reading sync.WaitGroup
	n := r.names
	lambda := signed.Lambda(r.config)
	reading.Go(func() {
		names := []string{n.DeliverFunction, n.IngestFunction, n.CanaryFunction, n.RolloutFunction}
		f.functions = each(names, func(name string) read[function] {
			return call(ctx, "lambda:GetFunctionConfiguration", func(ctx context.Context) (function, error) {
				return signed.Configuration(ctx, r.config, name)
			})
		})
	})
	reading.Go(func() { f.live = r.live(ctx) })
	reading.Go(func() {
		f.source = call(ctx, "lambda:ListEventSourceMappings", func(ctx context.Context) ([]eventSource, error) {
			return signed.EventSources(ctx, r.config, n.DeliverFunction)
		})
	})
	reading.Go(func() {
		f.reserved = call(ctx, "lambda:GetFunctionConcurrency", func(ctx context.Context) (int, error) {
			var c struct{ ReservedConcurrentExecutions int }
			err := lambda.JSON(ctx, "/2019-09-30/functions/"+n.DeliverFunction+"/concurrency", nil, &c)
			return c.ReservedConcurrentExecutions, err
		})
	})
	reading.Go(func() {
		f.account = call(ctx, "lambda:GetAccountSettings", func(ctx context.Context) (a account, err error) {
			return a, lambda.JSON(ctx, "/2016-08-19/account-settings", nil, &a)
		})
	})
	reading.Go(func() { f.queues, f.skew = r.queues(ctx) })
	reading.Wait()
	return f
}

// queues reads the attributes of all queues, and by SQS's time how wrong this machine's clock is.
func (r *reader) queues(ctx context.Context) (map[string]read[map[string]string], read[time.Duration]) {
	api := sqs.NewFromConfig(r.config)
	skew := read[time.Duration]{err: fmt.Errorf("SQS told no time, because the queue %s could not be found",
		r.names.EventsQueue)}
	all := each(r.names.Queues(), func(name string) read[map[string]string] {
		found := call(ctx, "sqs:GetQueueUrl", func(ctx context.Context) (*sqs.GetQueueUrlOutput, error) {
			return api.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(name)})
		})
		if found.err != nil {
			return read[map[string]string]{nil, found.err, found.permission}
		}
		if name == r.names.EventsQueue {
			skew.value, skew.err = deployed.ClockSkew(found.value.ResultMetadata)
		}
		return attributes(ctx, api, aws.ToString(found.value.QueueUrl))
	})
	return all, skew
}

// second reads what follows from the first: t is the topology as it is deployed, topics are those
// of its alarms, and where is the ingest endpoint.
func (r *reader) second(ctx context.Context, f *first, t *topology.Topology, topics []string, where ingest) second {
	var s second
	environment := f.environment()
	var reading sync.WaitGroup
	reading.Go(func() {
		s.alarms = call(ctx, "cloudwatch:DescribeAlarms", func(ctx context.Context) (map[string]alarm, error) {
			names := t.AlarmNames()
			for i := range t.Routing {
				names = append(names, t.Routing[i].Name)
			}
			return alarms(ctx, cloudwatch.NewFromConfig(r.config), names)
		})
	})
	reading.Go(func() {
		s.topics = each(topics, func(arn string) read[[]subscription] {
			return call(ctx, "sns:ListSubscriptionsByTopic", func(ctx context.Context) ([]subscription, error) {
				return r.subscriptions(ctx, arn)
			})
		})
	})
	reading.Go(func() {
		defer func() { s.segment = r.segment(ctx, environment, s.parameters) }()
		s.parameters = each(parameters(environment), func(name string) read[string] {
			if deployed.IsObject(name) {
				return call(ctx, "s3:GetObject", func(ctx context.Context) (string, error) {
					data, err := deployed.ReadObject(ctx, r.config, name)
					return string(data), err
				})
			}
			return call(ctx, "ssm:GetParameter", func(ctx context.Context) (string, error) {
				value, err := ssm.New(r.config).GetParameter(ctx, name, true)
				return value.Text, err
			})
		})
	})
	reading.Go(func() { s.archive = r.archive(ctx, environment[deployed.VarArchiveStream]) })
	reading.Go(func() { s.drained = r.drained(ctx) })
	reading.Go(func() { s.pauses = readPauses(ctx, r.config, r.names) })
	reading.Go(func() { s.site = r.site(ctx, f.queues[t.Names.EventsQueue].value["QueueArn"]) })
	reading.Go(func() {
		if where.url != "" {
			answered := r.health(ctx, where.url, where.dial)
			s.health = &answered
		}
	})
	reading.Go(func() {
		if where.shared != "" {
			answered := r.health(ctx, where.shared, "")
			s.shared = &answered
		}
	})
	reading.Go(func() {
		s.calls = call(ctx, "cloudwatch:GetMetricData", func(ctx context.Context) (error, error) {
			return health.Segment(ctx, r.config, r.names.Pipeline)
		})
	})
	reading.Wait()
	return s
}

// health asks an ingest endpoint how it is. dial is the host that is connected to in place of the
// URL's; empty: the URL's.
func (r *reader) health(ctx context.Context, ingestURL, dial string) read[answer] {
	client, address := r.client, strings.TrimRight(ingestURL, "/")+httpserver.HealthPath
	if dial != "" {
		transport, err := canary.Dialing(dial)
		if err != nil {
			return read[answer]{answer{url: address}, err, ""}
		}
		client = &http.Client{Transport: transport}
		defer client.CloseIdleConnections()
	}
	return get(ctx, client, address)
}

// segment asks Segment's host, which the environment or a parameter names; nil: neither does.
func (r *reader) segment(ctx context.Context, environment map[string]string,
	parameters map[string]read[string]) *read[answer] {
	host := environment[deployed.VarEndpoint]
	if name := environment[deployed.VarEndpointParameter]; name != "" {
		host = strings.TrimSpace(parameters[name].value)
	}
	if host == "" {
		return nil
	}
	answered := get(ctx, r.client, host)
	return &answered
}

// alarms reads alarms by their names, of which CloudWatch takes 100 a call.
func alarms(ctx context.Context, api cloudwatch.DescribeAlarmsAPIClient, names []string) (map[string]alarm, error) {
	found := map[string]alarm{}
	pages := cloudwatch.NewDescribeAlarmsPaginator(api, &cloudwatch.DescribeAlarmsInput{AlarmNames: names,
		AlarmTypes: []cwtypes.AlarmType{cwtypes.AlarmTypeMetricAlarm, cwtypes.AlarmTypeCompositeAlarm}})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, a := range page.MetricAlarms {
			found[aws.ToString(a.AlarmName)] = alarm{string(a.StateValue), aws.ToTime(a.StateUpdatedTimestamp),
				aws.ToBool(a.ActionsEnabled), a.AlarmActions}
		}
		for _, a := range page.CompositeAlarms {
			found[aws.ToString(a.AlarmName)] = alarm{string(a.StateValue), aws.ToTime(a.StateUpdatedTimestamp),
				aws.ToBool(a.ActionsEnabled), a.AlarmActions}
		}
	}
	return found, nil
}

// subscriptions reads those of a topic, a hundred a call.
func (r *reader) subscriptions(ctx context.Context, topic string) ([]subscription, error) {
	var all []subscription
	for token := ""; ; {
		var page struct {
			Result struct {
				Subscriptions struct {
					Members []subscription `xml:"member"`
				} `xml:"Subscriptions"`
				NextToken string `xml:"NextToken"`
			} `xml:"ListSubscriptionsByTopicResult"`
		}
		parameters := url.Values{"TopicArn": {topic}}
		if token != "" {
			parameters.Set("NextToken", token)
		}
		if err := signed.SNS(r.config).XML(ctx, "ListSubscriptionsByTopic", "2010-03-31", parameters, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Result.Subscriptions.Members...)
		if token = page.Result.NextToken; token == "" {
			return all, nil
		}
	}
}
