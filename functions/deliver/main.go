// Command deliver is the Lambda function that takes events from the queue to Segment.
package main

import (
	"context"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/spillwayhq/spillway/shared/app/deliver"
	"github.com/spillwayhq/spillway/shared/jsonlog"
)

func main() {
	logger := jsonlog.Redirect(os.Stdout)
	handler, err := deliver.FromEnvironment(context.Background(), os.Environ(), os.Stdout)
	if err != nil {
		logger.Error("deliver can't start", "error", err)
		os.Exit(1)
	}
	lambda.Start(logger.Follow(handler))
}
