package deployed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// The codes with which AWS's services say the same.
var (
	deniedCodes = []string{"AccessDenied", "AccessDeniedException", "AuthorizationError", "AuthorizationErrorException",
		"UnauthorizedOperation"}
	unknownCodes   = []string{"UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId"}
	expiredCodes   = []string{"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"}
	clockCodes     = []string{"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"}
	signatureCodes = []string{"InvalidSignatureException", "SignatureDoesNotMatch"}
	throttledCodes = []string{"Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled",
		"RequestThrottledException", "TooManyRequestsException", "RequestLimitExceeded", "LimitExceededException"}
)

// Denied reports whether AWS says that the caller may not do this, or is unknown.
func Denied(err error) bool { return hasCode(err, deniedCodes) || hasCode(err, unknownCodes) }

func hasCode(err error, codes []string) bool {
	answer := (smithy.APIError)(nil)
	return errors.As(err, &answer) && slices.Contains(codes, answer.ErrorCode())
}

// explained is an error with a text for people, without what the SDK puts before it.
type explained struct {
	text  string
	cause error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.cause }

// Explain makes of the error of a call to AWS a sentence that says what to do. doing is what it was
// to do; permission is what the call needs, like sqs:GetQueueUrl.
func Explain(err error, doing, permission string) error {
	if err == nil {
		return nil
	}
	return &explained{"can't " + doing + ": " + reason(err, permission), err}
}

func reason(err error, permission string) string {
	var text string
	answer := (smithy.APIError)(nil)
	if errors.As(err, &answer) {
		text = cmp.Or(answer.ErrorMessage(), answer.ErrorCode())
	}
	service, _, _ := strings.Cut(permission, ":")
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return service + " has not answered in time"
	case hasCode(err, expiredCodes):
		return "your AWS credentials have expired: sign in again, for example with `aws sso login`; credentials in " +
			"variables need a new start of this command"
	case hasCode(err, clockCodes), hasCode(err, signatureCodes) && isAboutTime(text):
		return "AWS refuses this machine's clock, which is over 5 minutes wrong: set it by NTP (" + text + ")"
	case hasCode(err, unknownCodes), hasCode(err, signatureCodes):
		return "AWS does not know your credentials: check AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (" +
			text + ")"
	case hasCode(err, deniedCodes):
		return "allow your role " + permission + " (" + text + ")"
	case hasCode(err, throttledCodes):
		return "AWS throttles this account's calls of " + permission + ": wait a minute"
	case strings.Contains(err.Error(), "get credentials"), strings.Contains(err.Error(), "refresh cached credentials"):
		return "no AWS credentials can be had: sign in again, or check AWS_PROFILE"
	case answer != nil:
		return fmt.Sprintf("%s answered %s: %s", service, answer.ErrorCode(), text)
	}
	return unreachable(err, service)
}

// isAboutTime reports whether a refused signature was made at a wrong time: AWS has no code for it.
func isAboutTime(text string) bool {
	return strings.Contains(text, "expired") || strings.Contains(text, "not yet current")
}

// unreachable is the reason of an error that no answer of AWS caused.
func unreachable(err error, service string) string {
	if sending, is := errors.AsType[*url.Error](err); is {
		at := sending.URL
		if u, failed := url.Parse(at); failed == nil {
			at = u.Host
		}
		if unknown, is := errors.AsType[*net.DNSError](err); is && unknown.IsNotFound {
			return fmt.Sprintf("there is no host %s: is the region right, and this machine online?", unknown.Name)
		}
		return fmt.Sprintf("%s can't be reached: %v", at, sending.Err)
	}
	if answer, is := errors.AsType[*smithyhttp.ResponseError](err); is {
		return fmt.Sprintf("%s answered HTTP %d, and nothing that can be read", service, answer.HTTPStatusCode())
	}
	return fmt.Sprintf("%s: %v", service, err)
}
