// Command rollout is the Lambda function that CodeDeploy asks before a new version of deliver or
// ingest gets traffic.
package main

import (
	"context"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/spillwayhq/spillway/shared/app/rollout"
	"github.com/spillwayhq/spillway/shared/jsonlog"
)

func main() {
	logger := jsonlog.Redirect(os.Stdout)
	function, err := rollout.FromEnvironment(context.Background(), os.Environ(), os.Stdout)
	if err != nil {
		logger.Error("rollout can't start", "error", err)
		os.Exit(1)
	}
	lambda.Start(logger.Follow(function))
}
