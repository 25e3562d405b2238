package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"github.com/spillwayhq/spillway/infra/local"
)

// segmentTakesEvents asks the pipeline of a queue, for its URL, whether Segment does: the error says why not, or that nobody knows.
func segmentTakesEvents(ctx context.Context, queueURL string) error {
	u, err := url.Parse(queueURL)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var status local.Status
	if err := ask(ctx, http.MethodGet, u.Scheme+"://"+u.Host+local.StatusPath, &status); err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
		return fmt.Errorf("nobody knows whether Segment takes events, because %s%s does not say: --force sends all the same: %w", u.Host, local.StatusPath, err)
	}
	return status.Segment.Failing(time.Now())
}
