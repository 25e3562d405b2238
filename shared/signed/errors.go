package signed

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/aws/smithy-go"
)

// A failed is an error that AWS answered. The SDK's retryers know by its status if it is worth
// another attempt.
type failed struct {
	smithy.GenericAPIError
	status int
}

// HTTPStatusCode is what the SDK's retryers ask for.
func (f *failed) HTTPStatusCode() int { return f.status }

// lost is an error of a connection: there was no answer, or only a part of it.
type lost struct{ error }

func (l lost) Unwrap() error { return l.error }

// ConnectionError is what the SDK's retryers ask for.
func (lost) ConnectionError() bool { return true }

// A clockError is an error that the next attempt of the same client does not meet.
type clockError struct{ error }

func (r clockError) Unwrap() error { return r.error }

// RetryableError is what the SDK's retryers ask for.
func (clockError) RetryableError() bool { return true }

func (c *Client) failure(a Answer, code, message string) error {
	err := &failed{smithy.GenericAPIError{Code: cmp.Or(code, fmt.Sprint("HTTP ", a.Status)),
		Message: cmp.Or(message, http.StatusText(a.Status))}, a.Status}
	if slices.Contains(clockCodes, code) && c.setClock(a.Header) {
		return clockError{err}
	}
	return err
}

// clockCodes are those with which AWS refuses a wrong clock, among other things, and maxSkew is
// from where on it may be the reason: AWS takes 5 minutes. Both are the SDK's (aws/retry).
var clockCodes = []string{"InvalidSignatureException", "SignatureDoesNotMatch", "AuthFailure", "RequestTimeTooSkewed",
	"AccessDeniedException"}

const maxSkew = 4 * time.Minute

// setClock sets the clock for signatures by the time of an answer, and reports whether it was
// wrong.
func (c *Client) setClock(answer http.Header) bool {
	there, err := http.ParseTime(answer.Get("Date"))
	if err != nil || answer.Get("Age") != "" { // a cache has answered
		return false
	}
	skew := time.Until(there)
	if (skew - time.Duration(c.skew.Load())).Abs() <= maxSkew {
		return false
	}
	c.skew.Store(int64(skew))
	return true
}
