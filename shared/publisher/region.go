package publisher

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/shared/breaker"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// A region is one region's queue.
type region struct {
	queue   *sqsclient.Sender
	url     string
	breaker *breaker.Breaker
	down    atomic.Bool // the breaker was open, and no call has succeeded since
}

// regions are in the order of preference.
type regions []*region

// firstUp returns the URL of the first queue that takes events; empty: none does.
func (all regions) firstUp() string {
	for _, r := range all {
		if !r.down.Load() {
			return r.url
		}
	}
	return ""
}

// down reports whether no queue takes events.
func (all regions) down() bool { return all.firstUp() == "" }

// callTimeout bounds the sending of one message to one region. SQS answers within tens of
// milliseconds. A call that is cancelled may have succeeded, and its message is then sent twice.
const callTimeout = 10 * time.Second

// call sends messages. failed are the errors of those that SQS did not take, by index.
func (r *region) call(ctx context.Context, ticket breaker.Ticket, messages []message.Message) (failed map[int]error,
	err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err = r.queue.Send(ctx, messages)
	failed = sqsclient.Failures(err, len(messages))
	r.breaker.Report(time.Now(), ticket,
		sqsclient.CallResult(len(failed) == len(messages), errors.Is(ctx.Err(), context.DeadlineExceeded)))
	return failed, err
}

// mayBeTaken reports whether SQS may have a message although the call that held it failed.
func mayBeTaken(err error) bool {
	var refused *sqsclient.RefusedError
	var api smithy.APIError
	var dial *net.OpError
	switch {
	case errors.As(err, &refused):
		return false
	case errors.As(err, &api):
		return api.ErrorFault() != smithy.FaultClient // an internal error says nothing about the message
	case errors.As(err, &dial) && dial.Op == "dial", errors.Is(err, syscall.ECONNREFUSED):
		return false
	}
	return true
}
