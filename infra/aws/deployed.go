package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cftypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/infra/settings"
	"github.com/spillwayhq/spillway/infra/topology"
)

// askTimeout limits the calls to AWS, which run while the functions are built: without a network
// nothing shall wait for them.
const askTimeout = 5 * time.Second

// A deployed is what AWS has of one region's pipeline, before this deployment changes it.
type deployed struct {
	err      error             // why AWS could not be asked; the rest is empty then
	stack    bool              // there is a stack
	settings map[string]string // that it was deployed with; nil: there is no stack, or it keeps none
	own      map[string]string // the logical IDs of the queues that are its resources, by the queues' names
	// retained are the attributes of the queues that exist and are not the stack's: an earlier one
	// left them.
	retained map[string]map[string]string
}

// errNotAsked is the error of a region that AWS was not asked about.
var errNotAsked = errors.New("AWS was not asked")

// ask asks AWS about the pipeline in each region. account is the one that the CDK deploys to;
// empty: that of the credentials.
func ask(ctx context.Context, account string, names topology.Names, regions []string) map[string]deployed {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	found := map[string]deployed{}
	config, err := credentials(ctx, account, regions)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, region := range regions {
		wg.Go(func() {
			d := deployed{err: err}
			if err == nil {
				d = askRegion(ctx, config, names, region)
			}
			mu.Lock()
			defer mu.Unlock()
			found[region] = d
		})
	}
	wg.Wait()
	return found
}

// credentials loads the configuration of the AWS tools, whose credentials must be those of the
// account. The CDK does not hand its --profile on to the app.
func credentials(ctx context.Context, account string, regions []string) (aws.Config, error) {
	c, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRetryMaxAttempts(2), awsconfig.WithRegion(regions[0]))
	if err != nil {
		return c, fmt.Errorf("load the AWS configuration: %w", err)
	}
	if _, err := c.Credentials.Retrieve(ctx); err != nil {
		return c, errors.New("no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY " +
			"(the CDK's --profile does not reach this program)")
	}
	caller, err := sts.NewFromConfig(c).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	switch {
	case err != nil:
		return c, fmt.Errorf("ask whose the AWS credentials are: %w", err)
	case account != "" && aws.ToString(caller.Account) != account:
		return c, fmt.Errorf("the AWS credentials are those of account %s, and the CDK deploys to %s: set AWS_PROFILE "+
			"in place of --profile", aws.ToString(caller.Account), account)
	}
	return c, nil
}

func askRegion(ctx context.Context, c aws.Config, names topology.Names, region string) deployed {
	c.Region = region
	stacks := cloudformation.NewFromConfig(c)
	var d deployed
	if d.stack, d.settings, d.err = readSettingsOf(ctx, stacks, names.Stack(region)); d.err != nil {
		return deployed{err: d.err}
	}
	if d.stack {
		if d.own, d.err = ownQueues(ctx, stacks, names.Stack(region)); d.err != nil {
			return deployed{err: d.err}
		}
	}
	d.retained = map[string]map[string]string{}
	queues := sqs.NewFromConfig(c)
	for _, name := range names.Queues() {
		attributes, err := attributesOf(ctx, queues, name)
		_, own := d.own[name]
		switch {
		case err != nil:
			return deployed{err: err}
		case attributes != nil && !own:
			d.retained[name] = attributes
		}
	}
	return d
}

// readSettingsOf reads the settings that a stack keeps in its output.
func readSettingsOf(ctx context.Context, api cloudformation.DescribeStacksAPIClient,
	stack string) (exists bool, settings map[string]string, err error) {
	found, err := api.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &stack})
	var refused smithy.APIError
	switch {
	case errors.As(err, &refused) && refused.ErrorCode() == "ValidationError": // CloudFormation's way to say not found
		return false, nil, nil
	case err != nil:
		return false, nil, fmt.Errorf("read the outputs of stack %s: %w", stack, err)
	}
	for _, s := range found.Stacks {
		// A stack that was never made, or whose first deployment failed: it has nothing.
		if s.StackStatus == cftypes.StackStatusReviewInProgress || s.StackStatus == cftypes.StackStatusRollbackComplete {
			return false, nil, nil
		}
		for _, o := range s.Outputs {
			if aws.ToString(o.OutputKey) != topology.OutputSettings {
				continue
			}
			if err := json.Unmarshal([]byte(aws.ToString(o.OutputValue)), &settings); err != nil {
				return true, nil, fmt.Errorf("read the output %s of stack %s: %w", topology.OutputSettings, stack, err)
			}
		}
	}
	return true, settings, nil
}

// ownQueues are the logical IDs of the queues that are a stack's own resources, by their names.
func ownQueues(ctx context.Context, api cloudformation.ListStackResourcesAPIClient,
	stack string) (map[string]string, error) {
	own := map[string]string{}
	pages := cloudformation.NewListStackResourcesPaginator(api,
		&cloudformation.ListStackResourcesInput{StackName: &stack})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list the resources of stack %s: %w", stack, err)
		}
		for _, r := range page.StackResourceSummaries {
			gone := r.ResourceStatus == cftypes.ResourceStatusDeleteComplete ||
				r.ResourceStatus == cftypes.ResourceStatusDeleteSkipped
			if aws.ToString(r.ResourceType) == "AWS::SQS::Queue" && !gone {
				url := aws.ToString(r.PhysicalResourceId)
				own[url[strings.LastIndex(url, "/")+1:]] = aws.ToString(r.LogicalResourceId)
			}
		}
	}
	return own, nil
}

// attributesOf are the attributes of the queue with that name; nil: there is none.
func attributesOf(ctx context.Context, api *sqs.Client, name string) (map[string]string, error) {
	url, err := api.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name})
	var none *sqstypes.QueueDoesNotExist
	switch {
	case errors.As(err, &none):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("look for the queue %s: %w", name, err)
	}
	got, err := api.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: url.QueueUrl,
		AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameAll}})
	if err != nil {
		return nil, fmt.Errorf("read the attributes of the queue %s: %w", name, err)
	}
	return got.Attributes, nil
}

// adopts reports whether the stack of that region uses a queue that exists, instead of creating it.
func adopts(s *settings.Settings, region, queue string, d deployed) bool {
	_, retained := d.retained[queue]
	switch s.AdoptQueues {
	case settings.AdoptAuto:
		return retained
	case settings.AdoptAll:
		return retained || d.err != nil
	}
	// A stack of a version before the bulk queue has left none.
	none := queue == s.Topology().Names.BulkQueue && d.err == nil && !retained
	return slices.Contains(s.AdoptRegions(), region) && !none
}

// tell writes what a deployment of these settings changes of what is deployed in a region.
func tell(w io.Writer, s *settings.Settings, region string, d deployed) {
	t := s.Topology()
	stack := t.Names.Stack(region)
	if d.err != nil {
		fmt.Fprintf(w, "%s: what is deployed is not known, so nothing is compared, and adoptQueues=%s %s: %v\n", stack,
			s.AdoptQueues, unaided(s, region), d.err)
		return
	}
	if d.stack {
		s.Compare(w, stack, d.settings)
	}
	for _, q := range t.Queues {
		if !adopts(s, region, q.Name, d) {
			continue
		}
		if _, ok := d.retained[q.Name]; !ok {
			fmt.Fprintf(w, "%s adopts the queue %s, as adoptQueues=%s says, but AWS has no such queue outside of the stack\n",
				stack, q.Name, s.AdoptQueues)
			continue
		}
		fmt.Fprintf(w, "%s adopts the queue %s, which exists outside of it\n", stack, q.Name)
		if has := d.retained[q.Name]; q.DeadLetterQueue == "" && !t.Permits(q.Name, has) {
			attributes, _ := json.Marshal(map[string]string{"RedriveAllowPolicy": t.RedriveAllowPolicy(q.Name, has["QueueArn"])})
			fmt.Fprintf(w, "  it does not take the dead letters of all queues, and the deployment fails: first %s\n",
				setAttributes(region, q.Name, attributes))
		}
		if differ := q.Differing(d.retained[q.Name]); len(differ) > 0 {
			attributes, _ := json.Marshal(differ) // a map of strings: it can't fail
			fmt.Fprintf(w, "  its attributes are not this version's, and a stack does not change those of an adopted queue: "+
				"%s\n", setAttributes(region, q.Name, attributes))
		}
	}
}

// setAttributes is the command that sets attributes of a queue.
func setAttributes(region, queue string, attributes []byte) string {
	return fmt.Sprintf("aws sqs set-queue-attributes --region %s --queue-url $(aws sqs get-queue-url --region %[1]s "+
		"--queue-name %s --output text) --attributes '%s'", region, queue, attributes)
}

// unaided says what adoptQueues does where AWS can't be asked.
func unaided(s *settings.Settings, region string) string {
	if adopts(s, region, "", deployed{err: errNotAsked}) {
		return "adopts all queues"
	}
	return "adopts no queue"
}
