"""Calls the SQS API with boto3, and prints OK, or what differs and exits 1. Where boto3 is missing, or speaks the Query
protocol as versions before November 2023 do, it exits 3.

The endpoint, the credentials and the region come from the environment: AWS_ENDPOINT_URL_SQS, AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_REGION (older ones read AWS_DEFAULT_REGION). The steps are those of sqs_js.mjs and sqs_cli.sh.
"""
import hashlib
import json
import os
import struct
import sys

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import ClientError
except ImportError as e:
    print(e)
    sys.exit(3)

# endpoint_url is given because boto3 before 1.28 doesn't read AWS_ENDPOINT_URL_SQS. Nothing is retried: an error is a finding.
sqs = boto3.client("sqs", endpoint_url=os.environ["AWS_ENDPOINT_URL_SQS"], config=Config(retries={"max_attempts": 0}))
protocol = sqs.meta.service_model.metadata["protocol"]
if protocol != "json":
    print(f"too old: it speaks the {protocol} protocol")
    sys.exit(3)


def check(what, got, want):
    if got != want:
        sys.exit(f"{what}: got {got!r}, want {want!r}")


def error_code(call, **arguments):
    try:
        call(**arguments)
    except ClientError as e:
        return e.response["Error"]["Code"]
    return "no error"


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def md5_of_attributes(attributes):
    """The digest that the SQS developer guide describes (message metadata, calculating the MD5)."""
    out = b""
    for name in sorted(attributes):
        a = attributes[name]
        binary = a["DataType"].startswith("Binary")
        value = a["BinaryValue"] if binary else a["StringValue"].encode()
        for part in (name.encode(), a["DataType"].encode()):
            out += struct.pack(">I", len(part)) + part
        out += (b"\x02" if binary else b"\x01") + struct.pack(">I", len(value)) + value
    return hashlib.md5(out).hexdigest()


def receive(url, **more):
    return sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5, **more).get("Messages", [])


# Queues and attributes.
attributes = {"VisibilityTimeout": "45", "MessageRetentionPeriod": "86400", "DelaySeconds": "0"}
url = sqs.create_queue(QueueName="boto3", Attributes=attributes, tags={"team": "data"})["QueueUrl"]
check("create again", sqs.create_queue(QueueName="boto3", Attributes=attributes)["QueueUrl"], url)
check("create with other attributes", error_code(sqs.create_queue, QueueName="boto3", Attributes={"VisibilityTimeout": "46"}), "QueueAlreadyExists")
check("get URL", sqs.get_queue_url(QueueName="boto3")["QueueUrl"], url)
check("list", sqs.list_queues(QueueNamePrefix="boto")["QueueUrls"], [url])
check("unknown queue", error_code(sqs.get_queue_url, QueueName="missing"), "AWS.SimpleQueueService.NonExistentQueue")
try:
    sqs.send_message(QueueUrl=url.replace("boto3", "missing"), MessageBody="x")
    sys.exit("send to an unknown queue: no error")
except sqs.exceptions.QueueDoesNotExist:
    pass
check("FIFO queue", error_code(sqs.create_queue, QueueName="boto3.fifo", Attributes={"FifoQueue": "true"}) in
      ("InvalidParameterValue", "AWS.SimpleQueueService.UnsupportedOperation"), True)
got = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
for name, value in attributes.items():
    check(f"attribute {name}", got[name], value)
check("attribute QueueArn", got["QueueArn"].split(":")[-1], "boto3")
sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "30"})
check("set attribute", sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])["Attributes"], {"VisibilityTimeout": "30"})
check("unknown attribute", error_code(sqs.get_queue_attributes, QueueUrl=url, AttributeNames=["Nonsense"]), "InvalidAttributeName")

# Tags.
sqs.tag_queue(QueueUrl=url, Tags={"cost": "42", "gone": "yes"})
sqs.untag_queue(QueueUrl=url, TagKeys=["gone"])
check("tags", sqs.list_queue_tags(QueueUrl=url)["Tags"], {"team": "data", "cost": "42"})

# One message with attributes of each type.
check("receive from an empty queue", sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages", []), [])
body = "<é> \U0001f680 \"quoted\"\n"
message_attributes = {
    "Content-Encoding": {"DataType": "String", "StringValue": "zstd"},
    "Event-Count": {"DataType": "Number", "StringValue": "250"},
    "Raw": {"DataType": "Binary.zstd", "BinaryValue": bytes(range(256))},
}
sent = sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=message_attributes)
check("MD5 of the body", sent["MD5OfMessageBody"], md5(body))
check("MD5 of the attributes", sent["MD5OfMessageAttributes"], md5_of_attributes(message_attributes))
messages = receive(url, MessageAttributeNames=["All"], AttributeNames=["All"])
check("messages received", len(messages), 1)
m = messages[0]
check("message id", m["MessageId"], sent["MessageId"])
check("body", m["Body"], body)
check("attributes", m["MessageAttributes"], message_attributes)
check("MD5 of the received attributes", m["MD5OfMessageAttributes"], md5_of_attributes(message_attributes))
check("receive count", m["Attributes"]["ApproximateReceiveCount"], "1")
check("sent timestamp is in milliseconds", len(m["Attributes"]["SentTimestamp"]), 13)
got = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"])["Attributes"]
check("counts in flight", got, {"ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesNotVisible": "1"})
sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=m["ReceiptHandle"], VisibilityTimeout=0)
messages = receive(url, MessageAttributeNames=["Event-Count"], AttributeNames=["ApproximateReceiveCount"])
check("received again", [m["Attributes"] for m in messages], [{"ApproximateReceiveCount": "2"}])
check("attributes asked for", list(messages[0]["MessageAttributes"]), ["Event-Count"])
sqs.delete_message(QueueUrl=url, ReceiptHandle=messages[0]["ReceiptHandle"])
check("visibility of a deleted message", error_code(sqs.change_message_visibility, QueueUrl=url, ReceiptHandle=messages[0]["ReceiptHandle"],
                                                    VisibilityTimeout=9), "InvalidParameterValue")
got = sqs.change_message_visibility_batch(QueueUrl=url, Entries=[{"Id": "gone", "ReceiptHandle": messages[0]["ReceiptHandle"], "VisibilityTimeout": 9}])
check("visibility of a deleted message in a batch", [(e["Id"], e["Code"]) for e in got["Failed"]], [("gone", "ReceiptHandleIsInvalid")])
check("empty group id", error_code(sqs.send_message, QueueUrl=url, MessageBody="x", MessageGroupId=""), "InvalidParameterValue")
check("delete with nonsense", error_code(sqs.delete_message, QueueUrl=url, ReceiptHandle="nonsense"), "ReceiptHandleIsInvalid")

# Batches, each with an invalid entry.
got = sqs.send_message_batch(QueueUrl=url, Entries=[
    {"Id": "a", "MessageBody": "one"},
    {"Id": "bad", "MessageBody": "forbidden \x01"},
    {"Id": "b", "MessageBody": "two", "MessageAttributes": message_attributes},
])
check("sent of the batch", sorted((e["Id"], e["MD5OfMessageBody"]) for e in got["Successful"]), [("a", md5("one")), ("b", md5("two"))])
check("failed of the batch", [(e["Id"], e["Code"], e["SenderFault"]) for e in got["Failed"]], [("bad", "InvalidMessageContents", True)])
check("empty batch", error_code(sqs.send_message_batch, QueueUrl=url, Entries=[]), "AWS.SimpleQueueService.EmptyBatchRequest")
check("ids not distinct", error_code(sqs.send_message_batch, QueueUrl=url, Entries=[{"Id": "a", "MessageBody": "x"}] * 2),
      "AWS.SimpleQueueService.BatchEntryIdsNotDistinct")
messages = []
while len(messages) < 2:
    more = receive(url, MaxNumberOfMessages=10)
    check("a message of the batch arrived", len(more) > 0, True)
    messages += more
check("bodies of the batch", sorted(m["Body"] for m in messages), ["one", "two"])
entries = [{"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]} for i, m in enumerate(messages)]
got = sqs.change_message_visibility_batch(QueueUrl=url, Entries=[dict(e, VisibilityTimeout=60) for e in entries])
check("visibility of the batch", sorted(e["Id"] for e in got["Successful"]), ["0", "1"])
got = sqs.delete_message_batch(QueueUrl=url, Entries=entries + [{"Id": "bad", "ReceiptHandle": "nonsense"}])
check("deleted of the batch", sorted(e["Id"] for e in got["Successful"]), ["0", "1"])
check("not deleted of the batch", [(e["Id"], e["Code"]) for e in got["Failed"]], [("bad", "ReceiptHandleIsInvalid")])

# Dead letters and redrive.
dlq = sqs.create_queue(QueueName="boto3-dead")["QueueUrl"]
arns = {u: sqs.get_queue_attributes(QueueUrl=u, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"] for u in (url, dlq)}
sqs.set_queue_attributes(QueueUrl=url, Attributes={
    "RedrivePolicy": json.dumps({"deadLetterTargetArn": arns[dlq], "maxReceiveCount": "1"}), "VisibilityTimeout": "0"})
check("sources of the dead letters", sqs.list_dead_letter_source_queues(QueueUrl=dlq)["queueUrls"], [url])
sent = sqs.send_message(QueueUrl=url, MessageBody="poison")
check("received once", [m["Body"] for m in receive(url)], ["poison"])
check("not received twice", sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages", []), [])
moved = receive(dlq, AttributeNames=["DeadLetterQueueSourceArn"], VisibilityTimeout=0)
check("dead letter", [(m["MessageId"], m["Attributes"]["DeadLetterQueueSourceArn"]) for m in moved], [(sent["MessageId"], arns[url])])
sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "30"})
check("task handle is there", bool(sqs.start_message_move_task(SourceArn=arns[dlq])["TaskHandle"]), True)
check("redriven", [m["Body"] for m in receive(url)], ["poison"])
tasks = sqs.list_message_move_tasks(SourceArn=arns[dlq])["Results"]
check("move task", (len(tasks), tasks[0]["SourceArn"]), (1, arns[dlq]))
check("move from a queue that is no dead-letter queue", error_code(sqs.start_message_move_task, SourceArn=arns[url]) != "no error", True)

# Delete everything.
sqs.send_message(QueueUrl=url, MessageBody="purged")
sqs.purge_queue(QueueUrl=url)
got = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
check("purged", got, {"ApproximateNumberOfMessages": "0"})
try:
    sqs.purge_queue(QueueUrl=url)
    sys.exit("purge again at once: no error")
except sqs.exceptions.PurgeQueueInProgress as e:
    check("status of a purge again at once", e.response["ResponseMetadata"]["HTTPStatusCode"], 403)
sqs.delete_queue(QueueUrl=url)
sqs.delete_queue(QueueUrl=dlq)
check("deleted", error_code(sqs.get_queue_url, QueueName="boto3"), "AWS.SimpleQueueService.NonExistentQueue")
print("OK")
