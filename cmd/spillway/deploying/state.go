package deploying

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spillwayhq/spillway/infra/topology"
)

// A step is what a deployment does with a stack.
type step int

const (
	create step = iota // it does not exist, or has nothing but change sets
	renew              // its first deployment failed: it has nothing, and must be deleted first
	update             // it is a pipeline
)

// updatable are the statuses of a stack that can be changed.
var updatable = []string{"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE",
	"IMPORT_ROLLBACK_COMPLETE"}

// stuck are the statuses that a stack only leaves by somebody's hand, and how.
var stuck = map[string]string{
	"UPDATE_ROLLBACK_FAILED": "CloudFormation could not undo a deployment that failed. Mend what its events name, " +
		"then let it go on: aws cloudformation continue-update-rollback --region %s --stack-name %s",
	"UPDATE_FAILED": "a deployment failed and was told not to undo anything. Let CloudFormation undo it: " +
		"aws cloudformation rollback-stack --region %s --stack-name %s",
	"CREATE_FAILED": "the first deployment failed and was told not to undo anything. Delete it: " +
		"aws cloudformation delete-stack --region %s --stack-name %s",
	"ROLLBACK_FAILED": "CloudFormation could not undo the first deployment, which failed. Delete what its events " +
		"name, then the stack: aws cloudformation delete-stack --region %s --stack-name %s",
	"DELETE_FAILED": "somebody deleted it, and CloudFormation could not delete all of it. Delete what its events " +
		"name, then the stack again: aws cloudformation delete-stack --region %s --stack-name %s",
	"IMPORT_ROLLBACK_FAILED": "CloudFormation could not undo an import. Mend what its events name: " +
		"aws cloudformation describe-stack-events --region %s --stack-name %s",
}

// decide says what a deployment does with a stack; nil: there is none. The error says why it does
// nothing, and what to do.
func decide(s *stack, region, pipeline string) (step, error) {
	switch {
	case s == nil, s.Status == "DELETE_COMPLETE", s.Status == "REVIEW_IN_PROGRESS":
		return create, nil
	}
	if reason := foreign(s, pipeline); reason != "" {
		return 0, fmt.Errorf("refused, nothing is changed: the stack %s in %s is not a pipeline of Spillway: %s. Deploy "+
			"with another --name, or delete that stack if it is yours", s.Name, region, reason)
	}
	switch {
	case strings.HasSuffix(s.Status, "_IN_PROGRESS"):
		return 0, &busyError{s.Name, s.Status, pipeline, region}
	case s.Status == "ROLLBACK_COMPLETE":
		return renew, nil
	case slices.Contains(updatable, s.Status):
		return update, nil
	}
	if how, known := stuck[s.Status]; known {
		return 0, fmt.Errorf("nothing is changed: the stack %s is %s: "+how, s.Name, s.Status, region, s.Name)
	}
	return 0, fmt.Errorf("nothing is changed: the stack %s has the status %s, which this version does not know. See "+
		"aws cloudformation describe-stacks --region %s --stack-name %[1]s", s.Name, s.Status, region)
}

// A busyError says that somebody else deploys or deletes the stack.
type busyError struct{ stack, status, pipeline, region string }

func (e *busyError) Error() string {
	doing := "is being deployed"
	if strings.HasPrefix(e.status, "DELETE_") {
		doing = "is being deleted"
	}
	return fmt.Sprintf("nothing is changed: the stack %s %s by somebody else (%s). Watch it, and deploy once it has "+
		"ended: %s", e.stack, doing, e.status, watchCommand(e.pipeline, e.region))
}

// watchCommand is the command that follows a deployment. It names the region, because that of the AWS
// configuration may be another one.
func watchCommand(pipeline, region string) string {
	return "spillway deploy --watch --name " + pipeline + " --set regions=" + region
}

// foreign is why a stack is not the pipeline's; empty: it is. An early version set no tags, so that
// an output which only a pipeline has is enough.
func foreign(s *stack, pipeline string) string {
	tags := map[string]string{}
	for _, t := range s.Tags {
		tags[t.Key] = t.Value
	}
	other := tags["pipeline"]
	switch {
	case tags["application"] == "spillway" && other == pipeline:
		return ""
	case tags["application"] == "spillway" && other != "":
		return fmt.Sprintf("it is of the pipeline %q", other)
	case s.output(topology.OutputSettings) != "", s.output(topology.OutputEventsQueueURL) != "":
		return ""
	}
	return fmt.Sprintf("it has neither the tag application=spillway nor the output %s", topology.OutputSettings)
}

// byCDK reports whether `npx cdk deploy` was the last to deploy a stack: its template has the version
// of the CDK's bootstrap stack as a parameter.
func byCDK(s *stack) bool {
	for _, p := range s.Parameters {
		if p.ParameterKey == "BootstrapVersion" {
			return true
		}
	}
	return false
}
