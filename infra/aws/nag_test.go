package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
	"github.com/cdklabs/cdk-nag-go/cdknag/v2"

	"github.com/spillwayhq/spillway/infra/settings"
	"github.com/spillwayhq/spillway/infra/topology"
)

// A suppression is a rule of cdk-nag that a resource breaks on purpose. The list is here and not in
// the stack's metadata, so that a deployment neither loads cdk-nag nor carries it.
type suppression struct {
	rule, resource string // the construct's path below the stack
	reason         string
}

const (
	noLambdaDLQ = "The function's own dead-letter configuration is for asynchronous invocations. An event source " +
		"and an HTTP API invoke this one synchronously, so nothing would ever be sent to it."
	noDestination = "Only event sources of streams have such a destination. The queue has a dead-letter queue, and " +
		"deliver writes dead letters with a reason."
	noTracing = "A trace of an invocation that delivers hundreds of events says less than the line and the metrics " +
		"that the function writes of it, and X-Ray costs $5 a million."
	lateCanary = "A canary that failed must not be sent later: the next one comes in a minute, and a missing canary is " +
		"an alarm already."
	unsentMail = "A mail that could not be sent is no use in a queue that nobody reads: CloudWatch and the dashboard " +
		"still show the alarm."
	publicPage = "The site has static files for everybody: a request can't change anything, and nobody may not " +
		"see them. " +
		"CloudFront itself absorbs floods of packets, and a firewall would cost more than the site."
	noAccessLog = "An access log has the addresses of those who look. Nobody here needs them, and CloudFront's metrics " +
		"count the views."
	lateStatus = "A page that could not be written must not be written later: the next invocation comes in a " +
		"minute, and " +
		"an alarm watches for it."
	publicSDKs = "SDKs can't sign requests. A write key is in every request, and the function checks it."
)

var suppressions = []suppression{
	{"AwsSolutions-APIG4", "IngestApi/DefaultRoute/Resource", publicSDKs},
	{"AwsSolutions-IAM5", "IngestRole/DefaultPolicy/Resource", "The wildcard stands for the versions of one parameter: " +
		"when the newest set of write keys can't be read, an earlier one is used."},
	{"AwsSolutions-IAM5", "CanaryRole/DefaultPolicy/Resource", "cloudwatch:GetMetricData and the results of Logs Insights' " +
		"queries have no resource that a policy could name. A query begins only on the pipeline's own log groups."},
	{"AwsSolutions-IAM5", "RolloutRole/DefaultPolicy/Resource", "The wildcard stands for the versions of a function: one " +
		"that is made by the same deployment is tried at once, and a permission for it would come too late."},
	{"AwsSolutions-IAM5", "DeploymentRole/DefaultPolicy/Resource", "The wildcard stands for the versions of a function, and " +
		"for the alarms of the account, of which CloudWatch tells all only to who may see all."},
	{"Serverless-SQSRedrivePolicy", "DeadLetterQueue/Resource", "It is the end: a dead letter waits here for a person."},
	{"Serverless-LambdaDLQ", "Deliver/Resource", noLambdaDLQ},
	{"Serverless-LambdaDLQ", "Ingest/Resource", noLambdaDLQ},
	{"Serverless-LambdaDLQ", "Canary/Resource", lateCanary},
	{"Serverless-LambdaDLQ", "Rollout/Resource", "CodeDeploy invokes it and waits for its answer. A deployment whose " +
		"answer does not come has failed."},
	{"Serverless-LambdaTracing", "Deliver/Resource", noTracing},
	{"Serverless-LambdaTracing", "Ingest/Resource", noTracing},
	{"Serverless-LambdaTracing", "Canary/Resource", noTracing},
	{"Serverless-LambdaTracing", "Rollout/Resource", noTracing},
	{"Serverless-LambdaEventSourceMappingDestination", "DeliverSource/Resource", noDestination},
	{"Serverless-LambdaEventSourceMappingDestination", "BulkSource/Resource", noDestination},
	{"Serverless-LambdaAsyncFailureDestination", "Canary/EventInvokeConfig/Resource", lateCanary},
	{"AwsSolutions-S1", "Site/Resource", noAccessLog},
	{"AwsSolutions-S1", "Archive/Resource", "Who reads it is in CloudTrail's data events, if the account has them. Access " +
		"logs would need another bucket, and name each object for which Firehose and the people on call have a key."},
	{"AwsSolutions-IAM5", "ArchiveRole/DefaultPolicy/Resource", "The wildcard stands for the objects in the two folders of " +
		"the bucket that the stream writes; Firehose makes up their names."},
	{"AwsSolutions-IAM5", "StatusRole/DefaultPolicy/Resource", "Metrics have no resource that a policy could name, and " +
		"composite alarms are only told to who may see all. Of the buckets the wildcard stands for the files of the site, " +
		"in two folders of which the function is the only user."},
	{"AwsSolutions-CFR1", "Distribution/Resource", publicPage},
	{"AwsSolutions-CFR2", "Distribution/Resource", publicPage},
	{"AwsSolutions-CFR3", "Distribution/Resource", noAccessLog},
	{"AwsSolutions-CFR4", "Distribution/Resource", "Only without a domain: for its own certificate CloudFront sets the " +
		"oldest TLS version itself, whatever a stack says."},
	{"Serverless-LambdaDLQ", "Status/Resource", lateStatus},
	{"Serverless-LambdaAsyncFailureDestination", "Status/EventInvokeConfig/Resource", lateStatus},
	{"Serverless-EventBusDLQ", "StatusSchedule/Resource", lateStatus},
	{"Serverless-LambdaTracing", "Status/Resource", noTracing},
	{"Serverless-SNSRedrivePolicy", "Alarms/ops@example.com/Resource", unsentMail},
	{"Serverless-SNSRedrivePolicy", "Tickets/ops@example.com/Resource", unsentMail},
	{"Serverless-EventBusDLQ", "CanarySchedule/Resource", lateCanary},
}

// A finding is a line of cdk-nag's report.
type finding struct {
	Rule       string `json:"ruleId"`
	Resource   string `json:"resourceId"` // STACK/PATH
	Compliance string `json:"compliance"`
	Info       string `json:"ruleInfo"`
}

// nag checks the stacks of all settings and returns cdk-nag's findings, whose resources are without
// the stack.
func nag(t *testing.T, variants map[string]func(*settings.Settings)) (found []finding) {
	t.Helper()
	folder := t.TempDir()
	out := filepath.Join(folder, "cdk.out")
	app := awscdk.NewApp(&awscdk.AppProps{AnalyticsReporting: jsii.Bool(false), TreeMetadata: jsii.Bool(false),
		Outdir: jsii.String(out)})
	var stacks []string
	for name, change := range variants {
		names, err := topology.NewNames(name)
		if err != nil {
			t.Fatal(err)
		}
		s := settings.Default(names, "eu-west-1")
		change(&s)
		if err := addStacks(app, &s, environment{version: "v1.2.3", assets: placeholders(t, folder, &s),
			zoneID: someZone}); err != nil {
			t.Fatal(err)
		}
		stacks = slices.AppendSeq(stacks, maps.Values(stacksOf(&s)))
	}
	props := &cdknag.NagPackProps{Reports: jsii.Bool(true),
		ReportFormats: &[]cdknag.NagReportFormat{cdknag.NagReportFormat_JSON}}
	aspects := awscdk.Aspects_Of(app)
	aspects.Add(cdknag.NewAwsSolutionsChecks(props), nil)
	aspects.Add(cdknag.NewServerlessChecks(props), nil)
	app.Synth(nil)
	for _, stack := range stacks {
		for _, pack := range []string{"AwsSolutions", "Serverless"} {
			content, err := os.ReadFile(filepath.Join(out, pack+"--"+stack+"-NagReport.json"))
			if err != nil {
				t.Fatal(err)
			}
			var report struct {
				Lines []finding `json:"lines"`
			}
			if err := json.Unmarshal(content, &report); err != nil {
				t.Fatal(err)
			}
			if len(report.Lines) < 4 { // a pack that checks nothing finds nothing
				t.Errorf("%s: %s made only %d checks", stack, pack, len(report.Lines))
			}
			for _, f := range report.Lines {
				f.Resource = strings.TrimPrefix(f.Resource, stack+"/")
				found = append(found, f)
			}
		}
	}
	return found
}

func TestCDKNagFindsOnlyWhatIsSuppressedWithAReason(t *testing.T) {
	key := "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	used := map[suppression]bool{}
	stacks := map[string]func(*settings.Settings){
		"usual": func(s *settings.Settings) { s.Domain, s.HostedZone = "events.example.com", "example.com" },
		"others": func(s *settings.Settings) {
			s.IngestEndpoint, s.KMSKeys, s.Emails = settings.FunctionURL, []string{key}, []string{"ops@example.com"}
			s.EndpointParameter, s.ReservedConcurrency = "/others/segment-endpoint", 0
			withStatusSite(s)
			withArchive(s)
		},
		"adopted": func(s *settings.Settings) {
			s.AdoptQueues, s.Canary, s.IngestEndpoint, s.StatusRegions = settings.AdoptAll, false, settings.None, []string{"us-east-1"}
		},
	}
	if !*every {
		stacks = map[string]func(*settings.Settings){"usual": stacks["usual"]}
	}
	for _, f := range nag(t, stacks) {
		if f.Compliance == "Compliant" || f.Compliance == "N/A" {
			continue
		}
		i := slices.IndexFunc(suppressions, func(s suppression) bool { return f.Rule == s.rule && f.Resource == s.resource })
		if i < 0 {
			t.Errorf("%s of %s is %s: %s Mend it, or add a suppression with its reason", f.Rule, f.Resource, f.Compliance,
				f.Info)
			continue
		}
		used[suppressions[i]] = true
	}
	for _, s := range suppressions {
		if *every && !used[s] {
			t.Errorf("nothing breaks %s at %s any more: remove its suppression", s.rule, s.resource)
		}
		if s.reason == "" {
			t.Errorf("%s at %s is suppressed without a reason", s.rule, s.resource)
		}
	}
}
