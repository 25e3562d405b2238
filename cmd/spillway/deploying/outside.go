package deploying

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/shared/signed"
	"github.com/spillwayhq/spillway/shared/ssm"
)

// adopt asks which of the pipeline's queues exist outside of the stack, as those that a deleted stack
// retained, and reports whether the deployment uses them.
func (d *Deployment) adopt(ctx context.Context, s *stack, exists bool) (bool, error) {
	var own []string
	if exists {
		urls, err := d.stacks.resources(ctx, s.ID, "AWS::SQS::Queue")
		if err != nil {
			return false, err
		}
		for _, url := range urls {
			own = append(own, url[strings.LastIndexByte(url, '/')+1:])
		}
	}
	var outside []string
	for _, name := range d.Queues {
		if slices.Contains(own, name) {
			continue
		}
		is, err := d.queueExists(ctx, name)
		if deployed.Denied(err) {
			fmt.Fprintf(d.Out, "Note: %s. If a deleted stack has retained this queue, the deployment fails on its name.\n",
				terminal.OneLine(err.Error()))
			return false, nil
		} else if err != nil {
			return false, err
		}
		if is {
			outside = append(outside, name)
		}
	}
	adopt, err := adopts(d.AdoptQueues, d.Config.Region, d.Queues, outside)
	if adopt {
		fmt.Fprintf(d.Out, "%s adopts the queues %s, which exist outside of it. It does not change their attributes: "+
			"`spillway doctor --name %s` says whether they are this version's.\n", d.Stack, strings.Join(outside, ", "), d.Pipeline)
	}
	return adopt, err
}

// adopts decides by the setting adoptQueues if a stack uses the queues that exist outside of it.
func adopts(setting, region string, queues, outside []string) (bool, error) {
	all := strings.Join(outside, ", ")
	wanted := setting == "auto" || setting == "true"
	named := slices.Contains(strings.Split(setting, ","), region)
	switch {
	case len(outside) == 0 && named:
		return false, fmt.Errorf("adoptQueues=%s: AWS has no queue of this pipeline outside of the stack in %s", setting,
			region)
	case len(outside) == 0:
		return false, nil
	case !wanted && !named:
		return false, fmt.Errorf("refused, nothing is changed: the queue %s exists already, so that the stack can't "+
			"make it, and adoptQueues=%s says not to use it. Leave adoptQueues out, or delete the queue, which deletes its events", all, setting)
	case len(outside) < len(queues):
		return false, fmt.Errorf("refused, nothing is changed: the queue %s exists outside of the stack, and others "+
			"of %s do not. A release adopts all of them or none; the CDK can adopt each by itself (docs/deploy.md)", all,
			strings.Join(queues, ", "))
	}
	return true, nil
}

func (d *Deployment) queueExists(ctx context.Context, name string) (bool, error) {
	client := signed.SQS(d.Config)
	var err error
	for attempt := range 3 {
		if attempt > 0 && !signed.Pause(ctx, backoff, attempt) {
			return false, context.Cause(ctx)
		}
		err = client.Call(ctx, "AmazonSQS.GetQueueUrl", struct{ QueueName string }{name}, nil)
		code, _ := codeOf(err)
		switch {
		case err == nil:
			return true, nil
		case ctx.Err() != nil:
			return false, context.Cause(ctx)
		case strings.HasSuffix(code, "QueueDoesNotExist"), strings.HasSuffix(code, "NonExistentQueue"):
			return false, nil
		case !d.stacks.retryer.IsErrorRetryable(err):
			return false, deployed.Explain(err, "look for the queue "+name, "sqs:GetQueueUrl")
		}
	}
	return false, deployed.Explain(err, "look for the queue "+name, "sqs:GetQueueUrl")
}

// tellMissingParameters says which parameters of SSM do not exist yet. The deployment goes on without
// them: messages wait in the queue, and alarms say so.
func (d *Deployment) tellMissingParameters(ctx context.Context) error {
	client := ssm.New(d.Config)
	for _, name := range d.Parameters {
		_, err := client.GetParameter(ctx, name, false)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case ssm.NotFound(err):
			fmt.Fprintf(d.Out, "Note: the parameter %s does not exist in %s, which the functions read once a minute. "+
				"Make it: aws ssm put-parameter --region %[2]s --type SecureString --name %[1]s --value …\n", name, d.Config.Region)
		case err != nil:
			fmt.Fprintf(d.Out, "Note: %s\n", terminal.OneLine(deployed.Explain(err, "look for the parameter "+name,
				"ssm:GetParameter").Error()))
		}
	}
	return nil
}
