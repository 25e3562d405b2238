package main

import (
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cftypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"github.com/spillwayhq/spillway/infra/bundle"
	"github.com/spillwayhq/spillway/infra/bundle/bundletest"
	"github.com/spillwayhq/spillway/infra/settings"
	"github.com/spillwayhq/spillway/infra/topology"
)

// release deploys what a release has for these settings, and returns the versions of functions that
// the stack has, by their logical IDs.
func (c *cloud) release(t *testing.T, version string, s *settings.Settings, adopt, again bool) map[string]string {
	t.Helper()
	plan, err := bundletest.Open(t, version).Plan(s, adopt)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range plan.Files {
		r, err := file.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		c.put(t, "/code/"+file.Key, content)
	}
	parameters := []cftypes.Parameter{{ParameterKey: aws.String(bundle.BucketParameter), ParameterValue: aws.String("code")}}
	for _, name := range slices.Sorted(maps.Keys(plan.Parameters)) {
		parameters = append(parameters, cftypes.Parameter{ParameterKey: &name, ParameterValue: aws.String(plan.Parameters[name])})
	}
	api, body := c.stacks(plan.Region), string(plan.Template)
	capabilities := []cftypes.Capability{cftypes.CapabilityCapabilityIam}
	if again {
		_, err = api.UpdateStack(t.Context(), &cloudformation.UpdateStackInput{StackName: &plan.Stack, TemplateBody: &body,
			Parameters: parameters, Capabilities: capabilities})
	} else {
		_, err = api.CreateStack(t.Context(), &cloudformation.CreateStackInput{StackName: &plan.Stack, TemplateBody: &body,
			Parameters: parameters, Capabilities: capabilities})
	}
	if err != nil {
		t.Fatalf("deploy %s of %s: %v", version, plan.Stack, err)
	}
	found, err := api.DescribeStacks(t.Context(), &cloudformation.DescribeStacksInput{StackName: &plan.Stack})
	if err != nil || !strings.HasSuffix(string(found.Stacks[0].StackStatus), "E_COMPLETE") {
		t.Fatalf("deploy %s of %s: %+v, %v", version, plan.Stack, found, err)
	}
	outputs := map[string]string{}
	for _, o := range found.Stacks[0].Outputs {
		outputs[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
	}
	for name, want := range map[string]string{topology.OutputVersion: version, topology.OutputSettings: s.Kept(),
		topology.OutputCommand: "AWS_REGION=eu-west-1 spillway dlq ls --name spillway"} {
		if outputs[name] != want {
			t.Errorf("the output %s is %q, want %q", name, outputs[name], want)
		}
	}
	resources, err := api.DescribeStackResources(t.Context(),
		&cloudformation.DescribeStackResourcesInput{StackName: &plan.Stack})
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for _, r := range resources.StackResources {
		if aws.ToString(r.ResourceType) == "AWS::Lambda::Version" {
			versions[aws.ToString(r.LogicalResourceId)] = aws.ToString(r.PhysicalResourceId)
		}
	}
	return versions
}

func TestAReleaseIsDeployedChangedAndDestroyedWithItsQueuesKept(t *testing.T) {
	c := newCloud(t)
	n := topology.DefaultNames()
	s := settings.Default(n, "eu-west-1")
	c.put(t, "/code", nil)

	first := c.release(t, "v1.2.3", &s, false, false)
	second := c.release(t, "v1.2.4", &s, false, true)
	if len(first) != 2 || len(second) != 2 {
		t.Errorf("the versions are %v, and then %v, want one of deliver and one of ingest", first, second)
	}
	for id := range second {
		if first[id] != "" {
			t.Errorf("with other code the version is still %s", id)
		}
	}

	c.send(t, "eu-west-1", n.EventsQueue, "accepted")
	c.destroy(t, "eu-west-1", &s)
	for _, queue := range n.Queues() {
		if c.attributes(t, "eu-west-1", queue) == nil {
			t.Errorf("the queue %s was deleted with the stack", queue)
		}
	}
	c.release(t, "v1.2.4", &s, true, false)
	if has := c.attributes(t, "eu-west-1", n.EventsQueue); has["ApproximateNumberOfMessages"] != "1" {
		t.Errorf("the adopted queue has not kept its message: %v", has)
	}
}
