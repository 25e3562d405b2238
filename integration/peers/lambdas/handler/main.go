// Command handler is the function of the peers on Lambda that are not Spillway: PEERS_FUNCTION says
// which. It is a program of its own, as it would be deployed.
package main

import (
	"log"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/spillwayhq/spillway/integration/peers/lambdas"
)

func main() {
	handler, err := lambdas.Handler(os.Getenv(lambdas.NameEnv))
	if err != nil {
		log.Fatalf("the handler can't start: %v", err)
	}
	lambda.Start(handler)
}
