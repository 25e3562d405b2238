package sqs

import (
	"errors"
	"fmt"
	"net/http"
	"syscall"
)

// apiError is an error answer. Clients of the JSON protocol match its shape; code is its name in the
// older Query protocol, which the SDKs report.
type apiError struct {
	status  int
	shape   string
	code    string
	message string
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

const (
	sqsShape   = "com.amazonaws.sqs#"
	coralShape = "com.amazon.coral.service#"
	sqsCode    = "AWS.SimpleQueueService."
)

func clientError(shape, code, format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, shape, code, fmt.Sprintf(format, args...)}
}

func errNoSuchQueue() *apiError {
	return clientError(sqsShape+"QueueDoesNotExist", sqsCode+"NonExistentQueue", "The specified queue does not exist.")
}

func errQueueExists(attribute string) *apiError {
	return clientError(sqsShape+"QueueNameExists", "QueueAlreadyExists",
		"A queue already exists with the same name and a different value for attribute %s", attribute)
}

func errInvalidParameter(format string, args ...any) *apiError {
	return clientError(coralShape+"InvalidParameterValueException", "InvalidParameterValue", format, args...)
}

func errMissingParameter(name string) *apiError {
	return clientError(coralShape+"MissingRequiredParameterException", "MissingParameter",
		"The request must contain the parameter %s.", name)
}

func errInvalidAttributeName(name string) *apiError {
	return clientError(sqsShape+"InvalidAttributeName", "InvalidAttributeName", "Unknown Attribute %s.", name)
}

func errInvalidAttributeValue(format string, args ...any) *apiError {
	return clientError(sqsShape+"InvalidAttributeValue", "InvalidAttributeValue", format, args...)
}

func errUnsupported(format string, args ...any) *apiError {
	return clientError(sqsShape+"UnsupportedOperation", sqsCode+"UnsupportedOperation", format, args...)
}

func errInvalidAction(action string) *apiError {
	return clientError(coralShape+"InvalidAction", "InvalidAction",
		"The action %q is not valid for this endpoint.", action)
}

func errSerialization(format string, args ...any) *apiError {
	return clientError(coralShape+"SerializationException", "SerializationException", format, args...)
}

func errReceiptHandle(h string) *apiError {
	return clientError(sqsShape+"ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid",
		"The input receipt handle %q is not a valid receipt handle.", h)
}

func errTooMany(format string, args ...any) *apiError {
	return &apiError{http.StatusForbidden, sqsShape + "OverLimit", "OverLimit", fmt.Sprintf(format, args...)}
}

func errOverLimit(limit int) *apiError {
	return errTooMany("Too many messages in flight: %d messages of this queue were received and not deleted.", limit)
}

func errPurgeInProgress(queue string) *apiError {
	return &apiError{http.StatusForbidden, sqsShape + "PurgeQueueInProgress", sqsCode + "PurgeQueueInProgress",
		fmt.Sprintf("Only one PurgeQueue operation on %s is allowed every 60 seconds.", queue)}
}

const allowedRunes = "#x9 | #xA | #xD | [#x20-#xD7FF] | [#xE000-#xFFFD] | [#x10000-#x10FFFF]"

func errInvalidContents(r rune) *apiError {
	return clientError(sqsShape+"InvalidMessageContents", "InvalidMessageContents",
		"Invalid binary character '#x%X' was found in the message body, the set of allowed characters is "+
			allowedRunes, r)
}

func errNotFound(message string) *apiError {
	return &apiError{http.StatusNotFound, sqsShape + "ResourceNotFoundException", "ResourceNotFoundException", message}
}

func errResourceNotFound(parameter string) *apiError {
	return errNotFound("The resource that you specified for the " + parameter + " parameter doesn't exist.")
}

func errBatch(name, format string, args ...any) *apiError {
	return clientError(sqsShape+name, sqsCode+name, format, args...)
}

// errUnavailable is an error that the SDKs retry with backoff.
func errUnavailable(format string, args ...any) *apiError {
	return &apiError{http.StatusServiceUnavailable, sqsShape + "ServiceUnavailable", "ServiceUnavailable",
		fmt.Sprintf(format, args...)}
}

// errRefused is an error of a message that was not stored, which the SDKs retry with backoff too.
// Unlike errUnavailable, they take it for an answer: the sender knows that the queue does not have
// the message.
func errRefused(format string, args ...any) *apiError {
	return clientError(sqsShape+"RequestThrottled", "RequestThrottled", format, args...)
}

// storeError makes the answer of a failed write: the sender tries again and is told why.
func storeError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return errRefused("disk full: %v; messages can be received and deleted, sends are refused until there is room",
			err)
	case errors.Is(err, syscall.EFBIG):
		return errRefused("the limit of the process for the size of a file (ulimit -f) is too small: %v", err)
	}
	return errUnavailable("%v", err)
}

// asAPIError makes an answer of any error. An error that is not an apiError is an InternalFailure.
func asAPIError(err error) *apiError {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e
	}
	return &apiError{http.StatusInternalServerError, sqsShape + "InternalFailure", "InternalFailure", err.Error()}
}

func (e *apiError) senderFault() bool { return e.status < http.StatusInternalServerError }
