// Package health checks whether Segment accepts events, before a redrive sends more. It asks the
// pipeline that the queue belongs to: the local one by its status, one on AWS by its metrics.
package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// timeout bounds one check.
const timeout = 10 * time.Second

// Check returns an error if Segment does not accept events of the pipeline with this events queue,
// or if that is unknown.
func Check(ctx context.Context, queueURL string) error {
	place, err := sqsclient.ParseURL(queueURL)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if place.Region == "" {
		return checkLocal(ctx, place.Endpoint+local.StatusPath)
	}
	c, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(place.Region))
	if err != nil {
		return fmt.Errorf("load the AWS configuration: %w", err)
	}
	failing, err := Segment(ctx, c, pipelineOf(queueURL))
	if err != nil {
		return unknown(err)
	}
	return failing
}

// Segment asks CloudWatch whether the calls to Segment of a pipeline on AWS are failing, and why; nil
// if they are not. err says that this is unknown.
func Segment(ctx context.Context, c aws.Config, pipeline string) (failing, err error) {
	now := time.Now()
	minute, err := lastMinute(ctx, cloudwatch.NewFromConfig(c), pipeline, now)
	if err != nil {
		return nil, err
	}
	return minute.Failing(now), nil
}

// pipelineOf returns the name of the pipeline that an events queue belongs to. A queue whose name
// does not follow from a pipeline's is assumed to belong to the default pipeline.
func pipelineOf(queueURL string) string {
	if names, ok := topology.NamesOfEventsQueue(path.Base(queueURL)); ok {
		return names.Pipeline
	}
	return emf.DefaultPipeline
}

func checkLocal(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return err
	case err != nil:
		return unknown(err)
	}
	defer resp.Body.Close()
	var status local.Status
	if err := json.NewDecoder(resp.Body).Decode(&status); err != nil {
		return unknown(fmt.Errorf("read the status at %s: %w", url, err))
	}
	return status.Segment.Failing(time.Now())
}

func unknown(err error) error {
	return fmt.Errorf("can't tell whether Segment takes events (--force skips this check): %w", err)
}
