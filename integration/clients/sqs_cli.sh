#!/usr/bin/env bash
# Calls the SQS API with the aws CLI, version 1 or 2, and prints OK, or what differs and exits 1.
#
# The endpoint, the credentials and the region come from the environment: AWS_ENDPOINT_URL_SQS, AWS_ACCESS_KEY_ID,
# AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION. The steps are those of sqs_boto3.py; each is a process, so there are fewer: boto3 has the
# same code beneath.
set -euo pipefail

export AWS_PAGER='' AWS_MAX_ATTEMPTS=1 # nothing is retried: an error is a finding
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

sqs() { aws --endpoint-url "$AWS_ENDPOINT_URL_SQS" --output text sqs "$@"; }

check() { # what got want
  [ "$2" = "$3" ] || { echo "$1: got '$2', want '$3'" >&2; exit 1; }
}

fails() { # what error-code command…
  local what=$1 code=$2
  shift 2
  if sqs "$@" > "$tmp/out" 2> "$tmp/err"; then
    echo "$what: no error, want $code" >&2
    exit 1
  fi
  grep -Eq "\(($code)\)" "$tmp/err" || { echo "$what: got '$(cat "$tmp/err")', want $code" >&2; exit 1; }
}

# Queues, attributes, tags.
url=$(sqs create-queue --queue-name cli --attributes VisibilityTimeout=45 --tags team=data --query QueueUrl)
check 'get URL' "$(sqs get-queue-url --queue-name cli --query QueueUrl)" "$url"
check 'list' "$(sqs list-queues --queue-name-prefix cli --query 'QueueUrls[]')" "$url"
fails 'unknown queue' 'AWS.SimpleQueueService.NonExistentQueue|QueueDoesNotExist' get-queue-url --queue-name missing
fails 'FIFO queue' 'InvalidParameterValue|AWS.SimpleQueueService.UnsupportedOperation' create-queue --queue-name cli.fifo --attributes FifoQueue=true
sqs set-queue-attributes --queue-url "$url" --attributes VisibilityTimeout=30
check 'attribute' "$(sqs get-queue-attributes --queue-url "$url" --attribute-names All --query Attributes.VisibilityTimeout)" 30
sqs tag-queue --queue-url "$url" --tags cost=42
check 'tags' "$(sqs list-queue-tags --queue-url "$url" --query '[Tags.team, Tags.cost]')" "$(printf 'data\t42')"

# One message from a file, as the README shows it, with attributes of each type.
printf '{"type":"track","userId":"ü","event":"Run Started"}' > "$tmp/event.json"
printf '{"Count":{"DataType":"Number","StringValue":"1"},"Origin":{"DataType":"String","StringValue":"client"},"Raw":{"DataType":"Binary","BinaryValue":"AAH/"}}' > "$tmp/attributes.json"
sent=$(sqs send-message --queue-url "$url" --message-body "file://$tmp/event.json" --message-attributes "file://$tmp/attributes.json" --query '[MD5OfMessageBody, MessageId]')
check 'MD5 of the body' "${sent%%$'\t'*}" "$(md5sum < "$tmp/event.json" | cut -d' ' -f1)"
case $(aws --version 2>&1) in
  aws-cli/1.*) raw=$(printf 'AAH/' | base64) ;; # version 1 sends the argument as it is
  *) raw=AAH/ ;;                                # version 2 reads it as base64; both print base64
esac
sqs receive-message --queue-url "$url" --wait-time-seconds 5 --message-attribute-names All --attribute-names All --output json > "$tmp/received.json"
check 'received' "$(python3 - "$tmp/received.json" <<'PY'
import json, sys
m, = json.load(open(sys.argv[1]))["Messages"]
a = m["MessageAttributes"]
print(m["MessageId"], m["Body"], m["Attributes"]["ApproximateReceiveCount"], a["Count"]["StringValue"], a["Origin"]["StringValue"], a["Raw"]["BinaryValue"])
PY
)" "${sent##*$'\t'} $(cat "$tmp/event.json") 1 1 client $raw"
handle=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["Messages"][0]["ReceiptHandle"])' "$tmp/received.json")
sqs change-message-visibility --queue-url "$url" --receipt-handle "$handle" --visibility-timeout 0
handle=$(sqs receive-message --queue-url "$url" --wait-time-seconds 5 --query 'Messages[0].ReceiptHandle')
sqs delete-message --queue-url "$url" --receipt-handle "$handle"

# Batches, each with an invalid entry.
check 'batch' "$(sqs send-message-batch --queue-url "$url" --entries '[{"Id":"a","MessageBody":"one"},{"Id":"bad","MessageBody":"\u0001"}]' \
  --query '[Successful[0].Id, Failed[0].Id, Failed[0].Code]')" "$(printf 'a\tbad\tInvalidMessageContents')"
handle=$(sqs receive-message --queue-url "$url" --wait-time-seconds 5 --query 'Messages[0].ReceiptHandle')
check 'delete batch' "$(sqs delete-message-batch --queue-url "$url" --entries "Id=a,ReceiptHandle=$handle" Id=bad,ReceiptHandle=nonsense \
  --query '[Successful[0].Id, Failed[0].Id, Failed[0].Code]')" "$(printf 'a\tbad\tReceiptHandleIsInvalid')"

# Dead letters and redrive.
dlq=$(sqs create-queue --queue-name cli-dead --query QueueUrl)
dlq_arn=$(sqs get-queue-attributes --queue-url "$dlq" --attribute-names QueueArn --query Attributes.QueueArn)
printf '{"RedrivePolicy":"{\\"deadLetterTargetArn\\":\\"%s\\",\\"maxReceiveCount\\":1}","VisibilityTimeout":"0"}' "$dlq_arn" > "$tmp/redrive.json"
sqs set-queue-attributes --queue-url "$url" --attributes "file://$tmp/redrive.json"
sqs send-message --queue-url "$url" --message-body poison > /dev/null
check 'received once' "$(sqs receive-message --queue-url "$url" --wait-time-seconds 5 --query 'Messages[].Body')" poison
check 'not received twice' "$(sqs receive-message --queue-url "$url" --wait-time-seconds 1 --query 'length(Messages || `[]`)')" 0
check 'dead letter' "$(sqs receive-message --queue-url "$dlq" --wait-time-seconds 5 --visibility-timeout 0 --query 'Messages[].Body')" poison
sqs set-queue-attributes --queue-url "$url" --attributes VisibilityTimeout=30
sqs start-message-move-task --source-arn "$dlq_arn" > /dev/null
check 'redriven' "$(sqs receive-message --queue-url "$url" --wait-time-seconds 5 --query 'Messages[].Body')" poison

# Delete everything.
sqs send-message --queue-url "$url" --message-body purged > /dev/null
sqs purge-queue --queue-url "$url"
check 'purged' "$(sqs get-queue-attributes --queue-url "$url" --attribute-names ApproximateNumberOfMessages --query Attributes.ApproximateNumberOfMessages)" 0
sqs delete-queue --queue-url "$url"
echo OK
