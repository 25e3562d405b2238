package virtual

import (
	"io"
	"log/slog"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/lambda"
	appdeliver "github.com/spillwayhq/spillway/shared/app/deliver"
	"github.com/spillwayhq/spillway/shared/deliver"
)

// DeliverAsDeployed is [World.Deliver] with the function that is deployed, in front of the Segment
// emulator and behind queues that are as slow as SQS, see [Slow]. Nothing fails that the emulators'
// scripts do not let fail. Requests to Segment are not compressed, which would only cost time here.
// metrics gets the function's metrics, nil: they are discarded; report is called after each
// invocation, nil: nothing is. Both must be safe for concurrent use.
func (w *World) DeliverAsDeployed(metrics io.Writer, report func(deliver.Report)) error {
	if metrics == nil {
		metrics = io.Discard
	}
	options := local.PipelineOptions(w.Topology, Endpoint)
	options.SegmentURL, options.Gzip, options.WriteKey = SegmentURL, false, local.WriteKey
	newHandler, err := appdeliver.NewFactory(options.Deliver(), appdeliver.Parts{
		SQS: Client(w.ToSQS()), Transport: w.Segment.HTTPClient().Transport,
		Metrics: metrics, Logger: slog.New(slog.DiscardHandler), Report: report,
	})
	if err != nil {
		return err
	}
	return w.Deliver(func(queue string) lambda.Queue { return Slow(w.Feed(queue)) },
		lambda.InProcess(func() (lambda.Handler, error) { return newHandler() }))
}
