package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/segment"
)

const (
	// refreshInterval is how long a changed parameter takes to count. SSM's default rate is low (40
	// a second: AWS general reference, Systems Manager quotas), and ten environments that read once
	// a minute stay far below it.
	refreshInterval = time.Minute
	// firstInterval is how soon it is tried again while there is no value at all.
	firstInterval = 5 * time.Second
	// readTimeout bounds one reading, and with it what a parameter that hangs can cost the start or
	// an invocation.
	readTimeout = 2 * time.Second
)

// parameters is what a parameter needs of an *ssm.Client.
type parameters interface {
	GetParameter(context.Context, *ssm.GetParameterInput, ...func(*ssm.Options)) (*ssm.GetParameterOutput, error)
}

// A parameter is a value from SSM, a String or a SecureString. Reading it needs ssm:GetParameter,
// and kms:Decrypt where it is encrypted with a key of one's own.
//
// It never fails: the last good value stays, and without any the messages that need it wait in the
// queue. All cold starts of a region read at the same time, and a parameter that can't be read for
// a moment must not keep the function from delivering the rest.
type parameter[T any] struct {
	api     parameters
	name    string
	what    string                  // it is, for the log
	without string                  // what happens without it, for the log
	parse   func(string) (T, error) // its errors do not quote the text
	show    func(string) string     // the text for the log
	logger  *slog.Logger

	reading sync.Mutex // one at a time
	mu      sync.Mutex
	text    string // empty: there is no value yet
	value   T
	next    time.Time // when it is to be read again
}

// newDefaultKey is the write key of messages that carry none.
func newDefaultKey(api parameters, name string, logger *slog.Logger) *parameter[string] {
	return &parameter[string]{
		api: api, name: name, what: "default write key", without: "messages without a write key wait until it is",
		logger: logger, show: deliver.KeyID,
		parse: func(key string) (string, error) {
			if strings.ContainsFunc(key, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
				return "", errors.New("the parameter's value is no write key: write the key of a Segment source into it, and " +
					"nothing else")
			}
			return key, nil
		},
	}
}

// newEndpoint is where Segment is, as a client of it.
func newEndpoint(api parameters, name string, gzip bool, logger *slog.Logger) *parameter[*segment.Client] {
	return &parameter[*segment.Client]{
		api: api, name: name, what: "endpoint of Segment", without: "all messages wait until it is", logger: logger,
		show: func(endpoint string) string { return endpoint },
		parse: func(endpoint string) (*segment.Client, error) {
			return segment.NewClient(segment.Config{Endpoint: endpoint, Gzip: gzip})
		},
	}
}

// current is the value that was read last, and the zero value while none was.
func (p *parameter[T]) current() T {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.value
}

func (p *parameter[T]) known() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text != ""
}

func (p *parameter[T]) due(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !now.Before(p.next)
}

// refresh reads the parameter when it is time to.
func (p *parameter[T]) refresh(ctx context.Context) {
	p.reading.Lock()
	defer p.reading.Unlock()
	if !p.due(time.Now()) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	text, err := p.read(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil && text != p.text {
		var value T
		if value, err = p.parse(text); err == nil {
			p.text, p.value = text, value
			p.logger.Info(p.what+" in force", "parameter", p.name, "value", p.show(text))
		}
	}
	if p.text == "" {
		p.next = time.Now().Add(firstInterval)
	} else {
		p.next = time.Now().Add(refreshInterval)
	}
	switch {
	case err != nil && p.text == "":
		p.logger.Error("the "+p.what+" could not be read: "+p.without, "parameter", p.name, "error", err)
	case err != nil:
		p.logger.Error("the "+p.what+" could not be read again: the one that was read last stays in force", "parameter",
			p.name, "error", err)
	}
}

// read reads the parameter. No error quotes its value.
func (p *parameter[T]) read(ctx context.Context) (string, error) {
	out, err := p.api.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(p.name), WithDecryption: aws.Bool(true)})
	if err != nil {
		return "", fmt.Errorf("read the parameter: %w", err)
	}
	if out.Parameter == nil {
		return "", errors.New("read the parameter: it has no value")
	}
	text := strings.TrimSpace(aws.ToString(out.Parameter.Value))
	if text == "" {
		return "", fmt.Errorf("the parameter's value is empty: write the %s into it", p.what)
	}
	return text, nil
}

// swapped sends to the endpoint that is in force. Without one it sends nowhere: a Segment of
// another region than the workspace's takes events without an error and drops them, so that no
// default is as good as none.
type swapped struct{ endpoint *parameter[*segment.Client] }

// Flush implements deliver.Flusher.
func (s swapped) Flush(ctx context.Context, b *event.Batch) error {
	if client := s.endpoint.current(); client != nil {
		return client.Flush(ctx, b)
	}
	return &segment.Error{Class: segment.Misconfigured,
		Err: fmt.Errorf("the parameter %s with the endpoint of Segment could not be read yet", s.endpoint.name)}
}

// A function is the handler with parameters that are read again while it works: between two
// invocations a Lambda is frozen, and a request that is under way then would time out.
type function struct {
	*deliver.Handler
	parameters []refresher
}

type refresher interface {
	known() bool
	refresh(context.Context)
}

// Invoke delivers, and reads the parameters at the same time when they are due. One that has no
// value at all is read first.
func (f *function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	for _, p := range f.parameters {
		if !p.known() {
			p.refresh(ctx)
		}
	}
	var reading sync.WaitGroup
	defer reading.Wait()
	for _, p := range f.parameters {
		reading.Go(func() { p.refresh(ctx) })
	}
	return f.Handler.Invoke(ctx, payload)
}
