// Command canary is the Lambda function that a schedule invokes every minute to send an event
// through the public ingest endpoint.
package main

import (
	"context"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/spillwayhq/spillway/shared/app/canary"
	"github.com/spillwayhq/spillway/shared/jsonlog"
)

func main() {
	logger := jsonlog.Redirect(os.Stdout)
	function, err := canary.FromEnvironment(context.Background(), os.Environ(), os.Stdout)
	if err != nil {
		logger.Error("canary can't start", "error", err)
		os.Exit(1)
	}
	lambda.Start(logger.Follow(function))
}
