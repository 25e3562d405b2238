package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
)

// Outputs of the stack that the CDK app deploys.
const (
	outputEvents      = "EventsQueueUrl"
	outputDeadLetters = "DeadLetterQueueUrl"
	outputLog         = "DeliverLogGroup"
)

// stacks is what is needed of a *cloudformation.Client.
type stacks interface {
	DescribeStacks(context.Context, *cloudformation.DescribeStacksInput,
		...func(*cloudformation.Options)) (*cloudformation.DescribeStacksOutput, error)
}

// awsConfig loads the usual configuration of the AWS tools, which must name a region.
func awsConfig(ctx context.Context) (aws.Config, error) {
	c, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return c, fmt.Errorf("load the AWS configuration: %w", err)
	}
	if c.Region == "" {
		return c, errors.New("no AWS region is named: write it into AWS_REGION, or into the profile that AWS_PROFILE names")
	}
	if _, err := c.Credentials.Retrieve(ctx); err != nil {
		return c, errors.New("there are no AWS credentials: name a profile in AWS_PROFILE, or set AWS_ACCESS_KEY_ID and " +
			"AWS_SECRET_ACCESS_KEY")
	}
	return c, nil
}

// stackOutputs are what a deployed stack says of itself, by name.
func stackOutputs(ctx context.Context, api stacks, name string, wanted ...string) (map[string]string, error) {
	found, err := api.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String(name)})
	if err != nil {
		return nil, fmt.Errorf("read the outputs of the stack %s: %w", name, err)
	}
	outputs := map[string]string{}
	for _, stack := range found.Stacks {
		for _, o := range stack.Outputs {
			outputs[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
		}
	}
	for _, output := range wanted {
		if outputs[output] == "" {
			return nil, fmt.Errorf("the stack %s has no output %s: is it one of Spillway's?", name, output)
		}
	}
	return outputs, nil
}

// deployed reads the outputs of a stack in the account and region of the usual configuration.
func deployed(ctx context.Context, name string, wanted ...string) (map[string]string, error) {
	c, err := awsConfig(ctx)
	if err != nil {
		return nil, err
	}
	return stackOutputs(ctx, cloudformation.NewFromConfig(c), name, wanted...)
}
