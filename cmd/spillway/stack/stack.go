// Package stack finds a pipeline on AWS: the outputs of its CloudFormation stack name its queues
// and logs.
package stack

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"

	"github.com/spillwayhq/spillway/infra/topology"
)

// A Stack has the outputs that the verbs need.
type Stack struct {
	EventsQueueURL, DeadLetterQueueURL string
	DeliverLogGroup                    string
}

// Config loads the configuration that the AWS tools use, which must have a region and credentials.
func Config(ctx context.Context) (aws.Config, error) {
	c, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return c, fmt.Errorf("load the AWS configuration: %w", err)
	}
	if c.Region == "" {
		return c, errors.New("no AWS region: set AWS_REGION, or set a region in the profile that AWS_PROFILE names " +
			"(a local pipeline is found by --queue-url, not by --name)")
	}
	if _, err := c.Credentials.Retrieve(ctx); err != nil {
		return c, errors.New("no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	}
	return c, nil
}

// find reads the outputs of a stack.
func find(ctx context.Context, api cloudformation.DescribeStacksAPIClient, name string) (Stack, error) {
	found, err := api.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String(name)})
	if err != nil {
		return Stack{}, fmt.Errorf("read the outputs of stack %s: %w", name, err)
	}
	outputs := map[string]string{}
	for _, stack := range found.Stacks {
		for _, o := range stack.Outputs {
			outputs[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
		}
	}
	for _, output := range []string{
		topology.OutputEventsQueueURL, topology.OutputDeadLetterQueueURL, topology.OutputDeliverLogGroup,
	} {
		if outputs[output] == "" {
			return Stack{}, fmt.Errorf("stack %s has no output %s: is it a stack of Spillway's?", name, output)
		}
	}
	return Stack{
		EventsQueueURL:     outputs[topology.OutputEventsQueueURL],
		DeadLetterQueueURL: outputs[topology.OutputDeadLetterQueueURL],
		DeliverLogGroup:    outputs[topology.OutputDeliverLogGroup],
	}, nil
}
