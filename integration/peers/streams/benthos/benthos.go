// Package benthos is the peer Benthos: a stream processor that is configured. Its worker is a
// program of its own, because its components would take memory and start time in every process that
// has them.
package benthos

import (
	"context"
	"fmt"
	"strings"
	"text/template"
	"time"

	_ "github.com/benthosdev/benthos/v4/public/components/aws"  // aws_sqs
	_ "github.com/benthosdev/benthos/v4/public/components/io"   // http_client
	_ "github.com/benthosdev/benthos/v4/public/components/pure" // broker, archive, mapping
	"github.com/benthosdev/benthos/v4/public/service"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/integration/peers/peer"
)

// benthosConfig is what one would write: batches of as many events as Spillway's and
// analytics-go's, and otherwise the defaults: 64 requests at the same time, a request is tried four
// times, and its messages go back to the queue then.
var benthosConfig = template.Must(template.New("benthos").Parse(`
input:
  broker:
    copies: {{.Receivers}}
    inputs:
      - aws_sqs:
          url: {{.QueueURL}}
          endpoint: {{.Endpoint}}
          region: {{.Region}}
          credentials: {id: {{.AccessKey}}, secret: {{.AccessKey}}}
output:
  http_client:
    url: {{.Segment}}/v1/batch
    verb: POST
    headers: {Content-Type: application/json}
    basic_auth: {enabled: true, username: {{.WriteKey}}}
    batch_as_multipart: false
    batching:
      count: 250
      period: 1s
      processors:
        - archive: {format: json_array}
        - mapping: 'root.batch = this'
`))

// receivers are the copies of aws_sqs, which receives ten messages at a time, one request after the
// other.
const receivers = 4

// Run runs Benthos until ctx ends.
func Run(ctx context.Context, w peer.Working) error {
	config, err := configure(w)
	if err != nil {
		return err
	}
	builder := service.NewStreamBuilder()
	if err := builder.SetYAML(config); err != nil {
		return fmt.Errorf("configure Benthos: %w", err)
	}
	if err := builder.SetLoggerYAML("level: ERROR"); err != nil {
		return fmt.Errorf("configure the log of Benthos: %w", err)
	}
	stream, err := builder.Build()
	if err != nil {
		return fmt.Errorf("build the stream of Benthos: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- stream.Run(context.WithoutCancel(ctx)) }()
	select {
	case err := <-ended:
		return fmt.Errorf("run Benthos: %w", err)
	case <-ctx.Done():
		return stream.StopWithin(20 * time.Second)
	}
}

// configure renders benthosConfig.
func configure(w peer.Working) (string, error) {
	var b strings.Builder
	err := benthosConfig.Execute(&b, struct {
		peer.Working
		Endpoint, Region, AccessKey, WriteKey string
		Receivers                             int
	}{w, peer.Endpoint(w.QueueURL), local.Region, local.AccessKey, peer.WriteKey, receivers})
	return b.String(), err
}
