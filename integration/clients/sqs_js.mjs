// Calls the SQS API with the JavaScript SDK v3, and prints OK, or what differs and exits 1.
//
// The endpoint, the credentials and the region come from the environment: AWS_ENDPOINT_URL_SQS, AWS_ACCESS_KEY_ID,
// AWS_SECRET_ACCESS_KEY, AWS_REGION. The SDK checks the MD5 of each body itself. The steps are those of sqs_boto3.py.
import { createHash } from 'node:crypto'
import { deepStrictEqual } from 'node:assert'
import { SQS } from '@aws-sdk/client-sqs'

const sqs = new SQS({ maxAttempts: 1 }) // nothing is retried: an error is a finding

function check(what, got, want) {
  try {
    deepStrictEqual(got, want)
  } catch {
    throw new Error(`${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`)
  }
}

// failure returns the names of an error: its class, and its code in the older protocol.
async function failure(call) {
  try {
    await call
  } catch (e) {
    return [e.name, e.Error?.Code ?? e.Code ?? '']
  }
  return ['no error', '']
}

async function checkFailure(what, call, ...names) {
  const got = await failure(call)
  if (!got.some((n) => names.includes(n))) throw new Error(`${what}: got ${got}, want ${names}`)
}

const md5 = (data) => createHash('md5').update(data).digest('hex')

// md5OfAttributes is the digest that the SQS developer guide describes (message metadata, calculating the MD5).
function md5OfAttributes(attributes) {
  const sized = (part) => {
    const data = Buffer.from(part)
    const size = Buffer.alloc(4)
    size.writeUInt32BE(data.length)
    return Buffer.concat([size, data])
  }
  return md5(Buffer.concat(Object.keys(attributes).sort().flatMap((name) => {
    const a = attributes[name]
    const binary = a.DataType.startsWith('Binary')
    return [sized(name), sized(a.DataType), Buffer.from([binary ? 2 : 1]), sized(binary ? a.BinaryValue : a.StringValue)]
  })))
}

const receive = async (QueueUrl, more = {}) => (await sqs.receiveMessage({ QueueUrl, WaitTimeSeconds: 5, ...more })).Messages ?? []

// Queues and attributes.
const attributes = { VisibilityTimeout: '45', MessageRetentionPeriod: '86400', DelaySeconds: '0' }
const { QueueUrl } = await sqs.createQueue({ QueueName: 'js', Attributes: attributes, tags: { team: 'data' } })
check('create again', (await sqs.createQueue({ QueueName: 'js', Attributes: attributes })).QueueUrl, QueueUrl)
await checkFailure('create with other attributes', sqs.createQueue({ QueueName: 'js', Attributes: { VisibilityTimeout: '46' } }), 'QueueNameExists')
check('get URL', (await sqs.getQueueUrl({ QueueName: 'js' })).QueueUrl, QueueUrl)
check('list', (await sqs.listQueues({ QueueNamePrefix: 'js' })).QueueUrls, [QueueUrl])
await checkFailure('unknown queue', sqs.getQueueUrl({ QueueName: 'missing' }), 'QueueDoesNotExist')
await checkFailure('FIFO queue', sqs.createQueue({ QueueName: 'js.fifo', Attributes: { FifoQueue: 'true' } }),
  'InvalidParameterValueException', 'InvalidParameterValue', 'UnsupportedOperation')
const all = (await sqs.getQueueAttributes({ QueueUrl, AttributeNames: ['All'] })).Attributes
for (const [name, value] of Object.entries(attributes)) check(`attribute ${name}`, all[name], value)
check('attribute QueueArn', all.QueueArn.split(':').at(-1), 'js')
await sqs.setQueueAttributes({ QueueUrl, Attributes: { VisibilityTimeout: '30' } })
check('set attribute', (await sqs.getQueueAttributes({ QueueUrl, AttributeNames: ['VisibilityTimeout'] })).Attributes, { VisibilityTimeout: '30' })
await checkFailure('unknown attribute', sqs.getQueueAttributes({ QueueUrl, AttributeNames: ['Nonsense'] }), 'InvalidAttributeName')

// Tags.
await sqs.tagQueue({ QueueUrl, Tags: { cost: '42', gone: 'yes' } })
await sqs.untagQueue({ QueueUrl, TagKeys: ['gone'] })
check('tags', { ...(await sqs.listQueueTags({ QueueUrl })).Tags }, { team: 'data', cost: '42' })

// One message with attributes of each type.
check('receive from an empty queue', await receive(QueueUrl, { WaitTimeSeconds: 1 }), [])
const body = '<é> \u{1f680} "quoted"\n'
const messageAttributes = {
  'Content-Encoding': { DataType: 'String', StringValue: 'zstd' },
  'Event-Count': { DataType: 'Number', StringValue: '250' },
  Raw: { DataType: 'Binary.zstd', BinaryValue: Uint8Array.from({ length: 256 }, (_, i) => i) },
}
const sent = await sqs.sendMessage({ QueueUrl, MessageBody: body, MessageAttributes: messageAttributes })
check('MD5 of the body', sent.MD5OfMessageBody, md5(body))
check('MD5 of the attributes', sent.MD5OfMessageAttributes, md5OfAttributes(messageAttributes))
let messages = await receive(QueueUrl, { MessageAttributeNames: ['All'], MessageSystemAttributeNames: ['All'] })
check('message ids', messages.map((m) => m.MessageId), [sent.MessageId])
const [m] = messages
check('body', m.Body, body)
check('attribute names', Object.keys(m.MessageAttributes).sort(), Object.keys(messageAttributes).sort())
for (const [name, want] of Object.entries(messageAttributes)) {
  const got = m.MessageAttributes[name]
  check(`attribute ${name}`, [got.DataType, got.StringValue, got.BinaryValue && [...got.BinaryValue]],
    [want.DataType, want.StringValue, want.BinaryValue && [...want.BinaryValue]])
}
check('MD5 of the received attributes', m.MD5OfMessageAttributes, md5OfAttributes(messageAttributes))
check('receive count', m.Attributes.ApproximateReceiveCount, '1')
check('sent timestamp is in milliseconds', m.Attributes.SentTimestamp.length, 13)
const counts = (await sqs.getQueueAttributes({ QueueUrl, AttributeNames: ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'] })).Attributes
check('counts in flight', { ...counts }, { ApproximateNumberOfMessages: '0', ApproximateNumberOfMessagesNotVisible: '1' })
await sqs.changeMessageVisibility({ QueueUrl, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 0 })
messages = await receive(QueueUrl, { MessageAttributeNames: ['Event-Count'], MessageSystemAttributeNames: ['ApproximateReceiveCount'] })
check('received again', messages.map((x) => ({ ...x.Attributes })), [{ ApproximateReceiveCount: '2' }])
check('attributes asked for', Object.keys(messages[0].MessageAttributes), ['Event-Count'])
await sqs.deleteMessage({ QueueUrl, ReceiptHandle: messages[0].ReceiptHandle })
await checkFailure('delete with nonsense', sqs.deleteMessage({ QueueUrl, ReceiptHandle: 'nonsense' }), 'ReceiptHandleIsInvalid')

// Batches, each with an invalid entry.
let batch = await sqs.sendMessageBatch({ QueueUrl, Entries: [
  { Id: 'a', MessageBody: 'one' },
  { Id: 'bad', MessageBody: 'forbidden \x01' },
  { Id: 'b', MessageBody: 'two', MessageAttributes: messageAttributes },
] })
check('sent of the batch', batch.Successful.map((e) => [e.Id, e.MD5OfMessageBody]).sort(), [['a', md5('one')], ['b', md5('two')]])
check('failed of the batch', batch.Failed.map((e) => [e.Id, e.Code, e.SenderFault]), [['bad', 'InvalidMessageContents', true]])
await checkFailure('empty batch', sqs.sendMessageBatch({ QueueUrl, Entries: [] }), 'EmptyBatchRequest')
const twice = { Id: 'a', MessageBody: 'x' }
await checkFailure('ids not distinct', sqs.sendMessageBatch({ QueueUrl, Entries: [twice, twice] }), 'BatchEntryIdsNotDistinct')
messages = []
while (messages.length < 2) {
  const more = await receive(QueueUrl, { MaxNumberOfMessages: 10 })
  check('a message of the batch arrived', more.length > 0, true)
  messages.push(...more)
}
check('bodies of the batch', messages.map((x) => x.Body).sort(), ['one', 'two'])
const entries = messages.map((x, i) => ({ Id: String(i), ReceiptHandle: x.ReceiptHandle }))
batch = await sqs.changeMessageVisibilityBatch({ QueueUrl, Entries: entries.map((e) => ({ ...e, VisibilityTimeout: 60 })) })
check('visibility of the batch', batch.Successful.map((e) => e.Id).sort(), ['0', '1'])
batch = await sqs.deleteMessageBatch({ QueueUrl, Entries: [...entries, { Id: 'bad', ReceiptHandle: 'nonsense' }] })
check('deleted of the batch', batch.Successful.map((e) => e.Id).sort(), ['0', '1'])
check('not deleted of the batch', batch.Failed.map((e) => [e.Id, e.Code]), [['bad', 'ReceiptHandleIsInvalid']])

// Dead letters and redrive.
const dlq = (await sqs.createQueue({ QueueName: 'js-dead' })).QueueUrl
const arnOf = async (url) => (await sqs.getQueueAttributes({ QueueUrl: url, AttributeNames: ['QueueArn'] })).Attributes.QueueArn
const [arn, dlqArn] = [await arnOf(QueueUrl), await arnOf(dlq)]
await sqs.setQueueAttributes({ QueueUrl, Attributes: {
  RedrivePolicy: JSON.stringify({ deadLetterTargetArn: dlqArn, maxReceiveCount: 1 }), VisibilityTimeout: '0' } })
check('sources of the dead letters', (await sqs.listDeadLetterSourceQueues({ QueueUrl: dlq })).queueUrls, [QueueUrl])
const poison = await sqs.sendMessage({ QueueUrl, MessageBody: 'poison' })
check('received once', (await receive(QueueUrl)).map((x) => x.Body), ['poison'])
check('not received twice', await receive(QueueUrl, { WaitTimeSeconds: 1 }), [])
const moved = await receive(dlq, { MessageSystemAttributeNames: ['DeadLetterQueueSourceArn'], VisibilityTimeout: 0 })
check('dead letter', moved.map((x) => [x.MessageId, x.Attributes.DeadLetterQueueSourceArn]), [[poison.MessageId, arn]])
await sqs.setQueueAttributes({ QueueUrl, Attributes: { VisibilityTimeout: '30' } })
check('task handle is there', Boolean((await sqs.startMessageMoveTask({ SourceArn: dlqArn })).TaskHandle), true)
check('redriven', (await receive(QueueUrl)).map((x) => x.Body), ['poison'])
check('move task', (await sqs.listMessageMoveTasks({ SourceArn: dlqArn })).Results.map((x) => x.SourceArn), [dlqArn])
check('move from a queue that is no dead-letter queue is refused', (await failure(sqs.startMessageMoveTask({ SourceArn: arn })))[0] !== 'no error', true)

// Delete everything.
await sqs.sendMessage({ QueueUrl, MessageBody: 'purged' })
await sqs.purgeQueue({ QueueUrl })
check('purged', (await sqs.getQueueAttributes({ QueueUrl, AttributeNames: ['ApproximateNumberOfMessages'] })).Attributes.ApproximateNumberOfMessages, '0')
await checkFailure('purge again at once', sqs.purgeQueue({ QueueUrl }), 'PurgeQueueInProgress')
await sqs.deleteQueue({ QueueUrl })
await sqs.deleteQueue({ QueueUrl: dlq })
await checkFailure('deleted', sqs.getQueueUrl({ QueueName: 'js' }), 'QueueDoesNotExist')
console.log('OK')
