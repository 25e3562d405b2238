package sqsclient

import (
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// AvoidLostResponses is an option of an *sqs.Client without which fast answers can be lost.
// [NewClient] sets it.
//
// The SDK closes a request's body as soon as the answer's head is there (smithy-go v1.28.8,
// transport/http/client.go). net/http may still be reading the body to find its end. Read then
// returns io.EOF, which is right; but net/http prefers WriteTo, the SDK's WriteTo returns io.EOF as
// well, and from WriteTo that is a failure: net/http closes the connection while the answer is
// being read, "use of closed network connection". After a lost answer to ReceiveMessage the
// messages stay invisible until their visibility timeout ends; after a lost answer to a send the
// messages are sent twice. With a local queue this happened in one of some thousand calls.
func AvoidLostResponses(o *sqs.Options) { o.HTTPClient = bodyWithoutWriteTo{o.HTTPClient} }

type bodyWithoutWriteTo struct{ sqs.HTTPClient }

func (c bodyWithoutWriteTo) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body = readOnly{r.Body}
	}
	return c.HTTPClient.Do(r)
}

// readOnly is a body without WriteTo.
type readOnly struct{ io.ReadCloser }
