package topology

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/spillwayhq/spillway/shared/emf"
)

// Names are the physical names of everything that a pipeline has. All begin with the pipeline's own
// name, so that several pipelines can share an account and region: production and staging.
type Names struct {
	Pipeline        string // the name itself; also the value of the dimension Pipeline of its metrics
	EventsQueue     string
	BulkQueue       string // of what is not urgent: redriven, replayed, sent out of files
	DeadLetterQueue string
	ArchiveStream   string // through which deliver archives events
	DeliverFunction string
	IngestFunction  string // and the HTTP API in front of it
	CanaryFunction  string // and the rule that invokes it
	StatusFunction  string // and the rule that invokes it, in the status regions
	RolloutFunction string // which a deployment invokes before a new version gets traffic
	AlarmTopic      string // critical alarms notify it: it pages
	TicketTopic     string // all others notify it
}

// maxName is the length of the longest name of a pipeline. AWS takes 64 characters of most names;
// 20 leave room for the longest suffix and a region.
const maxName = 20

var (
	pipelineName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
	// SSM refuses parameters whose path begins so (Systems Manager user guide, "About requirements
	// and constraints for parameter names").
	reservedName = regexp.MustCompile(`^(aws|ssm)`)
)

// NewNames returns the names of the pipeline that is called name.
func NewNames(name string) (Names, error) {
	switch {
	case !pipelineName.MatchString(name):
		return Names{}, fmt.Errorf("the pipeline's name must begin with a lower-case letter and have only lower-case "+
			"letters, digits and hyphens, is %q", name)
	case len(name) > maxName:
		return Names{}, fmt.Errorf("the pipeline's name must have at most %d characters, %q has %d", maxName, name,
			len(name))
	case reservedName.MatchString(name):
		return Names{}, fmt.Errorf("the pipeline's name must not begin with aws or ssm, which SSM reserves, is %q", name)
	}
	return newNames(name), nil
}

// The endings of the names of queues.
const (
	eventsSuffix     = "-events"
	bulkSuffix       = "-bulk"
	deadLetterSuffix = "-dead-letters"
)

// NamesOfEventsQueue returns the names of the pipeline that an events queue belongs to; ok is false
// if no pipeline has an events queue of this name.
func NamesOfEventsQueue(queue string) (names Names, ok bool) {
	return namesOf(queue, eventsSuffix)
}

// NamesOfBulkQueue is the same for a bulk queue.
func NamesOfBulkQueue(queue string) (names Names, ok bool) { return namesOf(queue, bulkSuffix) }

// NamesOfDeadLetterQueue is the same for a dead-letter queue.
func NamesOfDeadLetterQueue(queue string) (names Names, ok bool) {
	return namesOf(queue, deadLetterSuffix)
}

func namesOf(queue, suffix string) (names Names, ok bool) {
	name, ok := strings.CutSuffix(queue, suffix)
	if !ok {
		return Names{}, false
	}
	names, err := NewNames(name)
	return names, err == nil
}

// Queues are the names of all queues.
func (n Names) Queues() []string { return []string{n.EventsQueue, n.BulkQueue, n.DeadLetterQueue} }

// DefaultNames are those of a pipeline that was not given a name.
func DefaultNames() Names { return newNames(emf.DefaultPipeline) }

func newNames(name string) Names {
	return Names{
		Pipeline:        name,
		EventsQueue:     name + eventsSuffix,
		BulkQueue:       name + bulkSuffix,
		DeadLetterQueue: name + deadLetterSuffix,
		ArchiveStream:   name + "-archive",
		DeliverFunction: name + "-deliver",
		IngestFunction:  name + "-ingest",
		CanaryFunction:  name + "-canary",
		StatusFunction:  name + "-status",
		RolloutFunction: name + "-rollout",
		AlarmTopic:      name + "-alarms",
		TicketTopic:     name + "-tickets",
	}
}

// Stack is the name of the CloudFormation stack in a region, and that of the region's dashboard:
// dashboards of all regions share one list.
func (n Names) Stack(region string) string { return n.Pipeline + "-" + region }

// DashboardURL is where people find the region's dashboard; empty where AWS's console is not
// public.
func (n Names) DashboardURL(partition, region string) string {
	host := map[string]string{
		"aws": "console.aws.amazon.com", "aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com",
		"aws-eusc": "console.amazonaws-eusc.eu",
	}[partition]
	if host == "" {
		return ""
	}
	return "https://" + region + "." + host + "/cloudwatch/home?region=" + region + "#dashboards/dashboard/" +
		n.Stack(region)
}

// Alarm is the full name of an alarm, which is unique in a region.
func (n Names) Alarm(name string) string { return n.Pipeline + "-" + name }

// alarms are the full names of several alarms.
func (n Names) alarms(names ...string) []string {
	for i, name := range names {
		names[i] = n.Alarm(name)
	}
	return names
}

// Parameter is the name of a parameter in SSM.
func (n Names) Parameter(name string) string { return "/" + n.Pipeline + "/" + name }

// DrillParameter is the name of the parameter, for Names.Parameter, that says until when canaries
// are dropped to try the alarms. It exists only during a drill.
const DrillParameter = "drill-until"

// Names of the parameters, for Names.Parameter, that hold what a person has switched by hand: see
// package operator. On one machine they are files of the data directory. They exist only while
// something is switched.
const (
	PausedParameter     = "paused"      // delivery: an operator.Mark
	PausedKeysParameter = "paused-keys" // write keys: operator.Keys
	DrainedParameter    = "drained"     // the region: an operator.Mark
)

// FunctionLog is the log group of a function. Lambda expects the prefix.
func (n Names) FunctionLog(function string) string { return "/aws/lambda/" + function }

// AccessLog is the log group of the HTTP API. With this prefix the policy that lets API Gateway
// write does not grow with each log group (CloudWatch Logs user guide, "Enabling logging from AWS
// services").
func (n Names) AccessLog() string { return "/aws/vendedlogs/" + n.IngestFunction }

// Names of the stack's outputs. The CDK app writes them, and the command line reads them.
const (
	OutputIngestURL          = "IngestUrl"          // for SDKs
	OutputIngestTarget       = "IngestTarget"       // with a domain: the host of this region that its records point to
	OutputHealthCheck        = "HealthCheckId"      // with a domain and several regions: that of this region's records
	OutputDomainRecords      = "DomainRecords"      // with a domain whose zone is elsewhere: the records to make there
	OutputEventsQueueURL     = "EventsQueueUrl"     //
	OutputBulkQueueURL       = "BulkQueueUrl"       //
	OutputArchiveBucket      = "ArchiveBucket"      // with an archive: the name of its bucket
	OutputDeadLetterQueueURL = "DeadLetterQueueUrl" //
	OutputPublisherQueueURLs = "PublisherQueueUrls" // for publishers: one URL per region, separated by commas
	OutputDeliverLogGroup    = "DeliverLogGroup"    // the name of the deliver function's log group
	OutputAlarmTopicARN      = "AlarmTopicArn"      // of the topic for alarms that page
	OutputTicketTopicARN     = "TicketTopicArn"     // of the topic for all others
	OutputDashboardURL       = "DashboardUrl"       //
	OutputCommand            = "SpillwayCommand"    // a command to copy
	OutputArchiveTable       = "ArchiveTable"       // for Athena: DATABASE.TABLE; without a table there is none
	OutputVersion            = "Version"            // of Spillway
	OutputSettings           = "Settings"           // those of the deployment, a JSON object of texts
)
