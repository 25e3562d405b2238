// Command deliver is the Lambda function that takes events from the queue to Segment.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/spillwayhq/spillway/shared/app/deliver"
)

func main() {
	handler, err := deliver.FromEnvironment(context.Background(), os.Environ(), os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "deliver:", err)
		os.Exit(1)
	}
	lambda.Start(handler)
}
