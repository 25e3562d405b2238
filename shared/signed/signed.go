// Package signed makes the few calls of Lambda, CodeDeploy, SNS, STS, EventBridge, Firehose, SSM
// and S3 that the command line and the functions need, signed as the AWS SDK signs.
//
// The SDK's own clients of them would be better known. Each takes some 10 s of CPU time (of about
// 110 with that of SSM alone) of the first `go run ./cmd/spillway`, and about 1.1 MB of a function.
// In a program that renders templates, as the command line and the status function do, the linker
// can't leave out what it does not use of a client: that of SSM took 6 MB of the command line's 45,
// those of CloudWatch, SQS and SSM would take 5.4 MB of the status function, and that of S3 7 MB of
// the command line and 12 s of CPU time. What is hard comes
// from the SDK: credentials, signatures, TLS settings and the hosts of each partition.
package signed

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// maxAnswer bounds an answer: the largest here is an object with the write keys, of which 10,000
// with quotas take about 1 MB.
const maxAnswer = 4 << 20

// A Client calls one service. It is safe for concurrent use. It does not retry; its errors tell the
// retryers of the SDK (aws/retry) what they ask for.
type Client struct {
	config   aws.Config
	service  string       // as signatures and host names have it, like lambda
	variable string       // as AWS_ENDPOINT_URL_… has it
	bucket   string       // of S3, which is part of the host
	json     string       // the version of the JSON protocol, for Call; empty: 1.1
	skew     atomic.Int64 // a time.Duration: what this machine's clock lacks, if AWS has refused it
}

// Lambda is a client of Lambda.
func Lambda(c aws.Config) *Client { return &Client{config: c, service: "lambda", variable: "LAMBDA"} }

// SNS is a client of SNS.
func SNS(c aws.Config) *Client { return &Client{config: c, service: "sns", variable: "SNS"} }

// CloudFormation is a client of CloudFormation.
func CloudFormation(c aws.Config) *Client {
	return &Client{config: c, service: "cloudformation", variable: "CLOUDFORMATION"}
}

// STS is a client of STS.
func STS(c aws.Config) *Client { return &Client{config: c, service: "sts", variable: "STS"} }

// CodeDeploy is a client of CodeDeploy, for Call.
func CodeDeploy(c aws.Config) *Client {
	return &Client{config: c, service: "codedeploy", variable: "CODEDEPLOY"}
}

// Firehose is a client of Firehose, for Call.
func Firehose(c aws.Config) *Client {
	return &Client{config: c, service: "firehose", variable: "FIREHOSE"}
}

// EventBridge is a client of EventBridge.
func EventBridge(c aws.Config) *Client {
	return &Client{config: c, service: "events", variable: "EVENTBRIDGE"}
}

// CloudWatch is a client of CloudWatch, for XML.
func CloudWatch(c aws.Config) *Client {
	return &Client{config: c, service: "monitoring", variable: "CLOUDWATCH"}
}

// SQS is a client of SQS, for Call.
func SQS(c aws.Config) *Client {
	return &Client{config: c, service: "sqs", variable: "SQS", json: "1.0"}
}

// SSM is a client of Systems Manager, for Call.
func SSM(c aws.Config) *Client { return &Client{config: c, service: "ssm", variable: "SSM"} }

// S3 is a client of a bucket of S3 in the configuration's region, for Do.
func S3(c aws.Config, bucket string) *Client {
	return &Client{config: c, service: "s3", variable: "S3", bucket: bucket}
}

// JSON reads a resource of a REST API, such as /2015-03-31/functions/NAME/configuration, into
// answer. An error of AWS is a smithy.APIError.
func (c *Client) JSON(ctx context.Context, path string, query url.Values, answer any) error {
	return c.readJSON(answer)(c.Do(ctx, Request{Method: http.MethodGet, Path: path, Query: query}))
}

// Call calls an action of an API that speaks JSON, such as AWSEvents.PutEvents, with what in is as
// JSON, and reads answer, if it is not nil. An error of AWS is a smithy.APIError.
func (c *Client) Call(ctx context.Context, action string, in, answer any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return c.readJSON(answer)(c.Do(ctx, Request{Method: http.MethodPost, Path: "/", Body: body,
		Header: http.Header{"X-Amz-Target": {action}, "Content-Type": {"application/x-amz-json-" + cmp.Or(c.json, "1.1")}}}))
}

// readJSON returns a function that reads what Do returned.
func (c *Client) readJSON(answer any) func(Answer, error) error {
	return func(a Answer, err error) error {
		if err != nil {
			return err
		}
		if a.Status/100 != 2 { // of what Lambda has only begun it says 202
			var said struct { // Message may be message, which encoding/json takes for the same
				Type    string `json:"__type"`
				Message string
			}
			_ = json.Unmarshal(a.Body, &said) // what is no JSON is no error of the service's own: the status must do
			code, _, _ := strings.Cut(cmp.Or(a.Header.Get("X-Amzn-ErrorType"), said.Type), ":")
			return c.failure(a, code[strings.LastIndex(code, "#")+1:], said.Message)
		}
		if answer == nil {
			return nil
		}
		if err := json.Unmarshal(a.Body, answer); err != nil {
			return fmt.Errorf("read the answer of %s: %w", c.service, err)
		}
		return nil
	}
}

// XML calls an action of a query API into answer. An error of AWS is a smithy.APIError.
func (c *Client) XML(ctx context.Context, action, version string, parameters url.Values, answer any) error {
	form := url.Values{"Action": {action}, "Version": {version}}
	maps.Copy(form, parameters)
	a, err := c.Do(ctx, Request{Method: http.MethodPost, Path: "/", Body: []byte(form.Encode()),
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}}})
	if err != nil {
		return err
	}
	if a.Status != http.StatusOK {
		var said struct {
			Error struct{ Code, Message string }
		}
		_ = xml.Unmarshal(a.Body, &said) // as above
		return c.failure(a, said.Error.Code, said.Error.Message)
	}
	if err := xml.Unmarshal(a.Body, answer); err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.service, err)
	}
	return nil
}

// A Request is one request as it goes over the wire. Path begins with a slash; S3's is the object's
// key, in which every character but letters, digits and / . - _ ~ is escaped as %20.
type Request struct {
	Method, Path string
	Query        url.Values
	Header       http.Header
	Body         []byte
}

// An Answer is what AWS answered, whatever its status.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte // at most 4 MB: more is an error of Do
}

// Open sends a request, and returns the answer as soon as its head is there, whatever its status.
// The caller closes the body. An error says that there was no answer: the request may have had its
// effect all the same.
func (c *Client) Open(ctx context.Context, r Request) (*http.Response, error) {
	request, err := c.sign(ctx, r)
	if err != nil {
		return nil, err
	}
	var client aws.HTTPClient = http.DefaultClient
	if c.config.HTTPClient != nil {
		client = c.config.HTTPClient
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, lost{err}
	}
	return answer, nil
}

// Pause waits before an attempt, of which the first is 0: before the next one for about the time
// backoff, and before each further one for twice as long. It returns false if ctx has ended.
func Pause(ctx context.Context, backoff time.Duration, attempt int) bool {
	wait := backoff << (attempt - 1)
	select {
	case <-ctx.Done():
		return false
	case <-time.After(wait/2 + rand.N(wait)):
		return true
	}
}

// Do is Open that reads the whole answer.
func (c *Client) Do(ctx context.Context, r Request) (Answer, error) {
	answer, err := c.Open(ctx, r)
	if err != nil {
		return Answer{}, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	switch {
	case err != nil:
		return Answer{}, lost{err}
	case len(body) > maxAnswer:
		return Answer{}, fmt.Errorf("the answer is larger than %d MB", maxAnswer>>20)
	}
	return Answer{answer.StatusCode, answer.Header, body}, nil
}

// sign makes the HTTP request. S3 wants the hash of the body in a header of its own, and does not
// escape a path twice (AWS signature version 4, "Create a canonical request").
func (c *Client) sign(ctx context.Context, r Request) (*http.Request, error) {
	base, err := c.endpoint(ctx)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, base+r.Path, bytes.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	maps.Copy(request.Header, r.Header)
	request.URL.RawQuery = r.Query.Encode()
	credentials, err := c.config.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("get credentials: %w", err)
	}
	sum := sha256.Sum256(r.Body)
	hash := hex.EncodeToString(sum[:])
	if c.bucket != "" {
		request.Header.Set("X-Amz-Content-Sha256", hash)
	}
	err = v4.NewSigner().SignHTTP(ctx, credentials, request, hash, c.service, c.config.Region,
		time.Now().Add(time.Duration(c.skew.Load())),
		func(o *v4.SignerOptions) { o.DisableURIPathEscaping = c.bucket != "" })
	if err != nil {
		return nil, fmt.Errorf("sign the request: %w", err)
	}
	return request, nil
}
