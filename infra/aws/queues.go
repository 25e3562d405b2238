package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/jsii-runtime-go"

	"github.com/spillwayhq/spillway/infra/topology"
)

type queue struct {
	awssqs.IQueue
	key awskms.IKey // nil: SQS's own
}

// addQueues makes the topology's queues, or takes up those that an earlier stack left. Their names
// are fixed: an API finds its queue without asking, and a retained one is found again.
//
// They stay when the stack is deleted, with their policies: a queue holds events that were
// accepted. A second stack would then fail on the name that is taken, which is what the setting
// adoptQueues is for. They go when the deployment that makes them fails: nothing was accepted yet,
// and the second try would fail on their names.
func (p *pipeline) addQueues() {
	var key awskms.IKey
	if arn := p.settings.kmsKey(p.region); arn != "" {
		key = awskms.Key_FromKeyArn(p.Stack, jsii.String("Key"), jsii.String(arn))
	}
	// Those without a dead-letter queue first, because the others name them.
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
	if name == p.topology.Names.DeadLetterQueue {
		return "DeadLetterQueue"
	}
	return "EventsQueue"
}

func (p *pipeline) newQueue(q topology.Queue, key awskms.IKey) awssqs.IQueue {
	if p.settings.AdoptQueues {
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
		props.DataKeyReuse = awscdk.Duration_Hours(jsii.Number(1)) // KMS is paid by the call
	}
	if q.DeadLetterQueue != "" {
		props.DeadLetterQueue = &awssqs.DeadLetterQueue{Queue: p.queues[q.DeadLetterQueue].IQueue,
			MaxReceiveCount: jsii.Number(q.MaxReceiveCount)}
	} else {
		// By name: the queues whose dead letters it takes refer to it already, and a template's
		// references must not go round.
		var sources []awssqs.IQueue
		for _, source := range p.topology.Queues {
			if source.DeadLetterQueue == q.Name {
				sources = append(sources,
					awssqs.Queue_FromQueueArn(p.Stack, jsii.String("SourceOf"+p.queueID(q.Name)), p.arn("sqs", source.Name)))
			}
		}
		props.RedriveAllowPolicy = &awssqs.RedriveAllowPolicy{RedrivePermission: awssqs.RedrivePermission_BY_QUEUE,
			SourceQueues: &sources}
	}
	return awssqs.NewQueue(p.Stack, jsii.String(p.queueID(q.Name)), props)
}

// tlsOnly refuses whoever does not use TLS. What may be done at all, the roles say.
func (p *pipeline) tlsOnly(q topology.Queue) {
	target := p.queues[q.Name].IQueue
	policy := awssqs.NewQueuePolicy(p.Stack, jsii.String(p.queueID(q.Name)+"Policy"),
		&awssqs.QueuePolicyProps{Queues: &[]awssqs.IQueue{target}})
	policy.Document().AddStatements(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid: jsii.String("TLSOnly"), Effect: awsiam.Effect_DENY, Principals: &[]awsiam.IPrincipal{awsiam.NewAnyPrincipal()},
		Actions: jsii.Strings("sqs:*"), Resources: &[]*string{target.QueueArn()},
		Conditions: &map[string]any{"Bool": map[string]string{"aws:SecureTransport": "false"}},
	}))
	// Also when the first deployment fails: with a queue that is new it goes, and from one that was
	// taken up it must not be taken off.
	policy.ApplyRemovalPolicy(awscdk.RemovalPolicy_RETAIN)
}

// mayReceive lets the role be an event source's.
func (q queue) mayReceive(role awsiam.Role) {
	allow(role, []*string{q.QueueArn()}, "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility",
		"sqs:GetQueueAttributes")
	if q.key != nil {
		allow(role, []*string{q.key.KeyArn()}, "kms:Decrypt")
	}
}

// maySend lets the role send. SQS asks for kms:Decrypt as well, to check the key that it was given.
func (q queue) maySend(role awsiam.Role) {
	allow(role, []*string{q.QueueArn()}, "sqs:SendMessage")
	if q.key != nil {
		allow(role, []*string{q.key.KeyArn()}, "kms:GenerateDataKey", "kms:Decrypt")
	}
}
