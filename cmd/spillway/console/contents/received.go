package contents

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/shared/deadletter"
)

// asReceived returns a message as the SDK would return it after a receive; nil if it has gone or
// can't be read.
func asReceived(m *sqs.Seen) *deadletter.Received {
	if m.Err != nil || m.Gone {
		return nil
	}
	in := types.Message{MessageId: aws.String(m.MessageID), Body: aws.String(m.Body), Attributes: m.Attributes}
	if len(m.MessageAttributes) > 0 {
		in.MessageAttributes = make(map[string]types.MessageAttributeValue, len(m.MessageAttributes))
	}
	for name, a := range m.MessageAttributes {
		v := types.MessageAttributeValue{DataType: aws.String(a.DataType)}
		if a.BinaryValue != nil {
			v.BinaryValue = a.BinaryValue
		} else {
			v.StringValue = aws.String(a.StringValue)
		}
		in.MessageAttributes[name] = v
	}
	return deadletter.Parse(&in)
}
