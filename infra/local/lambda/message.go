package lambda

import (
	"context"
	"time"
)

// A Queue is what an event source mapping needs of SQS. Its methods are called concurrently.
type Queue interface {
	// Receive returns between 0 and max messages (max is 1 to 10), as soon as there is one, and
	// waits up to wait (0 to 20 s) for it. With an error it returns no messages: what it received
	// comes back after the visibility timeout. It returns soon after ctx is done. SQS itself knows
	// whole seconds only: an implementation over it rounds wait down.
	//
	// The strings of a message live as long as its batch: MessageID and ReceiptHandle must not be
	// slices of a text that holds the body too, or the body lives as long as they do.
	Receive(ctx context.Context, max int, wait time.Duration) ([]Message, error)

	// Delete deletes messages, however many (1 to the batch size, 10,000): an implementation over
	// SQS sends them by ten. An error says that some may be left; all of them are then deleted
	// again, which must succeed for those that are gone.
	Delete(ctx context.Context, receiptHandles []string) error
}

// A Message is a message as SQS hands it out.
type Message struct {
	MessageID, ReceiptHandle, Body, MD5OfBody, MD5OfMessageAttributes string

	Attributes        map[string]string // the system attributes: SentTimestamp, ApproximateReceiveCount and so on
	MessageAttributes map[string]MessageAttribute
}

// A MessageAttribute is an attribute that the sender gave. A DataType that begins with "Binary"
// says that BinaryValue is its value, any other that StringValue is.
type MessageAttribute struct {
	DataType, StringValue string
	BinaryValue           []byte
}
