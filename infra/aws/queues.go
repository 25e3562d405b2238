package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/jsii-runtime-go"

	"github.com/spillwayhq/spillway/infra/topology"
)

type queue struct {
	awssqs.IQueue
	key awskms.IKey // nil: SQS's own key
}

// addQueues creates the topology's queues, or adopts those that an earlier stack retained. Their
// names are fixed, so that an API knows its queue without asking, and a retained queue is found
// again.
//
// Deleting the stack retains the queues and their policies: a queue has events that were accepted.
// A second stack could not create queues with the same names, so it adopts them (adoptQueues). If
// the deployment that creates the queues fails, it deletes them: they have no events yet, and the
// next deployment would fail on their names.
func (p *pipeline) addQueues() {
	var key awskms.IKey
	if arn := p.settings.KMSKey(p.region); arn != "" {
		key = awskms.Key_FromKeyArn(p.Stack, jsii.String("Key"), jsii.String(arn))
	}
	// Dead-letter queues first, because the others refer to them.
	for _, dead := range [...]bool{true, false} {
		for _, q := range p.topology.Queues {
			if (q.DeadLetterQueue == "") == dead {
				p.queues[q.Name] = queue{p.newQueue(q, key), key}
				p.tlsOnly(q)
			}
		}
	}
}

func (p *pipeline) queueID(name string) string {
	switch name {
	case p.topology.Names.DeadLetterQueue:
		return "DeadLetterQueue"
	case p.topology.Names.BulkQueue:
		return "BulkQueue"
	}
	return "EventsQueue"
}

func (p *pipeline) newQueue(q topology.Queue, key awskms.IKey) awssqs.IQueue {
	if adopts(p.settings, p.region, q.Name, p.deployed) {
		attributes := &awssqs.QueueAttributes{QueueArn: p.arn("sqs", q.Name)}
		if key != nil {
			attributes.KeyArn = key.KeyArn()
		}
		return awssqs.Queue_FromQueueAttributes(p.Stack, jsii.String(p.queueID(q.Name)), attributes)
	}
	props := &awssqs.QueueProps{
		QueueName: jsii.String(q.Name), RetentionPeriod: seconds(q.Retention),
		VisibilityTimeout: seconds(q.VisibilityTimeout),
		Encryption:        awssqs.QueueEncryption_SQS_MANAGED, RemovalPolicy: awscdk.RemovalPolicy_RETAIN_ON_UPDATE_OR_DELETE,
	}
	if key != nil {
		props.Encryption, props.EncryptionMasterKey = awssqs.QueueEncryption_KMS, key
		props.DataKeyReuse = awscdk.Duration_Hours(jsii.Number(1)) // KMS charges for each call
	}
	if q.DeadLetterQueue != "" {
		props.DeadLetterQueue = &awssqs.DeadLetterQueue{Queue: p.queues[q.DeadLetterQueue].IQueue,
			MaxReceiveCount: jsii.Number(q.MaxReceiveCount)}
	} else {
		// By name: its source queues refer to it already, and references must not form a circle.
		var sources []awssqs.IQueue
		for _, source := range p.topology.Queues {
			if source.DeadLetterQueue == q.Name {
				sources = append(sources,
					awssqs.Queue_FromQueueArn(p.Stack, jsii.String("Source"+p.queueID(source.Name)), p.arn("sqs", source.Name)))
			}
		}
		props.RedriveAllowPolicy = &awssqs.RedriveAllowPolicy{RedrivePermission: awssqs.RedrivePermission_BY_QUEUE,
			SourceQueues: &sources}
	}
	return awssqs.NewQueue(p.Stack, jsii.String(p.queueID(q.Name)), props)
}

// tlsOnly denies every action without TLS. Roles say which actions are allowed.
func (p *pipeline) tlsOnly(q topology.Queue) {
	target := p.queues[q.Name].IQueue
	policy := awssqs.NewQueuePolicy(p.Stack, jsii.String(p.queueID(q.Name)+"Policy"),
		&awssqs.QueuePolicyProps{Queues: &[]awssqs.IQueue{target}})
	policy.Document().AddStatements(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid: jsii.String("TLSOnly"), Effect: awsiam.Effect_DENY, Principals: &[]awsiam.IPrincipal{awsiam.NewAnyPrincipal()},
		Actions: jsii.Strings("sqs:*"), Resources: &[]*string{target.QueueArn()},
		Conditions: &map[string]any{"Bool": map[string]string{"aws:SecureTransport": "false"}},
	}))
	// Also when the first deployment fails: a new queue is deleted with its policy, and an adopted
	// queue must not lose it.
	policy.ApplyRemovalPolicy(awscdk.RemovalPolicy_RETAIN)
}

// grantReceive allows the role what an event source needs.
func (q queue) grantReceive(role awsiam.Role) {
	allow(role, []*string{q.QueueArn()}, "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility",
		"sqs:GetQueueAttributes")
	if q.key != nil {
		allow(role, []*string{q.key.KeyArn()}, "kms:Decrypt")
	}
}

// grantSend allows the role to send. SQS also needs kms:Decrypt, to verify the data key.
func (q queue) grantSend(role awsiam.Role) {
	allow(role, []*string{q.QueueArn()}, "sqs:SendMessage")
	if q.key != nil {
		allow(role, []*string{q.key.KeyArn()}, "kms:GenerateDataKey", "kms:Decrypt")
	}
}

// refuseOtherQueues is an error if the deployment would put another queue in the place of one that
// the stack has.
func (p *pipeline) refuseOtherQueues() error {
	made := map[string]string{}
	for name, q := range p.queues {
		if child, isNew := q.Node().DefaultChild().(awssqs.CfnQueue); isNew {
			made[name], _ = p.Resolve(child.LogicalId()).(string)
		}
	}
	return otherQueues(p.topology.Names.Stack(p.region), p.deployed.own, made,
		func(name string) bool { return adopts(p.settings, p.region, name, p.deployed) })
}

// otherQueues compares the queues that a stack has with those that a deployment makes: logical IDs
// by the queues' names. CloudFormation can change neither of them: it would make a new queue, if no
// name is in its way, and retain the old one, of which then nothing receives.
func otherQueues(stack string, has, made map[string]string, adopts func(name string) bool) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(has)) {
		id, others := has[name], slices.Sorted(maps.Keys(made))
		i := slices.IndexFunc(others, func(other string) bool { return made[other] == id })
		var would string
		switch {
		case made[name] == id || made[name] == "" && i < 0 && adopts(name):
			continue
		case made[name] != "":
			would = fmt.Sprintf("make it anew as the resource %s; it is %s", made[name], id)
		case i >= 0:
			would = fmt.Sprintf("replace it by the queue %s", others[i])
		default:
			would = "remove it from the stack"
		}
		errs = append(errs, fmt.Errorf("%s: refused, nothing is changed: the stack has the queue %s, and this "+
			"deployment would %s. The events in it would not be delivered. Deploy the version that the stack's output %s "+
			"names, with its settings; or deploy this one beside it with -c name=ANOTHER, let senders change over, wait "+
			"until %s is empty, and delete the old stack", stack, name, would, topology.OutputVersion, name))
	}
	return errors.Join(errs...)
}
