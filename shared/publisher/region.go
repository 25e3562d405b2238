package publisher

import (
	"errors"
	"net"
	"syscall"

	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/shared/sqsclient"
)

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
