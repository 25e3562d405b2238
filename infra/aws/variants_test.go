package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/topology"
)

func TestQueuesThatAnEarlierStackRetainedAreAdopted(t *testing.T) {
	tmpl := adopted(t)
	if n := len(tmpl.of("AWS::SQS::Queue")); n != 0 {
		t.Errorf("%d queues are created although they exist", n)
	}
	policies := 0
	for _, p := range tmpl.of("AWS::SQS::QueuePolicy") {
		if strings.Contains(text(p.at("Queues")), "staging-") &&
			strings.Contains(text(p.at("PolicyDocument")), "aws:SecureTransport") {
			policies++
		}
	}
	if policies != 3 {
		t.Errorf("%d queues require TLS, want 3", policies)
	}
	n := staging(t, adoptedAndProtected).Topology().Names
	from := map[string]bool{n.EventsQueue: true, n.BulkQueue: true}
	for _, source := range tmpl.exactly(t, 2, "AWS::Lambda::EventSourceMapping") {
		arn := text(source.at("EventSourceArn"))
		queue := strings.TrimRight(arn[strings.LastIndex(arn, ":")+1:], `"]}`)
		if !strings.Contains(arn, ":sqs:eu-west-1:") || !from[queue] {
			t.Errorf("the function is fed from %s", arn)
		}
		delete(from, queue)
	}
	if url := text(tmpl.named(t, "AWS::Lambda::Function", "FunctionName", n.DeliverFunction).at("Environment",
		"Variables", "SPILLWAY_QUEUE_URL")); !strings.Contains(url, "https://sqs.eu-west-1.") {
		t.Errorf("the function's queue is %s", url)
	}
}

func TestQueuesCanBeEncryptedWithAKMSKey(t *testing.T) {
	key := "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	tmpl := statusSites(t)["eu-west-1"]
	for id, q := range tmpl.exactly(t, 3, "AWS::SQS::Queue") {
		if q.at("KmsMasterKeyId") != key {
			t.Errorf("%s is encrypted with %v", id, q.at("KmsMasterKeyId"))
		}
	}
	want := map[string]string{"Deliver": "kms:Decrypt kms:GenerateDataKey", "Ingest": "kms:Decrypt kms:GenerateDataKey",
		"Canary": "", "Rollout": "", "Deployment": "", "Archive": "kms:Decrypt kms:GenerateDataKey"}
	for id, policy := range tmpl.exactly(t, len(want), "AWS::IAM::Policy") {
		var may []string
		for _, s := range statements(policy.at("PolicyDocument")) {
			for _, action := range texts(s["Action"]) {
				if strings.HasPrefix(action, "kms:") {
					if text(s["Resource"]) != `"`+key+`"` {
						t.Errorf("%s may %s with %s", id, action, text(s["Resource"]))
					}
					may = append(may, action)
				}
			}
		}
		for function, actions := range want {
			if strings.HasPrefix(id, function) && unique(may) != actions {
				t.Errorf("%s may %v, want %s", function, may, actions)
			}
		}
	}
}

func TestRegionsShareNothingAndPublishersGetTheQueuesOfAll(t *testing.T) {
	templates := inZone(t, apart())
	for region, tmpl := range templates {
		other := map[string]string{"us-east-1": "eu-west-1", "eu-west-1": "us-east-1"}[region]
		if strings.Contains(text(tmpl.Resources), other) {
			t.Errorf("the stack of %s refers to %s", region, other)
		}
		if fair := tmpl.named(t, "AWS::Lambda::Function", "FunctionName", topology.DefaultNames().IngestFunction).at(
			"Environment", "Variables", "SPILLWAY_FAIR_QUEUES"); fair != "true" {
			t.Errorf("in %s the ingest endpoint is told %v of fairQueues", region, fair)
		}
		urls := text(tmpl.Outputs["PublisherQueueUrls"].Value)
		own, second := strings.Index(urls, "https://sqs."+region+"."), strings.Index(urls, "https://sqs."+other+".")
		if own < 0 || second < own {
			t.Errorf("publishers of %s get %s", region, urls)
		}
	}
	if len(templates) != 2 {
		t.Errorf("%d stacks", len(templates))
	}
}

func TestTheIngestFunctionMaySendToTheQueuesOfTheOtherRegions(t *testing.T) {
	for region, tmpl := range once(t, elsewhere()) {
		other := map[string]string{"us-east-1": "eu-west-1", "eu-west-1": "us-east-1"}[region]
		for id, r := range tmpl.Resources {
			refers := strings.Contains(text(r), other)
			isIngest := strings.HasPrefix(id, "Ingest") && (r.Type == "AWS::Lambda::Function" || r.Type == "AWS::IAM::Policy" ||
				r.Type == "AWS::IAM::Role")
			if refers && !isIngest {
				t.Errorf("%s: %s %s refers to %s", region, r.Type, id, other)
			}
			if r.Type != "AWS::Lambda::Function" || !refers {
				continue
			}
			for variable, queue := range map[string]string{"SPILLWAY_FALLBACK_QUEUE_URLS": "spillway-events",
				"SPILLWAY_FALLBACK_DEAD_LETTER_QUEUE_URLS": "spillway-dead-letters"} {
				variables, _ := r.Properties["Environment"].(map[string]any)
				value := text(variables["Variables"].(map[string]any)[variable])
				if !strings.Contains(value, "https://sqs."+other+".") || !strings.Contains(value, queue) ||
					strings.Contains(value, region) {
					t.Errorf("%s: %s is %s", region, variable, value)
				}
			}
		}
		policies := ""
		for id, r := range tmpl.Resources {
			if strings.HasPrefix(id, "Ingest") && r.Type == "AWS::IAM::Policy" {
				policies += text(r)
			}
		}
		for _, want := range []string{":sqs:" + other + ":", "arn:aws:kms:" + other} {
			if !strings.Contains(policies, want) {
				t.Errorf("%s: the function may do nothing with %s: %s", region, want, policies)
			}
		}
	}
}

func TestDeliverMayPutOnlyItsOwnEventsOnTheBusAndOnlyIfTheSettingSaysSo(t *testing.T) {
	for _, on := range []bool{true, false} {
		tmpl := defaults(t)
		if on {
			tmpl = several(t)
		}
		variable := tmpl.named(t, "AWS::Lambda::Function", "FunctionName",
			topology.DefaultNames().DeliverFunction).at("Environment", "Variables", "SPILLWAY_EVENTBRIDGE")
		if (variable == "true") != on {
			t.Errorf("with %v the function has %v", on, variable)
		}
		allowed := 0
		for id, policy := range tmpl.of("AWS::IAM::Policy") {
			for _, s := range statements(policy.at("PolicyDocument")) {
				if !slices.Contains(texts(s["Action"]), "events:PutEvents") {
					continue
				}
				allowed++
				if !strings.HasPrefix(id, "Deliver") || !strings.Contains(text(s["Resource"]), ":event-bus/default") ||
					text(s["Condition"]) != `{"StringEquals":{"events:source":"spillway"}}` {
					t.Errorf("%s allows %v", id, s)
				}
			}
		}
		if (allowed == 1) != on || allowed > 1 {
			t.Errorf("with %v the template allows it %d times", on, allowed)
		}
	}
}

func TestTheTemplateHasTheOutputsThatPeopleUse(t *testing.T) {
	tmpl := defaults(t)
	for _, name := range []string{"IngestUrl", "EventsQueueUrl", "BulkQueueUrl", "DeadLetterQueueUrl",
		"PublisherQueueUrls", "DeliverLogGroup", "AlarmTopicArn", "TicketTopicArn", "DashboardUrl", "Version", "Settings",
		"SpillwayCommand"} {
		if tmpl.Outputs[name].Value == nil || tmpl.Outputs[name].Description == nil {
			t.Errorf("the output %s does not exist", name)
		}
	}
	if len(tmpl.Outputs) != 12 {
		t.Errorf("%d outputs", len(tmpl.Outputs))
	}
}

// Each partition has a console of its own, and two regions of one partition share only its name.
func TestTheDashboardURLIsThatOfTheRegionsPartition(t *testing.T) {
	for region, want := range map[string]string{
		"us-east-1":      "https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1#dashboards/dashboard/spillway-us-east-1",
		"cn-northwest-1": "https://cn-northwest-1.console.amazonaws.cn/cloudwatch/home?region=cn-northwest-1#dashboards/dashboard/spillway-cn-northwest-1",
		"us-gov-east-1":  "https://us-gov-east-1.console.amazonaws-us-gov.com/cloudwatch/home?region=us-gov-east-1#dashboards/dashboard/spillway-us-gov-east-1",
		"eusc-de-east-1": "https://eusc-de-east-1.console.amazonaws-eusc.eu/cloudwatch/home?region=eusc-de-east-1#dashboards/dashboard/spillway-eusc-de-east-1",
		"us-iso-east-1":  "", // its console is not public
	} {
		if got := topology.DefaultNames().DashboardURL(knownRegions()[region], region); got != want {
			t.Errorf("%s: %q, want %q", region, got, want)
		}
		var tmpl template
		switch region {
		case "cn-northwest-1": // one with an URL
			tmpl = archived(t)
		case "us-iso-east-1": // the one without
			tmpl = without(t)
		default:
			continue
		}
		got, _ := tmpl.Outputs[topology.OutputDashboardURL].Value.(string)
		if got != want {
			t.Errorf("%s: %q, want %q", region, got, want)
		}
		if aws := strings.Contains(text(tmpl.Resources), `arn:aws:`); aws {
			t.Errorf("%s: the template names the partition aws in an ARN", region)
		}
	}
}

func TestReservedConcurrencyAndCanaryCanBeSwitchedOff(t *testing.T) {
	tmpl := without(t)
	for id, f := range tmpl.exactly(t, 3, "AWS::Lambda::Function") {
		if f.at("ReservedConcurrentExecutions") != nil {
			t.Errorf("%s reserves concurrency", id)
		}
	}
	if n := tmpl.concurrency(t); n[0] != 10 || n[1] != 2 {
		t.Errorf("maximum concurrency is %v, want 10 and 2, the only limits of the function", n)
	}
	rest := strings.ReplaceAll(text(tmpl.Resources), canaryConfig, "") // which is CodeDeploy's
	if n := len(tmpl.of("AWS::Events::Rule")) + strings.Count(strings.ToLower(rest), "canary"); n != 0 {
		t.Errorf("%d resources or texts mention a canary", n)
	}
}

func TestAPipelineForPublishersHasNoIngestEndpoint(t *testing.T) {
	tmpl := publishers(t)["eu-west-1"]
	for _, kind := range []string{"AWS::ApiGatewayV2::Api", "AWS::ApiGatewayV2::Stage", "AWS::Lambda::Url",
		"AWS::Lambda::Permission", "AWS::Events::Rule"} {
		if n := len(tmpl.of(kind)); n != 0 {
			t.Errorf("%d of %s", n, kind)
		}
	}
	if n := len(tmpl.of("AWS::Lambda::Function")); n != 2 {
		t.Errorf("%d functions, want deliver, and the one that tries its versions", n)
	}
	if _, ok := tmpl.Outputs[topology.OutputIngestURL]; ok || tmpl.Outputs[topology.OutputEventsQueueURL].Value == nil {
		t.Errorf("outputs %v", tmpl.Outputs)
	}
	if strings.Contains(string(tmpl.content), "spillway-ingest") {
		t.Error("something refers to the ingest function")
	}
}

func TestTheSegmentEndpointCanComeFromSSM(t *testing.T) {
	tmpl := several(t)
	variables := text(tmpl.named(t, "AWS::Lambda::Function", "FunctionName",
		topology.DefaultNames().DeliverFunction).at("Environment",
		"Variables"))
	if !strings.Contains(variables, `"SPILLWAY_SEGMENT_ENDPOINT_PARAMETER":"/spillway/segment-endpoint"`) ||
		strings.Contains(variables, `"SPILLWAY_SEGMENT_ENDPOINT":`) {
		t.Errorf("variables %s", variables)
	}
	for id, policy := range tmpl.exactly(t, 5, "AWS::IAM::Policy") {
		if may := strings.Contains(text(policy.Properties),
			":parameter/spillway/segment-endpoint"); may != strings.HasPrefix(id, "Deliver") {
			t.Errorf("%s may read the endpoint: %v", id, may)
		}
	}
}

func TestTheWriteKeysCanComeFromAnObjectOfS3(t *testing.T) {
	tmpl := several(t)
	variables := text(tmpl.named(t, "AWS::Lambda::Function", "FunctionName",
		topology.DefaultNames().IngestFunction).at("Environment", "Variables"))
	if !strings.Contains(variables, `"SPILLWAY_WRITE_KEYS_OBJECT":"s3://keys-eu-west-1/team/web.json"`) {
		t.Errorf("variables %s", variables)
	}
	allowed := map[string]string{}
	for id, policy := range tmpl.of("AWS::IAM::Policy") {
		for _, s := range statements(policy.at("PolicyDocument")) {
			if resource := text(s["Resource"]); strings.Contains(resource, "keys-eu-west-1") {
				allowed[strings.Join(texts(s["Action"]), " ")] = id[:len("Ingest")] + text(s["Condition"]) +
					strings.TrimSuffix(resource[strings.Index(resource, ":s3:::"):], `"]]}`)
			}
		}
	}
	want := map[string]string{
		"s3:GetObject s3:GetObjectVersion": `Ingestnull:s3:::keys-eu-west-1/team/web.json`,
		"s3:ListBucketVersions":            `Ingest{"StringEquals":{"s3:prefix":"team/web.json"}}:s3:::keys-eu-west-1`,
	}
	if text(allowed) != text(want) {
		t.Errorf("allowed is\n%s, want\n%s", text(allowed), text(want))
	}
}

func TestTheWriteKeysCanComeFromSeveralParameters(t *testing.T) {
	tmpl := several(t)
	variables := text(tmpl.named(t, "AWS::Lambda::Function", "FunctionName",
		topology.DefaultNames().IngestFunction).at("Environment", "Variables"))
	if !strings.Contains(variables, `"SPILLWAY_WRITE_KEYS_PARAMETER":"/team/keys,partners"`) {
		t.Errorf("variables %s", variables)
	}
	for id, policy := range tmpl.of("AWS::IAM::Policy") {
		for _, resource := range []string{"/team/keys", "/team/keys:*", "/partners", "/partners:*"} {
			if may := strings.Contains(text(policy.Properties), `:parameter`+resource+`"`); may != strings.HasPrefix(id,
				"Ingest") {
				t.Errorf("%s may read %s: %v", id, resource, may)
			}
		}
	}
	none := text(without(t))
	if strings.Contains(none, "SPILLWAY_WRITE_KEYS_PARAMETER") || strings.Contains(none, "write-keys:*") {
		t.Error("a pipeline without a set still reads it")
	}
}

func unique(words []string) string {
	slices.Sort(words)
	return strings.Join(slices.Compact(words), " ")
}
