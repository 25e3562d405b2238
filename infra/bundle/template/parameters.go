// Package template is the template of a release: which parameters and conditions it has, what their
// values are for settings, and how a template without conditions is made of it.
//
// The CDK app's own code makes the template (package derive), and parameters and conditions are all
// that differs between two deployments. A setting that is a number or a text is a parameter of
// CloudFormation. A setting that adds or removes something is a condition that Resolve decides, and
// not one of CloudFormation's: those can neither be on a dependency nor on an update policy, and
// half of the template would be Fn::If. One template for each combination would be a million of
// them. So what is deployed has parameters and no conditions, and is as short as the CDK's.
package template

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/infra/settings"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/s3"
)

// A Choice is what a deployment to one region is made for.
type Choice struct {
	Settings *settings.Settings
	Version  string // of the release, like v1.2.3
	Adopt    bool   // all queues exist outside of the stack, and are used
}

func (c *Choice) region() string { return c.Settings.Regions[0] }

// The kinds of parameters.
const (
	Text   = "String"
	Number = "Number"
)

// A Parameter is one of the template's.
type Parameter struct {
	Name   string
	Kind   string // Text or Number
	About  string // what it is, for people
	Secret bool   // its value must not be shown

	value func(*Choice, *topology.Topology) string
}

// RegionParameter is CloudFormation's own parameter with the stack's region.
const RegionParameter = "AWS::Region"

// BucketParameter is the parameter with the bucket of the functions' code.
const BucketParameter = "CodeBucket"

const codeSuffix = "Code"

// CodeParameter is the name of the parameter with the key of a function's code in that bucket:
// function is its folder in functions, like deliver.
func CodeParameter(function string) string {
	return strings.ToUpper(function[:1]) + function[1:] + codeSuffix
}

// Parameters are all of the template's, but those of code, whose values are no settings.
func Parameters() []Parameter { return slices.Clone(parameters) }

// Values are the values of Parameters, by name. One that the settings do not need may be empty.
func Values(c *Choice) map[string]string {
	t := c.Settings.Topology()
	values := map[string]string{}
	for _, p := range parameters {
		values[p.Name] = p.value(c, &t)
	}
	return values
}

var parameters = []Parameter{
	setting("Name", Text, "the pipeline's name, with which all names begin",
		func(s *settings.Settings) string { return s.Name }),
	{Name: "Version", Kind: Text, About: "the version of Spillway",
		value: func(c *Choice, _ *topology.Topology) string { return c.Version }},
	setting("Settings", Text, "the settings of this deployment, with which the next one is compared",
		(*settings.Settings).Kept),

	ofTopology("ReservedConcurrency", "of the deliver function", func(t *topology.Topology) int {
		return function(t, t.Names.DeliverFunction).ReservedConcurrency
	}),
	ofTopology("MaximumConcurrency", "of the events queue's event source",
		func(t *topology.Topology) int { return t.EventSources[0].MaximumConcurrency }),
	ofTopology("BatchSize", "messages that an invocation gets at most",
		func(t *topology.Topology) int { return t.EventSources[0].BatchSize }),
	ofTopology("BatchingWindowSeconds", "how long Lambda waits to fill a batch",
		func(t *topology.Topology) int { return seconds(t.EventSources[0].BatchingWindow) }),
	ofTopology("VisibilityTimeoutSeconds", "of the events and the bulk queue", func(t *topology.Topology) int {
		q, _ := t.Queue(t.Names.EventsQueue)
		return seconds(q.VisibilityTimeout)
	}),
	ofTopology("LogRetentionDays", "of every log", func(t *topology.Topology) int {
		return int(function(t, t.Names.DeliverFunction).LogRetention / (24 * time.Hour))
	}),
	ofTopology("RequestsPerSecond", "that the HTTP API accepts",
		func(t *topology.Topology) int { return int(t.IngestEndpoint.RequestsPerSecond) }),
	ofTopology("Burst", "of requests that the HTTP API accepts",
		func(t *topology.Topology) int { return t.IngestEndpoint.Burst }),
	ofTopology("ArchiveDays", "how long the archive keeps an event",
		func(t *topology.Topology) int { return int(t.Archive.Kept / (24 * time.Hour)) }),
	{Name: "ArchiveRange", Kind: Text, About: "the hours that the archive's table has",
		value: func(_ *Choice, t *topology.Topology) string { return t.Archive.TableRange() }},
	{Name: "ArchiveDatabase", Kind: Text, About: "the name of the database with the archive's table",
		value: func(_ *Choice, t *topology.Topology) string { return topology.ArchiveDatabase(t.Names) }},

	// What the topology computes of these numbers for alarms.
	ofAlarm("backlog-growing", "Expression", func(a topology.Alarm) string { return a.Expression }),
	ofAlarm("deliver-saturated", "Threshold",
		func(a topology.Alarm) string { return strconv.FormatFloat(a.Threshold, 'f', -1, 64) }),
	ofAlarm("delivery-stalled", "Expression", func(a topology.Alarm) string { return a.Expression }),
	ofAlarm("delivery-stalled", "PeriodSeconds", func(a topology.Alarm) string { return strconv.Itoa(seconds(a.Period)) }),
	ofAlarm("delivery-stalled", "Periods", func(a topology.Alarm) string { return strconv.Itoa(a.Periods) }),
	ofAlarm("delivery-stalled", "Breaching", func(a topology.Alarm) string { return strconv.Itoa(a.Breaching) }),
	ofAlarm("canary-silent", "Periods", func(a topology.Alarm) string { return strconv.Itoa(a.Periods) }),
	ofAlarm("canary-silent", "Breaching", func(a topology.Alarm) string { return strconv.Itoa(a.Breaching) }),

	setting("LogLevel", Text, "debug, info, warn or error", func(s *settings.Settings) string { return s.LogLevel }),
	setting("Architecture", Text, "of the functions: arm64 or x86_64",
		func(s *settings.Settings) string { return s.Architecture }),
	setting("PublicURL", Text, "what SDKs are told to use", (*settings.Settings).SDKURL),
	setting("PathPrefix", Text, "what precedes the paths", func(s *settings.Settings) string { return s.PathPrefix }),
	setting("FairQueues", Text, "whether ingest groups messages by write key",
		func(s *settings.Settings) string { return s.FairQueues }),
	setting("SegmentEndpoint", Text, "Segment's tracking API",
		func(s *settings.Settings) string { return s.SegmentEndpoint }),
	setting("SegmentEndpointParameter", Text, "the SSM parameter with Segment's endpoint",
		func(s *settings.Settings) string { return s.EndpointParameter }),
	setting("SegmentEndpointResource", Text, "the same in an ARN",
		func(s *settings.Settings) string { return resource(s.EndpointParameter) }),
	setting("WriteKeyParameter", Text, "the SSM parameter with the write key of messages that carry none",
		func(s *settings.Settings) string { return s.WriteKeyParameter }),
	setting("WriteKeyResource", Text, "the same in an ARN",
		func(s *settings.Settings) string { return resource(s.WriteKeyParameter) }),
	setting("WriteKeysParameter", Text, "the SSM parameter with the set of accepted write keys",
		func(s *settings.Settings) string { return strings.Join(s.WriteKeysParameters, ",") }),
	setting("WriteKeysResource", Text, "the same in an ARN",
		func(s *settings.Settings) string { return resource(strings.Join(s.WriteKeysParameters, ",")) }),
	{Name: "WriteKeysObject", Kind: Text, About: "the object with the set of accepted write keys", value: object},
	{Name: "WriteKeysBucket", Kind: Text, About: "its bucket", value: func(c *Choice, t *topology.Topology) string {
		bucket, _, _ := s3.ParseURI(object(c, t)) // validated
		return bucket
	}},
	{Name: "WriteKeysKey", Kind: Text, About: "its key", value: func(c *Choice, t *topology.Topology) string {
		_, key, _ := s3.ParseURI(object(c, t))
		return key
	}},
	secret(setting("CanaryWriteKey", Text, "of a Segment source for the canary",
		func(s *settings.Settings) string { return s.CanaryWriteKey })),
	setting("AlarmEmail", Text, "who gets the critical alarms", func(s *settings.Settings) string {
		return strings.Join(s.Emails, ",")
	}),
	setting("TicketEmail", Text, "who gets the other alarms", func(s *settings.Settings) string {
		return strings.Join(s.TicketRecipients(), ",")
	}),
	{Name: "Runbook", Kind: Text, About: "the URL that alarms refer to",
		value: func(_ *Choice, t *topology.Topology) string { return t.Alarms[0].Runbook }},
	setting("PermissionsBoundary", Text, "the ARN of the boundary of every role",
		func(s *settings.Settings) string { return s.PermissionsBoundary }),
	{Name: "DashboardURL", Kind: Text, About: "where people find the dashboard", value: dashboard},
}

func setting(name, kind, about string, value func(*settings.Settings) string) Parameter {
	return Parameter{Name: name, Kind: kind, About: about,
		value: func(c *Choice, _ *topology.Topology) string { return value(c.Settings) }}
}

func secret(p Parameter) Parameter {
	p.Secret = true
	return p
}

func ofTopology(name, about string, value func(*topology.Topology) int) Parameter {
	return Parameter{Name: name, Kind: Number, About: about,
		value: func(_ *Choice, t *topology.Topology) string { return strconv.Itoa(value(t)) }}
}

// ofAlarm is a part of an alarm: DeliveryStalledPeriods is that of delivery-stalled.
func ofAlarm(name, part string, value func(topology.Alarm) string) Parameter {
	p := Parameter{Name: part, Kind: Number, About: fmt.Sprintf("%s of the alarm %s", part, name),
		value: func(_ *Choice, t *topology.Topology) string {
			a, _ := t.Alarm(t.Names.Alarm(name))
			return value(a)
		}}
	if part == "Expression" {
		p.Kind = Text
	}
	words := strings.Split(name, "-")
	for i, word := range words {
		words[i] = strings.ToUpper(word[:1]) + word[1:]
	}
	p.Name = strings.Join(words, "") + part
	return p
}

func function(t *topology.Topology, name string) topology.Function {
	f, _ := t.Function(name)
	return f
}

func seconds(d time.Duration) int { return int(d / time.Second) }

// resource is a parameter of SSM as an ARN has it: with one slash, whether its name begins with one
// or not.
func resource(parameter string) string {
	if parameter == "" {
		return ""
	}
	return "parameter/" + strings.TrimPrefix(parameter, "/")
}

func object(c *Choice, _ *topology.Topology) string { return c.Settings.KeysObject(c.region()) }

func dashboard(c *Choice, t *topology.Topology) string {
	return t.Names.DashboardURL(settings.Partitions()[c.region()], c.region())
}
