// Command canary is the Lambda function that a schedule invokes every minute to send an event
// through the public ingest endpoint.
package main

import (
	"fmt"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/spillwayhq/spillway/shared/app/canary"
)

func main() {
	function, err := canary.FromEnvironment(os.Environ(), os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "canary:", err)
		os.Exit(1)
	}
	lambda.Start(function)
}
