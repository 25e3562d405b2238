package signed

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/shared/rollout"
)

// A Function is what Lambda says of one, or of one of its versions.
type Function struct {
	State, StateReason                       string
	LastUpdateStatus, LastUpdateStatusReason string
	Version                                  string // its number; $LATEST: of what the next version is made
	CodeSha256                               string
	Timeout                                  int // in seconds
	Environment                              struct{ Variables map[string]string }
}

// Configuration reads the configuration of a function by its name, or of a version by NAME:VERSION or
// NAME:ALIAS. It needs the permission lambda:GetFunctionConfiguration.
func Configuration(ctx context.Context, c aws.Config, name string) (f Function, err error) {
	name, qualifier, qualified := strings.Cut(name, ":")
	query := url.Values{}
	if qualified {
		query.Set("Qualifier", qualifier)
	}
	return f, Lambda(c).JSON(ctx, "/2015-03-31/functions/"+name+"/configuration", query, &f)
}

// An Alias is what Lambda says of one: which version gets the invocations, and which other versions
// get a share of them, as during a deployment.
type Alias struct {
	FunctionVersion string
	RoutingConfig   struct{ AdditionalVersionWeights map[string]float64 }
}

// LiveAlias reads the alias rollout.LiveAlias of a function. It needs the permission lambda:GetAlias.
func LiveAlias(ctx context.Context, c aws.Config, function string) (a Alias, err error) {
	return a, Lambda(c).JSON(ctx, "/2015-03-31/functions/"+function+"/aliases/"+rollout.LiveAlias, nil, &a)
}

// eventSources is the path of the mappings.
const eventSources = "/2015-03-31/event-source-mappings"

// An EventSource is what Lambda says of a mapping that feeds a queue to a function.
type EventSource struct {
	UUID                           string
	EventSourceArn                 string
	FunctionArn                    string // of the function, or of its alias
	State, StateTransitionReason   string
	LastProcessingResult           string
	BatchSize                      int
	MaximumBatchingWindowInSeconds int
	ScalingConfig                  struct{ MaximumConcurrency int }
	FunctionResponseTypes          []string
}

// EventSources reads the event sources of a function by its name, and of its alias
// rollout.LiveAlias: Lambda lists them apart. It needs the permission lambda:ListEventSourceMappings.
func EventSources(ctx context.Context, c aws.Config, name string) ([]EventSource, error) {
	var all []EventSource
	for _, target := range []string{name, name + ":" + rollout.LiveAlias} {
		var page struct{ EventSourceMappings []EventSource }
		err := Lambda(c).JSON(ctx, eventSources, url.Values{"FunctionName": {target}}, &page)
		var refused smithy.APIError
		if missing := errors.As(err, &refused) && refused.ErrorCode() == "ResourceNotFoundException"; missing &&
			target != name {
			continue // an earlier version made no alias
		}
		if err != nil {
			return nil, err
		}
		for _, s := range page.EventSourceMappings {
			if !slices.ContainsFunc(all, func(other EventSource) bool { return s.UUID != "" && other.UUID == s.UUID }) {
				all = append(all, s)
			}
		}
	}
	return all, nil
}

// EventSourceOf reads an event source by its UUID. It needs the permission
// lambda:GetEventSourceMapping.
func EventSourceOf(ctx context.Context, c aws.Config, uuid string) (s EventSource, err error) {
	return s, Lambda(c).JSON(ctx, eventSources+"/"+uuid, nil, &s)
}

// EnableEventSource enables or disables an event source by its UUID, which takes Lambda up to a
// minute: what it returns is on its way. It needs the permission lambda:UpdateEventSourceMapping.
func EnableEventSource(ctx context.Context, c aws.Config, uuid string, enabled bool) (s EventSource, err error) {
	client := Lambda(c)
	a, err := client.Do(ctx, Request{Method: http.MethodPut, Path: eventSources + "/" + uuid,
		Body:   fmt.Appendf(nil, `{"Enabled":%t}`, enabled),
		Header: http.Header{"Content-Type": {"application/json"}}})
	return s, client.readJSON(&s)(a, err)
}

// An Invocation is what Lambda says of one that has ended.
type Invocation struct {
	Answer []byte // the function's, or a JSON object with errorMessage
	Failed string // how the function failed, like Unhandled; empty: it did not
	Log    string // the end of what it logged, of at most 4 KB
}

// Invoke invokes a version of a function with JSON, and waits until it ends; an alias has a version
// too. It needs the permission lambda:InvokeFunction. That the function fails is no error.
func Invoke(ctx context.Context, lambda *Client, name, version string, payload []byte) (Invocation, error) {
	a, err := lambda.Do(ctx, Request{Method: http.MethodPost, Path: "/2015-03-31/functions/" + name + "/invocations",
		Query: url.Values{"Qualifier": {version}}, Body: payload,
		Header: http.Header{"X-Amz-Invocation-Type": {"RequestResponse"}, "X-Amz-Log-Type": {"Tail"}}})
	if err := lambda.readJSON(nil)(a, err); err != nil {
		return Invocation{}, err
	}
	log, _ := base64.StdEncoding.DecodeString(a.Header.Get("X-Amz-Log-Result")) // without it there is less to read
	return Invocation{a.Body, a.Header.Get("X-Amz-Function-Error"), string(log)}, nil
}
