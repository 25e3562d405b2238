// Command function is the Lambda function of the Runtime API's tests: it does what the payload says.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type order struct {
	Do   string
	Size int
}

func handle(ctx context.Context, o order) (any, error) {
	switch o.Do {
	case "describe":
		lc, _ := lambdacontext.FromContext(ctx)
		deadline, _ := ctx.Deadline()
		wd, _ := os.Getwd()
		return map[string]any{
			"requestId": lc.AwsRequestID, "arn": lc.InvokedFunctionArn, "deadline": deadline.UnixMilli(), "pid": os.Getpid(),
			"name": lambdacontext.FunctionName, "memory": lambdacontext.MemoryLimitInMB, "region": os.Getenv("AWS_REGION"),
			"handler": os.Getenv("_HANDLER"), "root": os.Getenv("LAMBDA_TASK_ROOT"), "trace": os.Getenv("_X_AMZN_TRACE_ID"),
			"extra": os.Getenv("EXTRA"), "home": os.Getenv("HOME"), "wd": wd,
			"version": lambdacontext.FunctionVersion,
		}, nil
	case "fail":
		return nil, errors.New("told to fail")
	case "panic":
		panic("told to panic")
	case "exit":
		os.Exit(3)
	case "hang":
		fmt.Println("hanging")
		select {}
	case "large":
		return strings.Repeat("x", o.Size), nil
	}
	return o.Size, nil
}

func main() {
	fmt.Println("init on stdout")
	fmt.Fprintln(os.Stderr, "init on stderr")
	switch os.Getenv("INIT") {
	case "exit":
		os.Exit(4)
	case "hang":
		time.Sleep(time.Hour)
	}
	if os.Getenv("IGNORE_SIGTERM") != "" {
		ignoreSIGTERM()
	}
	lambda.Start(handle)
}
