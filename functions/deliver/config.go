package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"

	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/segment"
)

// The environment variables that the function reads. A further one that begins with SPILLWAY_ is
// refused: it is a typing error.
const (
	envPrefix = "SPILLWAY_"
	envName   = "SPILLWAY_NAME" // of the pipeline, a dimension of its metrics; default: spillway
	// the events queue, whose messages are hidden after a failure
	envQueueURL           = "SPILLWAY_QUEUE_URL"
	envDeadLetterQueueURL = "SPILLWAY_DEAD_LETTER_QUEUE_URL" // where dead letters are written
	envWriteKey           = "SPILLWAY_WRITE_KEY"             // for messages that carry none: the key,
	// or the name of an SSM parameter that holds it; without both they wait
	envWriteKeyParameter = "SPILLWAY_WRITE_KEY_PARAMETER"
	envEndpoint          = "SPILLWAY_SEGMENT_ENDPOINT" // the endpoint; default: Segment's in the US,
	// or the name of an SSM parameter that holds it; all waits until it is read
	envEndpointParameter = "SPILLWAY_SEGMENT_ENDPOINT_PARAMETER"
	// default: true; a fifth of the bytes that leave AWS and are paid for
	envGzip = "SPILLWAY_SEGMENT_GZIP"
	// of events that are sent to see whether they arrive; empty: none are
	envCanaryWriteKey = "SPILLWAY_CANARY_WRITE_KEY"
	envLogLevel       = "SPILLWAY_LOG_LEVEL" // debug, info, warn, error; default: info
)

// known are the variables of the prefix, in the order in which they are shown.
var known = [...]string{envName, envQueueURL, envDeadLetterQueueURL, envWriteKey, envWriteKeyParameter, envEndpoint,
	envEndpointParameter, envGzip, envCanaryWriteKey, envLogLevel}

type config struct {
	name                                   string
	queueURL, deadLetterQueueURL           string
	endpoint, endpointParameter            string
	writeKey, writeKeyParameter, canaryKey string
	gzip                                   bool
	logLevel                               slog.Level
}

// LogValue shows the effective configuration without the write keys.
func (c config) LogValue() slog.Value {
	return slog.GroupValue(slog.String("name", c.name), slog.String("queue", c.queueURL),
		slog.String("dead_letter_queue", c.deadLetterQueueURL),
		slog.String("endpoint", c.endpoint), slog.String("endpoint_parameter", c.endpointParameter),
		slog.Bool("gzip", c.gzip), slog.String("default_write_key", deliver.KeyID(c.writeKey)),
		slog.String("default_write_key_parameter", c.writeKeyParameter),
		slog.String("canary_write_key", deliver.KeyID(c.canaryKey)))
}

// readConfig reads the variables of environ, which has the form of os.Environ. The error names
// every variable that is wrong and says what to write.
func readConfig(environ []string) (config, error) {
	c := config{name: emf.DefaultPipeline, gzip: true}
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, envPrefix) {
			continue
		}
		var err error
		switch name {
		case envName:
			c.name = cmp.Or(value, c.name)
		case envQueueURL:
			c.queueURL = value
		case envDeadLetterQueueURL:
			c.deadLetterQueueURL = value
		case envWriteKey:
			c.writeKey = value
		case envWriteKeyParameter:
			c.writeKeyParameter = value
		case envCanaryWriteKey:
			c.canaryKey = value
		case envEndpoint:
			c.endpoint = value
		case envEndpointParameter:
			c.endpointParameter = value
		case envGzip:
			if c.gzip, err = strconv.ParseBool(value); err != nil {
				fail("%s is %q: write true or false", name, value)
			}
		case envLogLevel:
			if err = c.logLevel.UnmarshalText([]byte(value)); err != nil {
				fail("%s is %q: write debug, info, warn or error", name, value)
			}
		default:
			fail("%s is not known: write one of %s", name, strings.Join(known[:], ", "))
		}
	}
	for _, q := range [...]struct{ name, url string }{{envQueueURL, c.queueURL},
		{envDeadLetterQueueURL, c.deadLetterQueueURL}} {
		if u, err := url.Parse(q.url); err != nil || u.Host == "" {
			fail("%s is %q: write the queue's URL, like https://sqs.us-east-1.amazonaws.com/123456789012/spillway-events",
				q.name, q.url)
		}
	}
	if c.writeKey != "" && c.writeKeyParameter != "" {
		fail("%s and %s are both set: write one of them", envWriteKey, envWriteKeyParameter)
	}
	if c.endpoint != "" && c.endpointParameter != "" {
		fail("%s and %s are both set: write one of them", envEndpoint, envEndpointParameter)
	}
	if c.endpoint == "" && c.endpointParameter == "" {
		c.endpoint = segment.EndpointUS
	}
	return c, errors.Join(errs...)
}
