package stack

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cftypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

type fakeStacks map[string]map[string]string

func (f fakeStacks) DescribeStacks(_ context.Context, in *cloudformation.DescribeStacksInput,
	_ ...func(*cloudformation.Options)) (*cloudformation.DescribeStacksOutput, error) {
	outputs, ok := f[aws.ToString(in.StackName)]
	if !ok {
		return nil, errors.New("ValidationError: Stack with id " + aws.ToString(in.StackName) + " does not exist")
	}
	var stack cftypes.Stack
	for k, v := range outputs {
		stack.Outputs = append(stack.Outputs, cftypes.Output{OutputKey: aws.String(k), OutputValue: aws.String(v)})
	}
	return &cloudformation.DescribeStacksOutput{Stacks: []cftypes.Stack{stack}}, nil
}

func TestFindReadsQueuesAndLogFromTheOutputs(t *testing.T) {
	api := fakeStacks{
		"spillway-eu": {"EventsQueueUrl": "https://e", "DeadLetterQueueUrl": "https://d", "DeliverLogGroup": "log"},
		"other":       {"Bucket": "b"},
	}
	want := Stack{EventsQueueURL: "https://e", DeadLetterQueueURL: "https://d", DeliverLogGroup: "log"}
	if got, err := find(t.Context(), api, "spillway-eu"); err != nil || got != want {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := find(t.Context(), api, "other"); err == nil ||
		!strings.Contains(err.Error(), "is it a stack of Spillway's?") {
		t.Errorf("a stack of another program: %v", err)
	}
	if _, err := find(t.Context(), api, "none"); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("no stack: %v", err)
	}
}
