package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/version"
)

// redeploy also restores what somebody has changed or deleted by hand. A plain deployment changes
// only what differs from the one before.
const redeploy = "npx cdk deploy --all --revert-drift, with the settings that the stack has"

// Deployed checks a pipeline on AWS. ingestURL is that of the ingest endpoint; empty: as the
// functions know it. An error says that there is no such pipeline, or that AWS can't be asked.
func Deployed(ctx context.Context, c aws.Config, names topology.Names, ingestURL string) (Report, error) {
	r := &reader{c, names, http.DefaultClient}
	f := r.first(ctx)
	if f.missing(names) {
		return Report{}, fmt.Errorf("there is no pipeline %s in %s: neither the function %s nor the queue %s exists",
			names.Pipeline, c.Region, names.DeliverFunction, names.EventsQueue)
	}
	t := f.topology(names)
	environment := f.environment()
	topics := f.topics(&t)
	s := r.second(ctx, &f, &t, topics, whereToAsk(ingestURL, environment))
	return newReport(names.Pipeline, c.Region, judge(&t, &f, &s, environment, topics, c.Region)), nil
}

// An ingest is where the ingest endpoint is asked how it is.
type ingest struct {
	url    string // empty: not known
	dial   string // the host of the region that is checked, where others share the URL's; empty: DNS says it
	shared string // the URL that DNS leads to any region; empty: no region shares it
}

// whereToAsk is where the functions say that the ingest endpoint is; given is what the user says.
func whereToAsk(given string, environment map[string]string) ingest {
	public, own := environment[deployed.VarPublicURL], environment[deployed.VarIngestURL]
	if dial := environment[deployed.VarIngestDial]; given == "" && dial != "" {
		return ingest{url: own, dial: dial, shared: cmp.Or(public, own)}
	}
	return ingest{url: cmp.Or(given, public, own)}
}

// missing reports whether nothing of the pipeline exists.
func (f *first) missing(n topology.Names) bool {
	var noQueue *types.QueueDoesNotExist
	return isMissing(f.functions[n.DeliverFunction].err) && errors.As(f.queues[n.EventsQueue].err, &noQueue)
}

// isMissing reports whether Lambda says that a function does not exist.
func isMissing(err error) bool { return hasCode(err, "ResourceNotFoundException") }

// topology is the topology as far as the functions and the event source show how it was deployed.
func (f *first) topology(n topology.Names) topology.Topology {
	o := topology.DefaultOptions()
	o.Names = n
	if f.reserved.err == nil {
		o.ReservedConcurrency = f.reserved.value
	}
	if f.source.err == nil {
		deployed.Feed(&o, f.source.value)
	}
	o.NoIngest, o.NoCanary = isMissing(f.functions[n.IngestFunction].err), isMissing(f.functions[n.CanaryFunction].err)
	deployed.KeepArchive(&o, f.functions[n.DeliverFunction].value.Environment.Variables)
	rollout, asked := f.functions[n.RolloutFunction]
	o.Rollout = asked && rollout.err == nil
	return topology.New(o)
}

// environment are the variables of all functions. Those with the same name have the same value.
func (f *first) environment() map[string]string {
	all := map[string]string{}
	for _, function := range f.functions {
		maps.Copy(all, function.value.Environment.Variables)
	}
	return all
}

// topics are the ARNs of the topics that alarms notify, beside the queue's: the caller's account
// follows from it. Without it there are none.
func (f *first) topics(t *topology.Topology) []string {
	queue, err := arn.Parse(f.queues[t.Names.EventsQueue].value["QueueArn"])
	if err != nil {
		return nil
	}
	queue.Service = "sns"
	var arns []string
	for _, name := range []string{t.Names.AlarmTopic, t.Names.TicketTopic} {
		queue.Resource = name
		arns = append(arns, queue.String())
	}
	return arns
}

// parameters are the names of the SSM parameters that the functions read, and of the object of S3.
func parameters(environment map[string]string) []string {
	names := deployed.KeysDocuments(environment)
	for _, variable := range []string{deployed.VarKeyParameter, deployed.VarEndpointParameter} {
		if name := environment[variable]; name != "" {
			names = append(names, name)
		}
	}
	return names
}

// judge says what was found, in the order in which a person reads it: who is told, what runs, what
// it needs, and what was left.
func judge(t *topology.Topology, f *first, s *second, environment map[string]string, topics []string,
	region string) []Finding {
	n := t.Names
	checks := []Finding{judgeClock(f.skew)}
	for _, topic := range topics {
		checks = append(checks, judgeTopic(topic, worst(t, topic), s.topics[topic]))
	}
	if topics == nil {
		checks = append(checks, f.queues[n.EventsQueue].unknown("subscriptions"))
	}
	checks = append(checks, judgeAlarms(t, s.alarms)...)
	checks = append(checks, judgeTraffic(t, s.alarms, s.drained, region)...)
	versions := map[string]string{}
	for _, of := range t.Functions {
		r := f.functions[of.Name]
		checks = append(checks, judgeFunction(of, r))
		if l, hasVersions := f.live[of.Name]; hasVersions {
			checks = append(checks, judgeLive(of.Name, l, r, f.source.value)...)
		}
		if r.err == nil {
			versions[strings.TrimPrefix(of.Name, n.Pipeline+"-")] =
				f.inUse(of.Name).value.Environment.Variables[deployed.VarVersion]
		}
	}
	if len(versions) > 0 {
		checks = append(checks, judgeVersions(version.String(), versions))
	}
	checks = append(checks, judgeDelivery(judgeSources(t, f.source), f.source, &s.pauses, " --name "+n.Pipeline)...)
	checks = append(checks, judgeConcurrency(t, f.reserved, f.account))
	for _, q := range t.Queues {
		checks = append(checks, judgeDeployedQueue(q, n.Pipeline, f.queues[q.Name]))
	}
	checks = append(checks, judgeKeys(environment, s.parameters)...)
	if t.IngestEndpoint.Function != "" {
		checks = append(checks, judgeIngest(s.health, f.functions[n.CanaryFunction]))
	}
	if s.shared != nil {
		checks = append(checks, judgeShared(*s.shared))
	}
	if s.segment != nil {
		checks = append(checks, judgeSegment(*s.segment))
	}
	checks = append(checks, judgeCalls(s.calls))
	if s.archive != nil {
		checks = append(checks, judgeArchive(&t.Archive, s.archive)...)
	}
	if dead := f.queues[n.DeadLetterQueue]; dead.err == nil {
		checks = append(checks, judgeDeadLetters(messages(dead.value), "--name "+n.Pipeline))
	}
	return append(checks, judgeSite(n, &s.site, time.Now())...)
}

// judgeDeployedQueue also checks that the queue refuses requests without TLS: one that somebody has
// made anew by hand does not.
func judgeDeployedQueue(q topology.Queue, pipeline string, r read[map[string]string]) Finding {
	repair := redeploy
	if q.DeadLetterQueue == "" {
		repair = "spillway dlq restore --name " + pipeline
	}
	f := judgeQueue(q, r, repair)
	if f.Result == OK && !strings.Contains(r.value["Policy"], "aws:SecureTransport") {
		return finding(Warning, f.Check, repair, "its policy does not deny requests without TLS: it is not the one that was "+
			"deployed")
	}
	return f
}

// judgeIngest judges the answer of /health; nil: the endpoint's URL is not known, which the canary
// has.
func judgeIngest(health *read[answer], canary read[function]) Finding {
	switch {
	case health != nil:
		return judgeHealth(*health)
	case canary.err != nil && !isMissing(canary.err):
		return canary.unknown(checkIngest)
	}
	return finding(Unknown, checkIngest, "give it with --ingest-url", "its URL is not known: only the canary knows it, "+
		"and there is none")
}

// What a clock may differ: SQS tells whole seconds, and AWS refuses signatures that are 5 minutes
// old, or from the future (IAM user guide, "Troubleshoot signed requests").
const (
	smallSkew = 10 * time.Second
	maxSkew   = 4 * time.Minute
)

func judgeClock(r read[time.Duration]) Finding {
	const check, do = "clock", "set the clock by NTP: AWS refuses requests that are 5 minutes off"
	skew := r.value.Abs().Round(time.Second)
	way := "slow"
	if r.value < 0 {
		way = "fast"
	}
	switch {
	case r.err != nil:
		return r.unknown(check)
	case skew > maxSkew:
		return finding(Failed, check, do, "this machine's is %v %s", skew, way)
	case skew > smallSkew:
		return finding(Warning, check, do, "this machine's is %v %s", skew, way)
	}
	return ok(check, "this machine's differs from AWS's by less than %v", smallSkew)
}

// worst is what it is that nobody is subscribed to a topic: alarms that page must reach somebody.
func worst(t *topology.Topology, topic string) Result {
	if strings.HasSuffix(topic, ":"+t.Names.AlarmTopic) {
		return Failed
	}
	return Warning
}

// judgeTopic says who hears of alarms. none is the result if nobody does.
func judgeTopic(topic string, none Result, r read[[]subscription]) Finding {
	check := "subscriptions " + topic[strings.LastIndex(topic, ":")+1:]
	if hasCode(r.err, "NotFound", "NotFoundException") {
		return finding(Failed, check, redeploy, "the topic does not exist")
	}
	if r.err != nil {
		return r.unknown(check)
	}
	var confirmed, pending []string
	for _, s := range r.value {
		switch {
		case strings.HasPrefix(s.Arn, "arn:"):
			confirmed = append(confirmed, s.Protocol)
		case s.Arn != unsubscribed:
			pending = append(pending, s.Endpoint)
		}
	}
	// A deployment with the same addresses subscribes nobody again.
	subscribe := "aws sns subscribe --topic-arn " + topic + " --protocol email --notification-endpoint you@example.com"
	waiting := "wait for a click in SNS's mail, which SNS forgets after 2 days: " + strings.Join(pending, ", ")
	switch {
	case len(confirmed) == 0 && len(pending) > 0:
		return finding(none, check, "confirm the subscription, or get a new mail: "+subscribe,
			"nobody is told when one of its alarms fires: all subscriptions %s", waiting)
	case len(confirmed) == 0:
		return finding(none, check, subscribe, "nobody is told when one of its alarms fires")
	case len(pending) > 0:
		return finding(Warning, check, "confirm them, or get a new mail: "+subscribe, "%d confirmed; others %s",
			len(confirmed), waiting)
	}
	return ok(check, "%d confirmed (%s)", len(confirmed), strings.Join(confirmed, ", "))
}

// newAlarm is how long an alarm may lack data after it was made: the longest lag of a metric, and
// the evaluations after it.
const newAlarm = 30 * time.Minute

func judgeAlarms(t *topology.Topology, r read[map[string]alarm]) []Finding {
	const check = "alarms"
	if r.err != nil {
		return []Finding{r.unknown(check)}
	}
	var missing, silent, aimless, fires, dataless []string
	all := t.AlarmNames()
	for _, name := range all {
		a, exists := r.value[name]
		switch {
		case !exists:
			missing = append(missing, name)
			continue
		case a.state == "ALARM":
			fires = append(fires, name+" since "+a.since.UTC().Format("2006-01-02 15:04 UTC"))
		case a.state == "INSUFFICIENT_DATA" && time.Since(a.since) > newAlarm:
			dataless = append(dataless, name)
		}
		topic := t.Notifies(name)
		switch {
		case topic == "": // it is part of a composite
		case !a.actionsEnabled:
			silent = append(silent, name)
		case !slices.ContainsFunc(a.actions, func(arn string) bool { return strings.HasSuffix(arn, ":"+topic) }):
			aimless = append(aimless, name)
		}
	}
	var findings []Finding
	for _, f := range []struct {
		names    []string
		says, do string
		result   Result
	}{
		{missing, "do not exist: %s", redeploy, Failed},
		{silent, "tell nobody, because their actions are disabled: %s",
			"aws cloudwatch enable-alarm-actions --alarm-names " + strings.Join(silent, " "), Failed},
		{aimless, "tell nobody, because they do not notify their topic: %s", redeploy, Failed},
		{fires, "fire: %s", "see their sections in docs/runbook.md", Failed},
		{dataless, "have had no data for over 30 minutes: %s",
			"see whether the functions run and write metrics: no metric at all means that the alarm sees nothing", Warning},
	} {
		if f.names != nil {
			findings = append(findings, finding(f.result, check, f.do, "%d of %d "+f.says, len(f.names), len(all),
				strings.Join(f.names, ", ")))
		}
	}
	if findings == nil {
		findings = []Finding{ok(check, "%d exist, none fires, and all tell somebody", len(all))}
	}
	return findings
}

func judgeFunction(f topology.Function, r read[function]) Finding {
	check := "function " + f.Name
	v := r.value
	switch {
	case isMissing(r.err):
		return finding(Failed, check, redeploy, "does not exist")
	case r.err != nil:
		return r.unknown(check)
	case v.State == "Failed" || v.LastUpdateStatus == "Failed":
		return finding(Failed, check, "read the reason, and deploy again", "its last change failed: %s",
			cmp.Or(v.LastUpdateStatusReason, v.StateReason, "Lambda says no reason"))
	case time.Duration(v.Timeout)*time.Second != f.Timeout:
		return finding(Warning, check, redeploy, "its timeout must be %v, is %d s", f.Timeout, v.Timeout)
	}
	return ok(check, "%s", strings.ToLower(cmp.Or(v.State, "active")))
}

// A sourceFinding is what was found about the event source of a queue.
type sourceFinding struct {
	Finding
	disabled bool
}

// judgeSources says of each queue that deliver is fed from if it is.
func judgeSources(t *topology.Topology, r read[[]eventSource]) (findings []sourceFinding) {
	const check = "event source"
	if r.err != nil && !isMissing(r.err) {
		return []sourceFinding{{r.unknown(check), false}}
	}
	known := 0
	for _, source := range t.EventSources {
		of := deployed.SourcesOf(r.value, source.Queue)
		known += len(of)
		name := check
		if source.Queue == t.Names.BulkQueue {
			name = "bulk " + check
		}
		findings = append(findings, sourceFinding{judgeSource(name, of), len(of) == 1 && of[0].State != "Enabled"})
	}
	if others := len(r.value) - known; others > 0 {
		f := finding(Failed, "other event sources", "delete those that no deployment made",
			"%s of other queues feed the deliver function", terminal.Plural(others, check))
		findings = append(findings, sourceFinding{f, false})
	}
	return findings
}

func judgeSource(check string, all []eventSource) Finding {
	if len(all) == 0 {
		return finding(Failed, check, redeploy, "nothing feeds the queue to the deliver function")
	}
	s := all[0]
	switch {
	case len(all) > 1:
		return finding(Failed, check, "delete those that no deployment made", "the queue has %d", len(all))
	case s.State != "Enabled":
		return finding(Failed, check, "see \"Pause and resume delivery\" in docs/runbook.md", "it is %s: %s",
			strings.ToLower(s.State), cmp.Or(s.StateTransitionReason, "Lambda says no reason"))
	case !slices.Contains(s.FunctionResponseTypes, "ReportBatchItemFailures"):
		return finding(Failed, check, redeploy, "it ignores which messages failed "+
			"(no ReportBatchItemFailures), so that Lambda deletes messages that were not delivered")
	case strings.HasPrefix(s.LastProcessingResult, "PROBLEM"):
		return finding(Failed, check, "allow the deliver function's role what it lacks", "%s", s.LastProcessingResult)
	}
	return ok(check, "enabled, up to %d messages a batch, at most %d at a time", s.BatchSize,
		s.ScalingConfig.MaximumConcurrency)
}

// leastUnreserved is what AWS itself keeps unreserved in an account, because functions without a
// reservation share it: ingest, the canary, and those of others.
const leastUnreserved = 100

func judgeConcurrency(t *topology.Topology, reserved read[int], a read[account]) Finding {
	const check = "concurrency"
	const ask = "aws service-quotas request-service-quota-increase --service-code lambda --quota-code L-B99A9384 " +
		"--desired-value 1000"
	if reserved.err != nil {
		return reserved.unknown(check)
	}
	if a.err != nil {
		return a.unknown(check)
	}
	all, left := a.value.AccountLimit.ConcurrentExecutions, a.value.AccountLimit.UnreservedConcurrentExecutions
	most := 0
	for _, source := range t.EventSources {
		most += source.MaximumConcurrency
	}
	switch {
	case reserved.value > 0 && most > reserved.value:
		return finding(Failed, check, "deploy with a higher reservedConcurrency or a lower maximumConcurrency",
			"the event sources may run %d at a time, and %d are reserved: throttled receives make good messages dead letters",
			most, reserved.value)
	case reserved.value == 0 && most >= left:
		return finding(Failed, check, ask, "deliver may use all %d of the account's unreserved concurrency, and ingest is "+
			"throttled then", left)
	case left < leastUnreserved:
		return finding(Warning, check, ask, "%d of the account's %d are left for ingest, the canary and all other functions",
			left, all)
	}
	return ok(check, "%d reserved for deliver, %d of the account's %d left for all others", reserved.value, left, all)
}
