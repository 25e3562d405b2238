// Command deliver is the Lambda function that takes events from the queue to Segment. It only
// wires: what it does is in shared/deliver, so that the local pipeline and the tests run the same
// code. See config.go for its environment variables.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/spillwayhq/spillway/shared/canary"
	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/segment"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

func main() {
	handler, err := newHandler(context.Background(), os.Environ())
	if err != nil {
		fmt.Fprintln(os.Stderr, "deliver:", err)
		os.Exit(1)
	}
	lambda.Start(handler)
}

func newHandler(ctx context.Context, environ []string) (lambda.Handler, error) {
	c, err := readConfig(environ)
	if err != nil {
		return nil, err
	}
	logger := slog.New(slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{Level: c.logLevel}))
	logger.Info("configured", "config", c)
	aws, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("load the AWS configuration: %w", err)
	}
	api := sqs.NewFromConfig(aws, sqsclient.AvoidLostResponses)
	metrics := emf.NewWriter(os.Stdout, c.name, "deliver")
	dc := deliver.Config{
		Queue:          sqsclient.New(api, c.queueURL),
		DeadLetters:    sqsclient.New(api, c.deadLetterQueueURL),
		WriteKey:       c.writeKey,
		CanaryWriteKey: c.canaryKey, CanaryEndsHere: canary.EndsBeforeSegment(c.canaryKey),
		Logger: logger,
		Report: func(s deliver.Report) {
			if err := metrics.Write(time.Now(), s.Metrics()...); err != nil {
				logger.Warn("metrics could not be written", "error", err)
			}
		},
	}
	var follow []refresher
	if c.writeKeyParameter != "" {
		key := newDefaultKey(ssm.NewFromConfig(aws), c.writeKeyParameter, logger)
		dc.CurrentWriteKey, follow = key.current, append(follow, key)
	}
	if c.endpointParameter != "" {
		endpoint := newEndpoint(ssm.NewFromConfig(aws), c.endpointParameter, c.gzip, logger)
		dc.Segment, follow = swapped{endpoint}, append(follow, endpoint)
	} else if dc.Segment, err = segment.NewClient(segment.Config{Endpoint: c.endpoint, Gzip: c.gzip}); err != nil {
		return nil, fmt.Errorf("%s: %w", envEndpoint, err)
	}
	handler, err := deliver.New(dc)
	if err != nil {
		return nil, err
	}
	f := &function{handler, follow}
	for _, p := range follow {
		p.refresh(ctx)
	}
	return f, nil
}
