package lambda

import (
	"context"
	"time"
)

// A Queue is what an event source mapping needs of SQS. It must be safe for concurrent use.
type Queue interface {
	// Receive returns up to max messages (max is 1 to 10) as soon as there is one, and none after
	// wait (0 to 20 s). With an error it returns no messages: those that it took are delivered again
	// after the visibility timeout. It returns soon after ctx is done. SQS itself takes whole
	// seconds only: an implementation over it rounds wait down.
	//
	// MessageID and ReceiptHandle live as long as the batch, so they must not share memory with the
	// body, which is needed for a shorter time.
	Receive(ctx context.Context, max int, wait time.Duration) ([]Message, error)

	// Delete deletes 1 to 10,000 messages; an implementation over SQS sends them by ten. After an
	// error some may be left, and the mapping calls it again with all of them: deleting a message
	// that is already deleted must succeed.
	Delete(ctx context.Context, receiptHandles []string) error
}

// A Message is a message as SQS delivers it.
type Message struct {
	MessageID, ReceiptHandle, Body, MD5OfBody, MD5OfMessageAttributes string

	Attributes        map[string]string // the system attributes: SentTimestamp, ApproximateReceiveCount and so on
	MessageAttributes map[string]MessageAttribute
}

// A MessageAttribute is an attribute that the sender set. Its value is BinaryValue where DataType
// begins with "Binary", and StringValue otherwise.
type MessageAttribute struct {
	DataType, StringValue string
	BinaryValue           []byte
}
