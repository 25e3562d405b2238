package sqsclient

import (
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// KeepResponses keeps answers from being cut off that come fast. Give it to whatever makes an
// *sqs.Client; [NewClient] does.
//
// The SDK closes a request's body as soon as the answer's head is there (smithy-go v1.28.8,
// transport/http/client.go). net/http may still be about to make sure that the body has ended. Read
// then says io.EOF, which is what it wants to hear; but net/http prefers WriteTo, the SDK's WriteTo
// says io.EOF as well, and from WriteTo that is a failure: net/http closes the connection while the
// answer is being read, "use of closed network connection". A ReceiveMessage that is lost so hides
// its messages until their visibility timeout ends, and a send that is lost so is sent twice. In
// front of a local queue that was one call in some thousands.
func AvoidLostResponses(o *sqs.Options) { o.HTTPClient = keepResponses{o.HTTPClient} }

type keepResponses struct{ sqs.HTTPClient }

func (k keepResponses) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body = readOnly{r.Body}
	}
	return k.HTTPClient.Do(r)
}

// readOnly hides that a body has WriteTo.
type readOnly struct{ io.ReadCloser }
