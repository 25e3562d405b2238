// Command status is the Lambda function that a schedule invokes every minute to look at the
// pipeline and to write the status site. It runs in another region than the pipeline.
package main

import (
	"context"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/spillwayhq/spillway/shared/app/status"
	"github.com/spillwayhq/spillway/shared/jsonlog"
)

func main() {
	logger := jsonlog.Redirect(os.Stdout)
	function, err := status.FromEnvironment(context.Background(), os.Environ(), os.Stdout)
	if err != nil {
		logger.Error("status can't start", "error", err)
		os.Exit(1)
	}
	lambda.Start(logger.Follow(function))
}
