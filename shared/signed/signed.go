// Package signed makes the few calls of Lambda, SNS and EventBridge that the command line and the
// deliver function need, signed as the AWS SDK signs.
//
// The SDK's own clients of the three would be better known. For six calls they would take some 10 s
// of CPU time (of about 85) of the first `go run ./cmd/spillway`. What is hard comes from the SDK:
// credentials, signatures, TLS settings and the hosts of each partition.
package signed

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
)

// maxAnswer bounds an answer: AWS's largest here, a page of subscriptions, has some 50 KB.
const maxAnswer = 4 << 20

// A Client calls one service. It is safe for concurrent use. It does not retry.
type Client struct {
	config   aws.Config
	service  string // as signatures and host names have it, like lambda
	variable string // as AWS_ENDPOINT_URL_… has it
}

// Lambda is a client of Lambda.
func Lambda(c aws.Config) *Client { return &Client{c, "lambda", "LAMBDA"} }

// SNS is a client of SNS.
func SNS(c aws.Config) *Client { return &Client{c, "sns", "SNS"} }

// A Function is what Lambda says of one.
type Function struct {
	State, StateReason                       string
	LastUpdateStatus, LastUpdateStatusReason string
	Timeout                                  int // in seconds
	Environment                              struct{ Variables map[string]string }
}

// Configuration reads the configuration of a function by its name. It needs the permission
// lambda:GetFunctionConfiguration.
func Configuration(ctx context.Context, c aws.Config, name string) (f Function, err error) {
	return f, Lambda(c).JSON(ctx, "/2015-03-31/functions/"+name+"/configuration", nil, &f)
}

// EventBridge is a client of EventBridge.
func EventBridge(c aws.Config) *Client { return &Client{c, "events", "EVENTBRIDGE"} }

// JSON reads a resource of a REST API, such as /2015-03-31/functions/NAME/configuration, into
// answer. An error of AWS is a smithy.APIError.
func (c *Client) JSON(ctx context.Context, path string, query url.Values, answer any) error {
	return c.readJSON(answer)(c.call(ctx, http.MethodGet, path, query, nil, nil))
}

// Call calls an action of an API that speaks JSON, such as AWSEvents.PutEvents, with what in is as
// JSON, and reads answer. An error of AWS is a smithy.APIError.
func (c *Client) Call(ctx context.Context, action string, in, answer any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return c.readJSON(answer)(c.call(ctx, http.MethodPost, "/", nil, body,
		http.Header{"X-Amz-Target": {action}, "Content-Type": {"application/x-amz-json-1.1"}}))
}

// readJSON returns a function that reads what call returned.
func (c *Client) readJSON(answer any) func([]byte, int, http.Header, error) error {
	return func(body []byte, status int, header http.Header, err error) error {
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			var said struct { // Message may be message, which encoding/json takes for the same
				Type    string `json:"__type"`
				Message string
			}
			_ = json.Unmarshal(body, &said) // what is no JSON is no error of the service's own: the status must do
			code, _, _ := strings.Cut(cmp.Or(header.Get("X-Amzn-ErrorType"), said.Type), ":")
			return failure(status, code[strings.LastIndex(code, "#")+1:], said.Message)
		}
		if err := json.Unmarshal(body, answer); err != nil {
			return fmt.Errorf("read the answer of %s: %w", c.service, err)
		}
		return nil
	}
}

// XML calls an action of a query API into answer. An error of AWS is a smithy.APIError.
func (c *Client) XML(ctx context.Context, action, version string, parameters url.Values, answer any) error {
	query := url.Values{"Action": {action}, "Version": {version}}
	maps.Copy(query, parameters)
	body, status, _, err := c.call(ctx, http.MethodGet, "/", query, nil, nil)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		var said struct {
			Error struct{ Code, Message string }
		}
		_ = xml.Unmarshal(body, &said) // as above
		return failure(status, said.Error.Code, said.Error.Message)
	}
	if err := xml.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.service, err)
	}
	return nil
}

func failure(status int, code, message string) error {
	return &smithy.GenericAPIError{Code: cmp.Or(code, fmt.Sprint("HTTP ", status)),
		Message: cmp.Or(message, http.StatusText(status))}
}

func (c *Client) call(ctx context.Context, method, path string, query url.Values, sent []byte,
	header http.Header) ([]byte, int, http.Header, error) {
	base, err := c.endpoint(ctx)
	if err != nil {
		return nil, 0, nil, err
	}
	request, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(sent))
	if err != nil {
		return nil, 0, nil, err
	}
	maps.Copy(request.Header, header)
	request.URL.RawQuery = query.Encode()
	credentials, err := c.config.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, 0, nil, fmt.Errorf("get credentials: %w", err)
	}
	hash := sha256.Sum256(sent)
	err = v4.NewSigner().SignHTTP(ctx, credentials, request, hex.EncodeToString(hash[:]), c.service, c.config.Region,
		time.Now())
	if err != nil {
		return nil, 0, nil, fmt.Errorf("sign the request: %w", err)
	}
	var client aws.HTTPClient = http.DefaultClient
	if c.config.HTTPClient != nil {
		client = c.config.HTTPClient
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, 0, nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, 0, nil, err
	case len(body) > maxAnswer:
		return nil, 0, nil, errors.New("the answer is larger than any of AWS")
	}
	return body, answer.StatusCode, answer.Header, nil
}

// endpoint is where the service is: as the SDK's variables say, otherwise beside SQS, whose client
// knows the partitions.
func (c *Client) endpoint(ctx context.Context) (string, error) {
	set := cmp.Or(os.Getenv("AWS_ENDPOINT_URL_"+c.variable), aws.ToString(c.config.BaseEndpoint))
	if set != "" {
		return strings.TrimRight(set, "/"), nil
	}
	found, err := sqs.NewDefaultEndpointResolverV2().ResolveEndpoint(ctx,
		sqs.EndpointParameters{Region: aws.String(c.config.Region)})
	if err != nil {
		return "", fmt.Errorf("find %s in %s: %w", c.service, c.config.Region, err)
	}
	return strings.Replace(found.URI.String(), "://sqs.", "://"+c.service+".", 1), nil
}
