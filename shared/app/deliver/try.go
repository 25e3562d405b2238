package deliver

import (
	"context"
	"io"

	"github.com/spillwayhq/spillway/shared/ssm"
	"github.com/spillwayhq/spillway/shared/trial"
)

// try runs a trial. The function that it runs is made as any other, reads the same parameters, and
// ends with the trial: breaker, paused write keys and metrics know nothing of it.
func try(ctx context.Context, o Options, parameters ssm.API, payload []byte) ([]byte, error) {
	run, err := trial.New(payload, map[string]string{o.QueueURL: trial.EventsQueue,
		o.DeadLetterQueueURL: trial.DeadLetterQueue})
	if err != nil {
		return nil, err
	}
	o.EventBridge, o.DrillParameter = false, ""
	h, err := New(o, Parts{SQS: run, SSM: parameters, Transport: run, Metrics: io.Discard, Logger: run.Logger()})
	if err != nil {
		return nil, err
	}
	h.values.Refresh(ctx)
	return run.Invoke(ctx, h.Invoke)
}
