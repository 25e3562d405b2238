package machine

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/message"
)

// QueueConfig configures the process of the SQS emulator.
type QueueConfig struct {
	Dir string // of what is in the queues
}

// QueueURL is the URL of Spillway's events queue, which the peers on SQS use as well, at an endpoint
// of the SQS emulator.
func QueueURL(endpoint string) string { return local.QueueURL(endpoint, names().EventsQueue) }

func names() topology.Names { return topology.DefaultOptions().Names }

// ServeQueue serves the SQS emulator with Spillway's queues on a free port until ctx ends. It is the
// subcommand `queue`.
func ServeQueue(ctx context.Context, out io.Writer, c QueueConfig) error {
	server, err := sqs.Open(sqs.Options{Dir: c.Dir, CountAttribute: message.AttrEventCount})
	if err != nil {
		return err
	}
	defer server.Close()
	t := topology.New(topology.DefaultOptions())
	if err := local.CreateQueues(server, &t); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for the SQS emulator: %w", err)
	}
	fmt.Fprintf(out, "%shttp://%s\n", Listens, l.Addr())
	s := &http.Server{Handler: server}
	go func() {
		<-ctx.Done()
		_ = s.Close() // a long poll would hold a shutdown for 20 s
	}()
	if err := s.Serve(l); ctx.Err() == nil {
		return err
	}
	return server.Close()
}

// StartQueue starts the SQS emulator as a process, with its data in dir.
func StartQueue(ctx context.Context, dir string) (*Process, error) {
	return Start(ctx, "queue", "--dir="+dir)
}
