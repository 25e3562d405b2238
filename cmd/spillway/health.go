package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// segmentTakesEvents asks the pipeline of a queue, for its URL, whether Segment does: the error
// says why not, or that nobody knows.
func segmentTakesEvents(ctx context.Context, queueURL string) error {
	place, err := sqsclient.ParseURL(queueURL)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if place.Region != "" {
		c, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(place.Region))
		if err != nil {
			return fmt.Errorf("load the AWS configuration: %w", err)
		}
		minute, err := lastMinute(ctx, cloudwatch.NewFromConfig(c), time.Now())
		if err != nil {
			return err
		}
		return minute.Failing(time.Now())
	}
	var status local.Status
	if err := ask(ctx, http.MethodGet, place.Endpoint+local.StatusPath, &status); err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
		return fmt.Errorf("nobody knows whether Segment takes events, because %s does not say: --force sends all "+
			"the same: %w", place.Endpoint+local.StatusPath, err)
	}
	return status.Segment.Failing(time.Now())
}
