package stack

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/spf13/pflag"

	"github.com/spillwayhq/spillway/infra/topology"
)

// Flags name a pipeline on AWS.
type Flags struct {
	set         *pflag.FlagSet
	name, stack string
}

// Register adds the flags.
func (f *Flags) Register(set *pflag.FlagSet) {
	f.set = set
	set.StringVar(&f.name, "name", "", "`name` of a pipeline on AWS, like "+topology.DefaultNames().Pipeline+
		"; its stack is NAME-REGION, in the region of the AWS tools")
	set.StringVar(&f.stack, "stack", "", "CloudFormation `stack` of a pipeline on AWS, in place of --name")
}

// Given reports whether a pipeline on AWS is named. An empty name counts, so that a variable that
// is not set in a shell does not select the local pipeline.
func (f *Flags) Given() bool { return f.set.Changed("name") || f.set.Changed("stack") }

// Find reads the outputs of the pipeline's stack. It also returns the configuration for AWS.
func (f *Flags) Find(ctx context.Context) (Stack, aws.Config, error) {
	names, err := topology.NewNames(f.name)
	switch {
	case f.set.Changed("name") && f.set.Changed("stack"):
		return Stack{}, aws.Config{}, errors.New("--name and --stack both name the stack: remove one of them")
	case f.set.Changed("name") && err != nil:
		return Stack{}, aws.Config{}, fmt.Errorf("--name: %w", err)
	}
	c, err := Config(ctx)
	if err != nil {
		return Stack{}, c, err
	}
	stack := f.stack
	if f.set.Changed("name") {
		stack = names.Stack(c.Region)
	}
	s, err := find(ctx, cloudformation.NewFromConfig(c), stack)
	return s, c, err
}
