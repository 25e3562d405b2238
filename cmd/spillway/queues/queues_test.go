package queues

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/shared/publisher"
)

func TestAnErrorOfSQSSaysItsReasonFirstAndWhatToDo(t *testing.T) {
	const at = "http://nowhere.invalid/1/shop-events"
	of := func(err error) error {
		return &smithy.OperationError{ServiceID: "SQS", OperationName: "SendMessageBatch", Err: fmt.Errorf("https response error: %w", err)}
	}
	none := &publisher.SendError{Err: errors.New("no queue takes events at the moment")}
	failed := &publisher.PublishError{Failed: map[int]error{0: none, 1: &publisher.SendError{
		Err: of(&smithy.GenericAPIError{Code: "AccessDenied", Message: "no such permission"})}}}
	for _, c := range []struct {
		err  error
		want string
	}{
		{failed, "SQS answered AccessDenied for " + at + ": no such permission"},
		{of(&types.QueueDoesNotExist{}), "queue " + at + " does not exist: give another with --queue-url"},
		{fmt.Errorf("new: %w", publisher.ErrNoQueue), "queue " + at + " does not exist: give another with --queue-url"},
		{of(&url.Error{Op: "Post", URL: at, Err: &net.OpError{Op: "dial", Err: &net.DNSError{Name: "nowhere.invalid", IsNotFound: true}}}),
			"there is no host nowhere.invalid, which the queue URL " + at + " names: correct the URL"},
		{none, none.Error()},
	} {
		if got := Explain(c.err, at); got == nil || got.Error() != c.want {
			t.Errorf("%v is explained as %v, want %s", c.err, got, c.want)
		}
	}
}
