package ingest

import (
	"context"
	"errors"
	"io"

	"github.com/spillwayhq/spillway/shared/trial"
)

// try runs a trial. The endpoint that it runs is made as any other, reads the same write keys, and
// ends with the trial: metrics, quotas, senders and
// archive know nothing of it.
func (e *Endpoint) try(ctx context.Context, payload []byte) (outcome []byte, err error) {
	o := e.Options
	run, err := trial.New(payload, map[string]string{o.QueueURL: trial.EventsQueue,
		o.DeadLetterQueueURL: trial.DeadLetterQueue})
	if err != nil {
		return nil, err
	}
	o.CanaryWriteKey, o.Server, o.ArchiveQueueURL = trial.WriteKey, nil, ""
	tried, err := New(ctx, o, Parts{SQS: run, SSM: e.ssm, Object: e.object, Metrics: io.Discard, Logger: run.Logger()})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, tried.Close()) }()
	return run.Invoke(ctx, tried.Lambda().Invoke)
}
