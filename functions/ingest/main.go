// Command ingest is the ingest endpoint for Segment's SDKs: a Lambda function, or a server anywhere
// else. It is one binary, so that what was tried as a server is what is deployed.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/spillwayhq/spillway/shared/app/ingest"
	"github.com/spillwayhq/spillway/shared/jsonlog"
)

func main() {
	logger := jsonlog.Redirect(os.Stdout)
	var err error
	if args := os.Args[1:]; len(args) > 0 {
		err = verb(context.Background(), args, os.Stdout)
	} else {
		err = run(context.Background(), logger)
	}
	switch {
	case err == nil:
		return
	case os.Getenv("AWS_LAMBDA_RUNTIME_API") != "":
		logger.Error("ingest can't start", "error", err)
	default: // whoever starts a server reads the terminal
		fmt.Fprintln(os.Stderr, "ingest:", err)
	}
	os.Exit(1)
}

func run(ctx context.Context, logger *jsonlog.Log) error {
	endpoint, err := ingest.FromEnvironment(ctx, os.Environ(), os.Stdout)
	if err != nil {
		return err
	}
	debug.SetMemoryLimit(endpoint.Options.MemoryLimit)
	if endpoint.Options.Server == nil {
		lambda.Start(logger.Follow(endpoint.Lambda())) // does not return
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	return endpoint.ListenAndServe(ctx)
}
