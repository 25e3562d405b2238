package deploying

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/shared/signed"
)

const (
	// attempts is how often a call is made that fails for a reason which may pass, such as a lost
	// connection or a throttled call.
	attempts = 6
	// backoff is before the second attempt, and doubles: the pauses take about 15 s together.
	// CloudFormation throttles an account's calls of all tools together.
	backoff     = 500 * time.Millisecond
	callTimeout = time.Minute
)

// stacks calls CloudFormation in one region.
type stacks struct {
	client  *signed.Client
	retryer aws.Retryer
}

func newStacks(c aws.Config) *stacks {
	return &stacks{signed.CloudFormation(c), retry.NewStandard()}
}

// call calls an action. doing is what it is for, as an error says it. unclear: the answer of an attempt
// was lost, so that an error of the last one may be about what an earlier one did.
func (s *stacks) call(ctx context.Context, doing, action string, parameters url.Values,
	answer any) (unclear bool, err error) {
	for attempt := range attempts {
		if attempt > 0 && !signed.Pause(ctx, backoff, attempt) {
			return unclear, context.Cause(ctx)
		}
		if err = s.try(ctx, action, parameters, answer); err == nil {
			return false, nil
		}
		if ctx.Err() != nil {
			return true, context.Cause(ctx)
		}
		if !s.retryer.IsErrorRetryable(err) {
			break
		}
		unclear = true
	}
	return unclear, deployed.Explain(err, doing, "cloudformation:"+action)
}

func (s *stacks) try(ctx context.Context, action string, parameters url.Values, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return s.client.XML(ctx, action, "2010-05-15", parameters, answer)
}

// codeOf is the code of an error that AWS answered, and its text; empty if it is none.
func codeOf(err error) (code, text string) {
	if api := (smithy.APIError)(nil); errors.As(err, &api) {
		return api.ErrorCode(), api.ErrorMessage()
	}
	return "", ""
}

// missing reports whether an error says that a stack or change set does not exist. CloudFormation has
// no code of its own for a stack.
func missing(err error) bool {
	code, text := codeOf(err)
	return code == "ChangeSetNotFound" || code == "ValidationError" && strings.Contains(text, "does not exist")
}

// A stack is what CloudFormation says of one.
type stack struct {
	ID         string   `xml:"StackId"`
	Name       string   `xml:"StackName"`
	Status     string   `xml:"StackStatus"`
	Reason     string   `xml:"StackStatusReason"`
	Protected  bool     `xml:"EnableTerminationProtection"`
	Outputs    []output `xml:"Outputs>member"`
	Tags       []pair   `xml:"Tags>member"`
	Parameters []struct {
		ParameterKey string
	} `xml:"Parameters>member"`
}

// An output is one of a stack's.
type output struct{ OutputKey, OutputValue, Description string }

type pair struct{ Key, Value string }

// output is the value of the output with that name, empty if there is none.
func (s *stack) output(name string) string {
	for _, o := range s.Outputs {
		if o.OutputKey == name {
			return o.OutputValue
		}
	}
	return ""
}

// describe reads a stack by its name or ID; nil: there is none.
func (s *stacks) describe(ctx context.Context, name string) (*stack, error) {
	var answer struct {
		Stacks []stack `xml:"DescribeStacksResult>Stacks>member"`
	}
	_, err := s.call(ctx, "read the stack "+nameOf(name), "DescribeStacks", url.Values{"StackName": {name}}, &answer)
	switch {
	case missing(err):
		return nil, nil
	case err != nil:
		return nil, err
	case len(answer.Stacks) == 0:
		return nil, nil
	}
	return &answer.Stacks[0], nil
}

// nameOf is the name in the ID of a stack, arn:aws:cloudformation:REGION:ACCOUNT:stack/NAME/UUID.
func nameOf(id string) string {
	if _, path, is := strings.Cut(id, ":stack/"); is {
		name, _, _ := strings.Cut(path, "/")
		return name
	}
	return id
}

// A changeSet is what CloudFormation would do to a stack.
type changeSet struct {
	Name, Stack string // its own name, and the stack's ID
	First       bool   // the stack was made for it, and has nothing yet
	Status      string
	Reason      string
	Execution   string // whether it can be executed
	Changes     []Change
}

// create makes a change set. The stack of a first deployment is made with it, and has the status
// REVIEW_IN_PROGRESS then. If it is not known whether the change set was made, it is returned with the
// error.
func (s *stacks) create(ctx context.Context, c *changeSet, template string, p Plan, bucket string) (*changeSet, error) {
	kind := "UPDATE"
	if c.First {
		kind = "CREATE"
	}
	v := url.Values{"StackName": {c.Stack}, "ChangeSetName": {c.Name}, "ChangeSetType": {kind}, "ClientToken": {c.Name},
		"TemplateURL": {template}, "Capabilities.member.1": {"CAPABILITY_IAM"}}
	parameters := maps.Clone(p.Parameters)
	if p.BucketParameter != "" {
		parameters[p.BucketParameter] = bucket
	}
	for i, key := range slices.Sorted(maps.Keys(parameters)) {
		at := fmt.Sprintf("Parameters.member.%d.", i+1)
		v.Set(at+"ParameterKey", key)
		v.Set(at+"ParameterValue", parameters[key])
	}
	for i, key := range slices.Sorted(maps.Keys(p.Tags)) {
		at := fmt.Sprintf("Tags.member.%d.", i+1)
		v.Set(at+"Key", key)
		v.Set(at+"Value", p.Tags[key])
	}
	var answer struct {
		StackID string `xml:"CreateChangeSetResult>StackId"`
	}
	unclear, err := s.call(ctx, "make a change set of the stack "+c.Stack, "CreateChangeSet", v, &answer)
	if code, _ := codeOf(err); unclear && code == "AlreadyExistsException" {
		return c, nil // an attempt whose answer was lost
	}
	if answer.StackID != "" {
		c.Stack = answer.StackID
	}
	if err != nil && !unclear {
		return nil, err // nothing was made
	}
	return c, err
}

// read reads a change set with its changes.
func (s *stacks) read(ctx context.Context, c *changeSet) error {
	c.Changes = nil
	for token := ""; ; {
		v := url.Values{"StackName": {c.Stack}, "ChangeSetName": {c.Name}}
		if token != "" {
			v.Set("NextToken", token)
		}
		var answer struct {
			Status    string   `xml:"DescribeChangeSetResult>Status"`
			Reason    string   `xml:"DescribeChangeSetResult>StatusReason"`
			Execution string   `xml:"DescribeChangeSetResult>ExecutionStatus"`
			Changes   []Change `xml:"DescribeChangeSetResult>Changes>member>ResourceChange"`
			NextToken string   `xml:"DescribeChangeSetResult>NextToken"`
		}
		if _, err := s.call(ctx, "read the change set "+c.Name+" of the stack "+nameOf(c.Stack), "DescribeChangeSet", v,
			&answer); err != nil {
			return err
		}
		c.Status, c.Reason, c.Execution = answer.Status, answer.Reason, answer.Execution
		c.Changes = append(c.Changes, answer.Changes...)
		if token = answer.NextToken; token == "" {
			return nil
		}
	}
}

// changeSets are the names of the change sets of a stack, by its ID.
func (s *stacks) changeSets(ctx context.Context, id string) ([]string, error) {
	var answer struct {
		Summaries []struct {
			ChangeSetName string
			StackID       string `xml:"StackId"`
		} `xml:"ListChangeSetsResult>Summaries>member"`
	}
	_, err := s.call(ctx, "list the change sets of the stack "+nameOf(id), "ListChangeSets", url.Values{"StackName": {id}},
		&answer)
	var names []string
	for _, one := range answer.Summaries {
		if one.StackID == "" || one.StackID == id {
			names = append(names, one.ChangeSetName)
		}
	}
	return names, err
}

// execute lets CloudFormation begin with a change set.
func (s *stacks) execute(ctx context.Context, c *changeSet) error {
	unclear, err := s.call(ctx, "deploy the stack "+nameOf(c.Stack), "ExecuteChangeSet",
		url.Values{"StackName": {c.Stack}, "ChangeSetName": {c.Name}, "ClientRequestToken": {c.Name}}, &struct{}{})
	if err == nil || !unclear {
		return err
	}
	// The answer was lost, or was about an earlier attempt: what the change set says counts.
	if failed := s.read(ctx, c); failed == nil && strings.HasPrefix(c.Execution, "EXECUTE_") {
		return nil
	}
	return err
}

func (s *stacks) deleteChangeSet(ctx context.Context, c *changeSet) error {
	_, err := s.call(ctx, "delete the change set "+c.Name, "DeleteChangeSet",
		url.Values{"StackName": {c.Stack}, "ChangeSetName": {c.Name}}, &struct{}{})
	if missing(err) {
		return nil
	}
	return err
}

func (s *stacks) deleteStack(ctx context.Context, id string) error {
	_, err := s.call(ctx, "delete the stack "+nameOf(id), "DeleteStack", url.Values{"StackName": {id}}, &struct{}{})
	return err
}

// protect switches the termination protection of a stack.
func (s *stacks) protect(ctx context.Context, id string, protected bool) error {
	_, err := s.call(ctx, "set the termination protection of the stack "+nameOf(id), "UpdateTerminationProtection",
		url.Values{"StackName": {id}, "EnableTerminationProtection": {fmt.Sprint(protected)}}, &struct{}{})
	return err
}

// events reads what has happened to a stack, the newest first, up to the first event that seen
// reports true for. It reads a page at a time, each of about 100.
func (s *stacks) events(ctx context.Context, id string, seen func(Event) bool) ([]Event, error) {
	var all []Event
	for token := ""; ; {
		v := url.Values{"StackName": {id}}
		if token != "" {
			v.Set("NextToken", token)
		}
		var answer struct {
			Events    []Event `xml:"DescribeStackEventsResult>StackEvents>member"`
			NextToken string  `xml:"DescribeStackEventsResult>NextToken"`
		}
		if _, err := s.call(ctx, "read what happens to the stack "+nameOf(id), "DescribeStackEvents", v,
			&answer); err != nil {
			return nil, err
		}
		for _, e := range answer.Events {
			if seen(e) {
				return all, nil
			}
			all = append(all, e)
		}
		if token = answer.NextToken; token == "" {
			return all, nil
		}
	}
}

// resources are the physical IDs of a stack's resources of a type, such as AWS::SQS::Queue.
func (s *stacks) resources(ctx context.Context, id, kind string) (ids []string, err error) {
	for token := ""; ; {
		v := url.Values{"StackName": {id}}
		if token != "" {
			v.Set("NextToken", token)
		}
		var answer struct {
			Resources []struct {
				PhysicalID string `xml:"PhysicalResourceId"`
				Type       string `xml:"ResourceType"`
				Status     string `xml:"ResourceStatus"`
			} `xml:"ListStackResourcesResult>StackResourceSummaries>member"`
			NextToken string `xml:"ListStackResourcesResult>NextToken"`
		}
		if _, err := s.call(ctx, "list the resources of the stack "+nameOf(id), "ListStackResources", v,
			&answer); err != nil {
			return nil, err
		}
		for _, r := range answer.Resources {
			if r.Type == kind && r.Status != "DELETE_COMPLETE" && r.Status != "DELETE_SKIPPED" {
				ids = append(ids, r.PhysicalID)
			}
		}
		if token = answer.NextToken; token == "" {
			return ids, nil
		}
	}
}
